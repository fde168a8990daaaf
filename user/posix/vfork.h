/* Between vfork.c and those whose state a child of vfork() must leave to its parent. Included by
 * vfork_enter.S, too. */
#ifndef CATHODE_POSIX_VFORK_H
#define CATHODE_POSIX_VFORK_H

#define VFORK_FLAGS 0x3080000 /* of the child's descriptor: RT_PRIVATE */

#ifndef __ASSEMBLER__
#include <stdbool.h>

/* True between vfork() and exec or _exit() in the child. */
bool posix_in_vfork(void);

/* A second thread is about to be made: from now on vfork() is fork(). */
void vfork_forbid(void);

/* In a child of fork(): its space is its own, whatever its parent's is. */
void vfork_over(void);
#endif

#endif
