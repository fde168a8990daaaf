/* Edits a file through a shared mapping: upper case for every word's first letter, then reads it
 * back. */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char text[] = "every page a program touches belongs to a grant\n";

int main(void) {
  char path[] = "/tmp/mapedit.XXXXXX", line[128];
  int fd = mkstemp(path);
  struct stat st;
  if (fd < 0 || write(fd, text, sizeof text - 1) != (ssize_t)sizeof text - 1 ||
      fstat(fd, &st) != 0) {
    perror(path);
    return 1;
  }
  char *p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) {
    perror("mmap");
    return 1;
  }
  for (off_t i = 0; i < st.st_size; i++) {
    if (i == 0 || p[i - 1] == ' ') {
      p[i] = (char)toupper((unsigned char)p[i]);
    }
  }
  munmap(p, (size_t)st.st_size);
  FILE *file = fdopen(fd, "r");
  rewind(file);
  while (fgets(line, sizeof line, file)) {
    fputs(line, stdout);
  }
  fclose(file);
  return unlink(path);
}
