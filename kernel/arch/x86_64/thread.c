/* Threads as the machine sees them: a kernel stack, the callee-saved registers on it, the FPU, the
 * segment bases; and the way to ring 3. */
#include "arch/x86_64/x86.h"

void arch_thread_init(struct arch_thread *t, uint64_t stack_top, void (*entry)(void *), void *arg) {
  /* What thread_switch pops, then what thread_start does; then sp is aligned to 16. */
  uint64_t *sp = (uint64_t *)(stack_top - 64) - 5;
  sp[0] = 0;
  sp[1] = (uint64_t)thread_start;
  sp[2] = (uint64_t)entry;
  sp[3] = (uint64_t)arg;
  t->sp = (uint64_t)sp;
  t->stack_top = stack_top;
  t->fs_base = t->gs_base = 0;
  t->mxcsr = FPU_MXCSR_DEFAULT;
  t->fcw = FPU_FCW_DEFAULT;
  arch_user_frame(t)->cs = t->fpu != NULL ? SEL_USER_CS_CALL : SEL_NONE;
}

/* What the top of an idle thread's stack looks like to a switch. */
static struct arch_user_frame no_frame = {.cs = SEL_NONE};

void arch_thread_init_idle(struct arch_thread *t) {
  t->stack_top = (uint64_t)(&no_frame + 1);
}

static void bases_save(struct arch_thread *t) {
  if (cpu_features.fsgsbase) {
    t->fs_base = rdfsbase();
    t->gs_base = read_user_gsbase();
  }
}

static void bases_load(const struct arch_thread *t) {
  if (cpu_features.fsgsbase) {
    wrfsbase(t->fs_base);
    write_user_gsbase(t->gs_base);
  } else {
    wrmsr(MSR_FS_BASE, t->fs_base);
    wrmsr(MSR_KERNEL_GS_BASE, t->gs_base);
  }
}

/* The part of a switch that differs from CPU to CPU, for those without AVX or FSGSBASE: others do
 * the same in thread_switch (entry.asm). */
void thread_state_switch(struct arch_thread *prev, struct arch_thread *next) {
  if (arch_user_frame(prev)->cs != SEL_NONE) {
    fpu_leave(prev);
    bases_save(prev);
  }
  if (arch_user_frame(next)->cs != SEL_NONE) {
    fpu_enter(next);
    bases_load(next);
  }
}

bool arch_user_regs_valid(const struct arch_user_regs *r) {
  return r->ip < ABI_USER_END && r->sp <= ABI_USER_END && r->fs_base < ABI_USER_END &&
         r->gs_base < ABI_USER_END;
}

void arch_user_set_fs(struct arch_thread *self, uint64_t fs_base) {
  self->fs_base = fs_base;
  if (cpu_features.fsgsbase) {
    wrfsbase(fs_base);
  } else {
    wrmsr(MSR_FS_BASE, fs_base);
  }
}

_Noreturn void arch_user_enter(const struct arch_user_regs *r) {
  struct arch_thread *t = arch_cpu_self()->current;
  struct arch_user_frame *frame = arch_user_frame(t);
  *frame = (struct arch_user_frame){.rip = r->ip,
                                    .cs = SEL_USER_CS,
                                    .rflags = RFLAGS_FIXED | RFLAGS_IF,
                                    .rsp = r->sp,
                                    .ss = SEL_USER_SS};
  t->fs_base = r->fs_base;
  t->gs_base = r->gs_base;
  bases_load(t);
  fpu_start();
  if (atomic_load_explicit(&t->work, memory_order_relaxed) != 0) {
    upcall_return_to_user(frame, false);
  }
  arch_user_enter_asm(frame, r->arg);
}
