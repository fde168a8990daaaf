/* Number -> handler. The entry code calls through the table with the six argument registers; each
 * thin function here gives them their types, and the compiler turns most of them into a jump.
 *
 * There are three forms of each, and a table of each form: handle_* only calls; begin_* also notes
 * in the trace that the call begins, and is still a jump; watch_* notes its end too, and the time
 * of both. A change of the trace mask changes the table, so that a call never tests for what it
 * does not trace. */
#include "arch/upcall.h"
#include "base/panic.h"
#include "base/trace.h"
#include "syscall/syscall.h"

READ_MOSTLY bool trace_syscalls;

static void trace_print(const char *name, uint64_t r0, uint64_t r1, uint64_t r2, uint64_t r3,
                        int64_t result) {
  log_printf("[%u] %s(0x%lx, 0x%lx, 0x%lx, 0x%lx) = %ld\n", context_current()->id, name, r0, r1, r2,
             r3, result);
}

#define TO_FD(x) (int)(x)
#define TO_PTR(x) ((uaddr_t){x})
#define TO_CPTR(x) ((uaddr_t){x})
#define TO_ADDR(x) (x)
#define TO_LEN(x) (x)
#define TO_NUM(x) (x)
#define TO_OFF(x) (int64_t)(x)
#define TO_FLAGS(x) (uint32_t)(x)

#define HANDLER(nr, name, ...)                                                                     \
  static int64_t handle_##name(uint64_t r0, uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4,    \
                               uint64_t r5) {                                                      \
    (void)r0, (void)r1, (void)r2, (void)r3, (void)r4, (void)r5;                                    \
    int64_t result = sys_##name(__VA_ARGS__);                                                      \
    if (CATHODE_DEBUG && trace_syscalls) {                                                         \
      trace_print(#name, r0, r1, r2, r3, result);                                                  \
    }                                                                                              \
    return result;                                                                                 \
  }                                                                                                \
  static int64_t begin_##name(uint64_t r0, uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4,     \
                              uint64_t r5) {                                                       \
    trace_undated(TRACE_SYSCALL, nr, r0);                                                          \
    return handle_##name(r0, r1, r2, r3, r4, r5);                                                  \
  }                                                                                                \
  static int64_t watch_##name(uint64_t r0, uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4,     \
                              uint64_t r5) {                                                       \
    trace(TRACE_SYSCALL, nr, r0);                                                                  \
    int64_t result = handle_##name(r0, r1, r2, r3, r4, r5);                                        \
    trace(TRACE_SYSCALL_EXIT, nr, (uint64_t)result);                                               \
    return result;                                                                                 \
  }
#define SYSCALL0(nr, name, ...) HANDLER(nr, name)
#define SYSCALL1(nr, name, block, k0, a0, ...) HANDLER(nr, name, TO_##k0(r0))
#define SYSCALL2(nr, name, block, k0, a0, k1, a1, ...) HANDLER(nr, name, TO_##k0(r0), TO_##k1(r1))
#define SYSCALL3(nr, name, block, k0, a0, k1, a1, k2, a2, ...)                                     \
  HANDLER(nr, name, TO_##k0(r0), TO_##k1(r1), TO_##k2(r2))
#define SYSCALL4(nr, name, block, k0, a0, k1, a1, k2, a2, k3, a3, ...)                             \
  HANDLER(nr, name, TO_##k0(r0), TO_##k1(r1), TO_##k2(r2), TO_##k3(r3))
#define SYSCALL5(nr, name, block, k0, a0, k1, a1, k2, a2, k3, a3, k4, a4, ...)                     \
  HANDLER(nr, name, TO_##k0(r0), TO_##k1(r1), TO_##k2(r2), TO_##k3(r3), TO_##k4(r4))
#define SYSCALL6(nr, name, block, k0, a0, k1, a1, k2, a2, k3, a3, k4, a4, k5, a5, ...)             \
  HANDLER(nr, name, TO_##k0(r0), TO_##k1(r1), TO_##k2(r2), TO_##k3(r3), TO_##k4(r4), TO_##k5(r5))
#include "abi/syscalls.def"
#undef SYSCALL0
#undef SYSCALL1
#undef SYSCALL2
#undef SYSCALL3
#undef SYSCALL4
#undef SYSCALL5
#undef SYSCALL6

typedef int64_t handler(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

#define SYSCALL0(nr, name, ...) [nr] = FORM(name),
#define SYSCALL1 SYSCALL0
#define SYSCALL2 SYSCALL0
#define SYSCALL3 SYSCALL0
#define SYSCALL4 SYSCALL0
#define SYSCALL5 SYSCALL0
#define SYSCALL6 SYSCALL0
#define FORM(name) handle_##name
static handler *const handle_table[SYS_NR_COUNT] = {
#include "abi/syscalls.def"
};
#undef FORM
#define FORM(name) begin_##name
static handler *const begin_table[SYS_NR_COUNT] = {
#include "abi/syscalls.def"
};
#undef FORM
#define FORM(name) watch_##name
static handler *const watch_table[SYS_NR_COUNT] = {
#include "abi/syscalls.def"
};

READ_MOSTLY handler *const *upcall_syscall_table = handle_table;

/* Records without a time of their own need others that have one [T3]. */
static void table_choose(uint32_t mask) {
  bool begins = mask & TRACE_BIT(SYSCALL), dated = mask & TRACE_BIT(SWITCH);
  handler *const *table = mask & TRACE_BIT(SYSCALL_EXIT) || (begins && !dated) ? watch_table
                          : begins                                             ? begin_table
                                                                               : handle_table;
  __atomic_store_n(&upcall_syscall_table, table, __ATOMIC_RELEASE);
}

void syscall_init(void) {
  trace_mask_changed = table_choose;
}
