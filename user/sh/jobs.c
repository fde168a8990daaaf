/* Background commands: see jobs.h. */
#include "jobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "launch.h"
#include "shell.h"
#include "trap.h"

struct job {
  struct job *next;
  int number;
  pid_t pid;
  bool ended;
  int status;
};

static struct job *jobs; /* the newest first */

void jobs_add(pid_t pid) {
  struct job *job = alloc_or_die(sizeof *job);
  *job = (struct job){.next = jobs, .number = jobs ? jobs->number + 1 : 1, .pid = pid};
  jobs = job;
  shell.last_background = pid;
  if (shell.interactive) {
    fprintf(stderr, "[%d] %d\n", job->number, (int)pid);
  }
}

static void job_remove(struct job *job) {
  struct job **place = &jobs;
  while (*place != job) {
    place = &(*place)->next;
  }
  *place = job->next;
  free(job);
}

void jobs_forget(void) {
  while (jobs) {
    job_remove(jobs);
  }
}

static struct job *job_find(pid_t pid) {
  struct job *job = jobs;
  while (job && job->pid != pid) {
    job = job->next;
  }
  return job;
}

pid_t job_pid(const char *name) {
  if (*name != '%') {
    char *end;
    long pid = strtol(name, &end, 10);
    return *name && !*end ? (pid_t)pid : -1;
  }
  if (name[1] == '%' || name[1] == '+' || !name[1]) {
    return jobs ? jobs->pid : -1;
  }
  int number = atoi(name + 1);
  for (struct job *job = jobs; job; job = job->next) {
    if (job->number == number) {
      return job->pid;
    }
  }
  return -1;
}

static void job_end(struct job *job, int wstatus) {
  job->ended = true;
  job->status = status_from_wait(wstatus);
}

/* Waits until the job has ended; otherwise answers the trapped signal that came first. */
static int job_block(struct job *job) {
  while (!job->ended) {
    int wstatus;
    if (waitpid(job->pid, &wstatus, 0) == job->pid) {
      job_end(job, wstatus);
    } else if (errno != EINTR) {
      job_end(job, 127 << 8);
    } else if (trap_pending()) {
      return trap_pending();
    }
  }
  return 0;
}

int job_wait(pid_t pid) {
  struct job *job = job_find(pid);
  if (!job) {
    return 127;
  }
  int number = job_block(job);
  if (number) {
    return 128 + number;
  }
  int status = job->status;
  job_remove(job);
  return status;
}

int jobs_wait_all(void) {
  while (jobs) {
    int number = job_block(jobs);
    if (number) {
      return 128 + number;
    }
    job_remove(jobs);
  }
  return 0;
}

static void job_poll(struct job *job) {
  int wstatus;
  if (!job->ended && waitpid(job->pid, &wstatus, WNOHANG) == job->pid) {
    job_end(job, wstatus);
  }
}

static void job_print(const struct job *job) {
  if (!job->ended) {
    printf("[%d] %d Running\n", job->number, (int)job->pid);
  } else if (job->status) {
    printf("[%d] %d Done(%d)\n", job->number, (int)job->pid, job->status);
  } else {
    printf("[%d] %d Done\n", job->number, (int)job->pid);
  }
}

void jobs_print(bool only_ended) {
  for (struct job *job = jobs, *next; job; job = next) {
    next = job->next;
    job_poll(job);
    if (job->ended || !only_ended) {
      job_print(job);
    }
    if (job->ended) {
      job_remove(job);
    }
  }
  fflush(stdout);
}
