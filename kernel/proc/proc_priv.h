/* Private to proc/. */
#ifndef CATHODE_PROC_PRIV_H
#define CATHODE_PROC_PRIV_H

#include "proc/proc.h"

/* A process of its own for c, child of creator's (NULL: bootstrap). */
enum abi_error group_create(struct context *creator, struct context *c);
enum abi_error group_join(struct group *g, struct context *c);
/* c is dead now; the last one ends the process. */
void group_leave(struct context *c);
/* Deliver, default or note what is pending; on the way to ring 3. */
void signal_deliver(struct context *c, struct arch_user_frame *frame);
/* Something pending would be delivered now. */
bool signal_is_due(struct context *c);

#endif
