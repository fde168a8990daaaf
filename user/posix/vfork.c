/* vfork(): the child runs in its parent's address space, on its stack, until it execs or ends; the
 * parent waits for that. What other systems keep of a process in the kernel lies here in its
 * memory, so the parent puts it aside before and back afterwards: all variables of this library
 * (state.ld has them in one piece), the thread's own block and, when the child changes them, the
 * actions of signals. The child's working directory goes to a buffer of its own.
 *
 * Until then the kernel sees another control block of the parent's, with `inhibit` set: no handler
 * may use a stack that the child runs on, and what is ignored is still dropped. The child has the
 * usual one.
 *
 * A process that has ever had a second thread, and a child of vfork() itself, get a fork instead:
 * others would run on what the child changes. */
#include "posix/posix.h"
#include "posix/signal.h"
#include "posix/timer.h"
#include "posix/vfork.h"
#include "runtime/process_priv.h"

#define STATE_MOST 0x800u /* asserted in state.ld */

/* Of the linker: where the variables of this library that are not LARGE lie. */
extern uint8_t state_begin[] __asm__("__cathode_state_begin");
extern uint8_t state_end[] __asm__("__cathode_state_end");

/* Both sides of a vfork, in vfork_enter.S, which knows what comes before `ops`. */
struct vfork_call {
  uint64_t rip, rbx; /* of who called vfork(), whose stack the child uses */
  int64_t result;    /* of OP_PROC_CREATE */
  uint32_t busy;     /* 1 until the kernel sees the child leave this space */
  uint32_t n_bytes;  /* of ops */
  struct proc_op ops[8];
};
_Static_assert(offsetof(struct vfork_call, ops) == 32 && sizeof(struct proc_op) == 48,
               "vfork_enter.S");
_Static_assert(SYS_NR_call == 12 && SYS_NR_futex == 16 && OP_PROC_CREATE == 40 && FD_SELF == -101 &&
                   FUTEX_OP_WAIT == 0 && RT_PRIVATE == VFORK_FLAGS,
               "vfork_enter.S");

struct vfork_call *vfork_begin(void);
int64_t vfork_end(void);
void vfork_child(void);

static struct {
  struct vfork_call call; /* first */
  struct rt_ids_new ids;
  struct sig_control away;
  struct posix_thread self;
  uint8_t state[STATE_MOST];
} kept LARGE;

static bool in_child;
static bool threaded;

bool posix_in_vfork(void) {
  return in_child;
}

void vfork_forbid(void) {
  threaded = true;
}

void vfork_over(void) {
  in_child = false;
}

static void control_set(struct sig_control *control) {
  struct proc_op op = {.code = PROC_SIGCTL, .a = (uint64_t)control};
  (void)rt_apply(FD_SELF, &op, 1); /* of ourselves: cannot fail */
}

/* What the call says; vfork_enter.S fills in where the child starts. */
static void call_fill(struct vfork_call *call) {
  struct proc_op *op = call->ops;
  *op++ = (struct proc_op){.code = PROC_REGS, .d = (uint64_t)__builtin_thread_pointer()};
  *op++ = (struct proc_op){
      .code = PROC_PID, .a = (uint64_t)&kept.ids.pid, .b = (uint64_t)&kept.ids.tid};
  *op++ = (struct proc_op){.code = PROC_SPACE_SHARE, .fd = FD_SELF};
  *op++ = (struct proc_op){.code = PROC_FILES_COPY, .fd = FD_SELF};
  *op++ = (struct proc_op){.code = PROC_ACTIONS_COPY, .fd = FD_SELF};
  *op++ = (struct proc_op){.code = PROC_SIGCTL, .a = (uint64_t)&posix_self.control};
  *op++ = (struct proc_op){.code = PROC_CLEARTID, .a = (uint64_t)&call->busy};
  *op++ = (struct proc_op){.code = PROC_START};
  call->n_bytes = (uint32_t)((uint8_t *)op - (uint8_t *)call->ops);
  call->busy = 1;
}

/* NULL: fork instead. Else handlers are kept away, and all is put aside. */
struct vfork_call *vfork_begin(void) {
  if (in_child || threaded) {
    return NULL;
  }
  posix_guard_enter();
  kept.away = (struct sig_control){.blocked = posix_self.control.blocked, .inhibit = 1};
  control_set(&kept.away);
  memcpy(kept.state, state_begin, (size_t)(state_end - state_begin));
  kept.self = posix_self;
  in_child = true;
  posix_self.control.pending = 0; /* the parent's */
  call_fill(&kept.call);
  return &kept.call;
}

/* First in the child. */
void vfork_child(void) {
  posix_self.tid = kept.ids.tid;
  rt_set_pid(kept.ids.pid);
  children_forget();
  timer_hide();
  posix_guard_leave();
}

/* In the parent, when there is no child, or it has left: its pid. */
int64_t vfork_end(void) {
  signal_vfork_end();
  memcpy(state_begin, kept.state, (size_t)(state_end - state_begin));
  posix_self = kept.self;
  control_set(&posix_self.control);
  uint64_t came = __atomic_load_n(&kept.away.pending, __ATOMIC_RELAXED);
  __atomic_fetch_or(&posix_self.control.pending, came, __ATOMIC_RELAXED); /* asked for at the end */
  int64_t fd = kept.call.result;
  if (fd >= 0) {
    children_lock();
    fd = children_adopt(kept.ids.pid, (int)fd);
    children_unlock();
  }
  posix_guard_leave();
  return fd < 0 ? fd : kept.ids.pid;
}
