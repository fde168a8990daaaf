/* kassert: for our own bugs, in every build. What a user or a device can cause is an error instead.
 *
 * The file knows no console: whoever links a pure core provides kassert_fail, the kernel in base/
 * (panic), a host test through tap.h (abort). */
#ifndef CATHODE_LIB_KASSERT_H
#define CATHODE_LIB_KASSERT_H

#include "lib/bits.h"

_Noreturn void kassert_fail(const char *expr, const char *file, int line);

#define kassert(expr) (LIKELY(expr) ? (void)0 : kassert_fail(#expr, __FILE__, __LINE__))

/* For paths so hot that a release build goes without; host tests have it. */
#ifndef CATHODE_DEBUG
#define CATHODE_DEBUG 1
#endif
#define kassert_debug(expr) (CATHODE_DEBUG ? kassert(expr) : (void)0)

#endif
