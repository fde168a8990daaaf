/* Where the kernel diverts a thread to deliver a signal. Flags and registers are those of the interrupted
 * code but for rip, rsp and rflags, which wait in the thread's sig_control; `inhibit` is set, so
 * nothing else is delivered until signal_deliver() has copied them.
 *
 *   interrupted rsp, or the top of the alternate stack
 *     128 bytes        the red zone (System V ABI, x86-64, section 3.2.2), not on the alternate stack
 *     FPU area         XSAVE or FXSAVE image, 64-byte aligned
 *     ucontext         what the handler may read and change; rsp while it runs
 *
 * Going back enters no kernel: the four last values are put below the red zone of the stack that is
 * returned to, and `ret 128` steps over it. Being interrupted again in there is harmless, since
 * whatever comes builds its frame below rsp. */

/* struct posix_thread, asserted in signal.c */
#define SIGNO 20
#define SCRATCH_RAX 88
#define SCRATCH_RCX 96
#define ALT_BASE 104
#define ALT_SIZE 112
#define SELF(offset) %fs:__cathode_thread@tpoff + offset

/* ucontext_t of libc */
#define UC_SIZE 944 /* 936, rounded to 16 */
#define UC_GREGS 40
#define UC_FPREGS 224
#define GREG(n) UC_GREGS + 8 * n(%rsp)
#define R_RSP 15
#define R_RIP 16
#define R_EFL 17

.text
.global __cathode_trampoline, __restore, __restore_rt
.hidden __cathode_trampoline
.type __cathode_trampoline, @function
__cathode_trampoline:
  mov %rax, SELF(SCRATCH_RAX)
  mov %rcx, SELF(SCRATCH_RCX)
  mov SELF(SIGNO), %ecx
  dec %ecx
  mov signal_on_alternate(%rip), %rax
  bt %rcx, %rax
  jnc 1f
  mov SELF(ALT_SIZE), %rcx
  test %rcx, %rcx
  jz 1f
  mov %rsp, %rax
  sub SELF(ALT_BASE), %rax
  cmp %rcx, %rax
  jb 1f /* on it already */
  mov SELF(ALT_BASE), %rsp
  add %rcx, %rsp
  jmp 2f
1:
  lea -128(%rsp), %rsp
2:
  sub signal_fpu_size(%rip), %rsp
  and $-64, %rsp
  mov %rsp, %rax
  sub $UC_SIZE, %rsp
  mov %rax, UC_FPREGS(%rsp)
  mov %r8, GREG(0)
  mov %r9, GREG(1)
  mov %r10, GREG(2)
  mov %r11, GREG(3)
  mov %r12, GREG(4)
  mov %r13, GREG(5)
  mov %r14, GREG(6)
  mov %r15, GREG(7)
  mov %rdi, GREG(8)
  mov %rsi, GREG(9)
  mov %rbp, GREG(10)
  mov %rbx, GREG(11)
  mov %rdx, GREG(12)
  mov SELF(SCRATCH_RAX), %rcx
  mov %rcx, GREG(13)
  mov SELF(SCRATCH_RCX), %rcx
  mov %rcx, GREG(14)
  mov %rax, %r12
  cld
  cmpl $0, signal_fpu_xsave(%rip)
  je 3f
  movq $0, 512(%r12) /* XSAVE does not clear its header (SDM vol. 1, 13.7) */
  movq $0, 520(%r12)
  movq $0, 528(%r12)
  movq $0, 536(%r12)
  movq $0, 544(%r12)
  movq $0, 552(%r12)
  movq $0, 560(%r12)
  movq $0, 568(%r12)
  mov $-1, %eax
  mov $-1, %edx
  xsave64 (%r12)
  jmp 4f
3:
  fxsave64 (%r12)
4:
  mov %rsp, %rdi
  call signal_deliver
  cmpl $0, signal_fpu_xsave(%rip)
  je 5f
  mov $-1, %eax
  mov $-1, %edx
  xrstor64 (%r12)
  jmp 6f
5:
  fxrstor64 (%r12)
6:
  mov GREG(R_RSP), %rcx
  mov GREG(R_RIP), %rax
  mov %rax, -136(%rcx)
  mov GREG(R_EFL), %rax
  mov %rax, -144(%rcx)
  mov GREG(13), %rax
  mov %rax, -152(%rcx)
  mov GREG(14), %rax
  mov %rax, -160(%rcx)
  mov GREG(0), %r8
  mov GREG(1), %r9
  mov GREG(2), %r10
  mov GREG(3), %r11
  mov GREG(4), %r12
  mov GREG(5), %r13
  mov GREG(6), %r14
  mov GREG(7), %r15
  mov GREG(8), %rdi
  mov GREG(9), %rsi
  mov GREG(10), %rbp
  mov GREG(11), %rbx
  mov GREG(12), %rdx
  lea -160(%rcx), %rsp
  pop %rcx
  pop %rax
  popfq
  ret $128
.size __cathode_trampoline, . - __cathode_trampoline

/* libc passes these to sigaction(); no frame here ever returns through them. */
__restore:
__restore_rt:
  ud2

/* A signal that cancels finds its victim by these in libc; with posix_self.cancelled there is nothing
 * between them, see dispatch.c. */
.global __cp_begin, __cp_end, __cp_cancel
.hidden __cp_begin, __cp_end, __cp_cancel
__cp_begin:
__cp_end:
__cp_cancel:
  jmp __cancel

/* int __set_thread_area(void *tp): libc's first word to us. The block lies at a fixed distance below. */
.global __set_thread_area, __clone, __unmapself
.hidden __set_thread_area, __clone, __unmapself
__set_thread_area:
  lea __cathode_thread@tpoff(%rdi), %rsi
  jmp posix_start
__clone:
  jmp thread_clone
__unmapself:
  jmp thread_unmap_exit

.section .note.GNU-stack, "", @progbits
