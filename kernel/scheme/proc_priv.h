/* proc:, private: proc.c has the descriptors, proc_steps.c the steps, proc_sched.c scheduling,
 * proc_mem.c memory. */
#ifndef CATHODE_SCHEME_PROC_PRIV_H
#define CATHODE_SCHEME_PROC_PRIV_H

#include "scheme/scheme.h"

/* NULL when the file is something else. No reference. */
struct context *context_of_file(struct file *f);
struct space *space_of_file(struct file *f);
/* One step; >= 0, or a negated error. WATCH is proc.c's: it needs the descriptor. */
int64_t proc_step(struct context *target, const struct proc_op *op);
/* EXIT, EXIT_THREAD, SPACE_SET of the caller itself. */
bool proc_step_may_not_return(const struct context *target, const struct proc_op *op);
/* PROC_SCHED. */
int64_t sched_step(struct context *target, const struct proc_op *op);
/* A file of the context's scheduling, which is readable and writable text. */
int64_t sched_file_create(struct context *target, struct file **out);
/* A file of the memory that the context's process has, to be read as text. */
int64_t mem_file_create(struct context *target, struct file **out);

#endif
