/* Background commands: what `&` started, until somebody has waited for it. */
#ifndef SH_JOBS_H
#define SH_JOBS_H

#include <stdbool.h>
#include <sys/types.h>

void jobs_add(pid_t pid);

/* In a forked child: the parent's jobs are not its children. */
void jobs_forget(void);

/* The pid of "%n", "%%", "%+" or a number; -1 when there is no such job. */
pid_t job_pid(const char *name);

/* Waits for one job, or for all (status 0). 127: no such job; 128 + n: a trapped signal came. */
int job_wait(pid_t pid);
int jobs_wait_all(void);

/* Prints the jobs; those that have ended are then forgotten. `only_ended`: before a prompt. */
void jobs_print(bool only_ended);

#endif
