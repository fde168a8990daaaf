/* What the machine asks of the kernel: the only calls that arch makes upwards. All are entered with
 * interrupts disabled, on the current thread's kernel stack unless said otherwise. */
#ifndef CATHODE_ARCH_UPCALL_H
#define CATHODE_ARCH_UPCALL_H

#include "arch/arch.h"

struct arch_fault {
  uint64_t addr; /* CR2 */
  bool write, exec, present, user;
};

/* A page fault. True when it was resolved and the access may be tried again. A fault of ring 3 that
 * cannot be resolved becomes a signal there and also answers true; false is a fault of the kernel.
 */
bool upcall_page_fault(const struct arch_fault *f);
/* An exception of ring 3 other than a page fault: becomes a signal. */
void upcall_user_exception(uint32_t vector, uint64_t error, uint64_t rip);
void upcall_timer(void);
void upcall_ipi_wake(void);
void upcall_ipi_tlb(void);
void upcall_irq_serial(void);
/* Some ARCH_WORK_* is set and the thread is about to enter ring 3: do it, frame may be changed.
 * `called`: from a system call, not from a trap. */
void upcall_return_to_user(struct arch_user_frame *frame, bool called);
/* A started CPU, on the stack given to arch_cpu_start(). */
_Noreturn void upcall_cpu_online(uint32_t cpu);
/* The kernel cannot go on; regs may be NULL. Any stack. */
struct arch_trap_frame;
_Noreturn void upcall_panic(const char *what, uint64_t rip, uint64_t rbp, uint64_t rsp);
/* An NMI came: room for a sample of this CPU, to be filled with its stacks and given to
 * upcall_nmi_sampled(); NULL: none is wanted, and the NMI was nobody's or came late. *ours is false
 * when it is not the sampler's at all. NMI stack. */
struct profile_sample *upcall_nmi_sample(bool *ours);
void upcall_nmi_sampled(struct profile_sample *s);
/* NMI sent by arch_nmi_others(): report the backtrace of this CPU and stop. NMI stack. */
_Noreturn void upcall_nmi_stop(uint64_t rip, uint64_t rbp);

/* One handler a system call number, filled by syscall/dispatch.c from the table in abi/. The table
 * is another one when other events are traced. */
extern int64_t (*const *upcall_syscall_table)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                              uint64_t);

#endif
