/* Children and CPUs, for cases that need a partner. All report errors through run_fail(). */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <sys/types.h>

#include "case.h"

/* So many yields in vain, and there is nobody to yield to. A kernel may have a newcomer wait for a
 * slice, which is thousands of yields. */
enum { YIELDS_MOST = 100000 };

/* First of all, before anything is bound to a CPU: counts the CPUs. */
void process_init(void);

/* Binds the calling thread to one CPU; children and threads made later inherit that. */
bool process_pin(struct run *run, unsigned cpu);

/* Undoes process_pin(): all CPUs that there are. */
bool process_unpin(struct run *run);

/* CPUs that the program was given. */
unsigned process_cpus(void);

/* As fork(2): 0 in the child, -1 after run_fail(). */
pid_t process_fork(struct run *run);

/* Waits for a child and checks that it ended by exit(code). */
bool process_reap(struct run *run, pid_t pid, int code);

/* A zeroed page that children share; null after run_fail(). */
void *process_shared_page(struct run *run);
void process_shared_page_free(void *page);

#endif
