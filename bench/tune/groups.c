/* Groups of senders and receivers: each sender sends to every receiver of its group, through one
 * pipe a receiver. What the machine does is block, wake and switch: the question of hackbench.
 *
 * A message carries its sender and its number; the last one says so. A receiver is content when
 * each sender's messages came complete and in order, and goes when it has seen every sender's last.
 * It keeps reading whatever is wrong, so that nobody waits for it in vain. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "work.h"

enum { GROUPS = 2, SENDERS = 3, RECEIVERS = 3 };
enum { ALL_RECEIVERS = GROUPS * RECEIVERS, ALL = ALL_RECEIVERS + GROUPS * SENDERS };

struct message {
  uint32_t sender, last;
  uint64_t number;
  unsigned char filler[48];
};

/* Shared by all, even across fork(). */
struct member {
  struct groups *groups;
  bool sends;
  unsigned group, index; /* among the senders, or the receivers, of its group */
  uint64_t n;            /* messages sent, or received */
  bool wrong;            /* a message was lost, torn or out of order */
};

struct groups {
  struct sample sample;       /* of processes: a copy that they see */
  int (*pipes)[RECEIVERS][2]; /* of each group; in memory that is not shared: closing is private */
  struct member members[ALL]; /* receivers first: nobody sends before all can receive */
};

/* ---- senders ------------------------------------------------------------------------------ */

static bool send_all(struct member *member, const struct message *message) {
  for (unsigned i = 0; i < RECEIVERS; i++) {
    int fd = member->groups->pipes[member->group][i][1];
    if (write(fd, message, sizeof(*message)) != (ssize_t)sizeof(*message)) {
      return false;
    }
    member->n++;
  }
  return true;
}

/* The message for which the receivers wait. */
static bool sender_finish(struct member *member, struct message *message) {
  message->last = 1;
  return send_all(member, message);
}

static struct message sender_message(const struct member *member) {
  struct message message = {.sender = member->index};
  memset(message.filler, (int)member->index, sizeof(message.filler));
  return message;
}

/* Sends until the sample is over: at least the last message. */
static void sender_run(struct member *member) {
  struct message message = sender_message(member);
  bool good = true;
  while (good && !sample_over(&member->groups->sample)) {
    good = send_all(member, &message);
    message.number++;
  }
  member->wrong = !good || !sender_finish(member, &message);
}

/* ---- receivers ---------------------------------------------------------------------------- */

static bool receive(int fd, struct message *message) {
  size_t n = 0;
  while (n < sizeof(*message)) {
    ssize_t got = read(fd, (char *)message + n, sizeof(*message) - n);
    if (got <= 0) {
      return false;
    }
    n += (size_t)got;
  }
  return true;
}

static bool message_good(const struct message *message, uint64_t expected[SENDERS]) {
  if (message->sender >= SENDERS || message->number != expected[message->sender]++) {
    return false;
  }
  unsigned char filler = (unsigned char)message->sender;
  return message->filler[0] == filler && message->filler[sizeof(message->filler) - 1] == filler;
}

static void receiver_run(struct member *member) {
  uint64_t expected[SENDERS] = {0};
  int fd = member->groups->pipes[member->group][member->index][0];
  for (unsigned n_last = 0; n_last < SENDERS;) {
    struct message message;
    if (!receive(fd, &message)) {
      member->wrong = true;
      return;
    }
    member->wrong |= !message_good(&message, expected);
    member->n++;
    n_last += message.last;
  }
}

static void *member_run(void *argument) {
  struct member *member = argument;
  clock_sleep_until(member->groups->sample.start_ns);
  if (member->sends) {
    sender_run(member);
  } else {
    receiver_run(member);
  }
  return NULL;
}

/* ---- all of them -------------------------------------------------------------------------- */

static void pipes_close(struct groups *groups) {
  int *fds = &groups->pipes[0][0][0];
  for (unsigned i = 0; i < GROUPS * RECEIVERS * 2; i++) {
    if (fds[i] >= 0) {
      close(fds[i]);
      fds[i] = -1;
    }
  }
}

static bool pipes_open(struct groups *groups) {
  memset(groups->pipes, -1, GROUPS * sizeof(groups->pipes[0]));
  for (unsigned i = 0; i < GROUPS * RECEIVERS; i++) {
    if (pipe(groups->pipes[i / RECEIVERS][i % RECEIVERS]) != 0) {
      return false;
    }
  }
  return true;
}

/* What was sent must have arrived, group by group. */
static void result_take(struct sample *sample, const struct groups *groups) {
  uint64_t sent[GROUPS] = {0}, received[GROUPS] = {0}, total = 0;
  for (unsigned i = 0; i < ALL; i++) {
    const struct member *member = &groups->members[i];
    *(member->sends ? &sent[member->group] : &received[member->group]) += member->n;
    if (member->wrong) {
      sample_fail(sample, "group %u: a message was lost, torn or out of order", member->group);
    }
  }
  for (unsigned i = 0; i < GROUPS; i++) {
    total += received[i];
    if (sent[i] != received[i]) {
      sample_fail(sample, "group %u: %llu messages sent, %llu received", i,
                  (unsigned long long)sent[i], (unsigned long long)received[i]);
    }
  }
  sample_count(sample, total);
}

/* When a thread cannot be had, the last messages of the senders that are missing come from here:
 * the receivers that are there wait for them, and pipes without a receiver have room for them. */
static void threads_run(struct sample *sample, struct groups *groups) {
  struct crew crew = {0};
  while (crew.n < ALL && crew_add(&crew, sample, member_run, &groups->members[crew.n])) {
  }
  for (unsigned i = crew.n; i < ALL; i++) {
    struct message message = sender_message(&groups->members[i]);
    if (groups->members[i].sends && !sender_finish(&groups->members[i], &message)) {
      groups->members[i].wrong = true;
    }
  }
  crew_join(&crew);
}

/* A child keeps only its own end of each pipe, so that the death of one is seen by the others. */
static void child_run(struct member *member) {
  unsigned ours = member->sends ? 1 : 0;
  for (unsigned i = 0; i < GROUPS * RECEIVERS; i++) {
    int *ends = member->groups->pipes[i / RECEIVERS][i % RECEIVERS];
    close(ends[1 - ours]);
  }
  member_run(member);
  _exit(0);
}

static void processes_run(struct sample *sample, struct groups *groups) {
  unsigned n = 0;
  for (; n < ALL; n++) {
    pid_t pid = fork();
    if (pid == 0) {
      child_run(&groups->members[n]);
    }
    if (pid < 0) {
      sample_fail(sample, "fork: %s", strerror(errno));
      break;
    }
  }
  pipes_close(groups);
  for (int status; n > 0; n--) {
    if (wait(&status) < 0 || status != 0) {
      sample_fail(sample, "a child did not end well (status %#x)", (unsigned)status);
    }
  }
}

static void members_fill(struct groups *groups) {
  for (unsigned i = 0; i < ALL; i++) {
    bool sends = i >= ALL_RECEIVERS;
    unsigned place = sends ? i - ALL_RECEIVERS : i;
    unsigned n = sends ? SENDERS : RECEIVERS;
    groups->members[i] =
        (struct member){.groups = groups, .sends = sends, .group = place / n, .index = place % n};
  }
}

static void groups_run(struct sample *sample, void (*run)(struct sample *, struct groups *)) {
  struct groups *groups =
      mmap(NULL, sizeof(*groups), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (groups == MAP_FAILED) {
    sample_fail(sample, "shared memory: %s", strerror(errno));
    return;
  }
  int pipes[GROUPS][RECEIVERS][2];
  groups->pipes = pipes;
  groups->sample = *sample;
  members_fill(groups);
  if (pipes_open(groups)) {
    run(sample, groups);
    result_take(sample, groups);
  } else {
    sample_fail(sample, "pipe: %s", strerror(errno));
  }
  pipes_close(groups);
  munmap(groups, sizeof(*groups));
}

static void groups_threads_run(struct sample *sample) {
  groups_run(sample, threads_run);
}

static void groups_processes_run(struct sample *sample) {
  groups_run(sample, processes_run);
}

const struct workload workload_groups_threads = {
    .name = "groups.threads",
    .text =
        "2 groups of 3 senders and 3 receivers over pipes, all threads of one process; messages",
    .run = groups_threads_run,
};

const struct workload workload_groups_processes = {
    .name = "groups.processes",
    .text = "2 groups of 3 senders and 3 receivers over pipes, each a process; messages",
    .run = groups_processes_run,
};
