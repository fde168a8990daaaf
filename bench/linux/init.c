/* init of the Linux guest that Cathode is compared with: runs one command and ends the machine.
 *
 * What the runner expects of a guest (tools/README.md) holds here too: COM1 is the command's
 * stdout, COM2 its stderr, as plain bytes; port 0xe9 takes the record `exit N`, port 0xf4 ends the
 * machine. So the same runner boots both, on the same machine. The command is a process of its own,
 * because signals and orphans are special to process 1.
 *
 * Ends with 127 when the command cannot be started, with 128 + N when signal N ended it. Whatever
 * fails before that is fatal: init returns, the kernel panics, the runner sees the machine reset.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { PORT_LOG = 0xe9, PORT_EXIT = 0xf4, EXIT_DONE = 0x10, RECORD = 0x1e };
enum { STATUS_NOT_STARTED = 127, STATUS_SIGNAL = 128 };

static bool file_system(const char *type, const char *path) {
  mkdir(path, 0755); /* what is wrong with it, mount says */
  return mount(type, path, type, 0, NULL) == 0;
}

/* Gives `fd` to a serial line: no echo, no translation of bytes. */
static bool line_open(const char *path, int fd) {
  int line = open(path, O_RDWR | O_NOCTTY);
  struct termios mode;
  if (line < 0 || tcgetattr(line, &mode) != 0) {
    return false;
  }
  cfmakeraw(&mode);
  cfsetspeed(&mode, B115200);
  return tcsetattr(line, TCSANOW, &mode) == 0 && dup2(line, fd) == fd && close(line) == 0;
}

/* The kernel splits its command line at spaces; quotes, which Cathode's shell needs, it leaves. */
static void quotes_strip(char *word) {
  size_t length = strlen(word);
  if (length >= 2 && word[0] == '\'' && word[length - 1] == '\'') {
    memmove(word, word + 1, length - 2);
    word[length - 2] = '\0';
  }
}

static int command_run(char **argv) {
  for (char **word = argv; *word != NULL; word++) {
    quotes_strip(*word);
  }
  pid_t child = fork();
  if (child == 0) {
    execv(argv[0], argv);
    dprintf(STDERR_FILENO, "init: %s: %s\n", argv[0], strerror(errno));
    _exit(STATUS_NOT_STARTED);
  }
  int status = 0;
  pid_t reaped;
  do {
    reaped = wait(&status);
  } while (reaped != child && (reaped >= 0 || errno == EINTR));
  if (reaped != child) {
    return STATUS_NOT_STARTED;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_SIGNAL + WTERMSIG(status);
}

/* Everything written has left the machine before it ends. */
static void machine_end(int status) {
  char record[32];
  int length = snprintf(record, sizeof(record), "%cexit %d\n", RECORD, status);
  tcdrain(STDOUT_FILENO);
  tcdrain(STDERR_FILENO);
  for (int i = 0; i < length; i++) {
    outb((unsigned char)record[i], PORT_LOG);
  }
  outb(EXIT_DONE, PORT_EXIT);
}

/* Words of the boot line that the kernel does not know come first: the command is a path. */
static char **command_find(char **argv) {
  while (*argv != NULL && **argv != '/') {
    argv++;
  }
  return argv;
}

int main(int argc, char **argv) {
  (void)argc;
  if (!file_system("devtmpfs", "/dev") || !file_system("proc", "/proc") ||
      !file_system("sysfs", "/sys") || !file_system("tmpfs", "/tmp")) {
    return 1;
  }
  int null = open("/dev/null", O_RDONLY);
  if (dup2(null, STDIN_FILENO) != STDIN_FILENO || !line_open("/dev/ttyS0", STDOUT_FILENO) ||
      !line_open("/dev/ttyS1", STDERR_FILENO) || iopl(3) != 0) {
    return 1;
  }
  char **command = command_find(argv + 1);
  if (*command == NULL) {
    return 1;
  }
  machine_end(command_run(command));
  return 1;
}
