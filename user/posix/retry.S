/* The kernel entry of calls that wait, and that go on after a handler with SA_RESTART: what
 * posix_retry3() and posix_retry6() of posix.h call.
 *
 *   rax = number of the call, rdi rsi rdx r10 r8 r9 = its arguments; answers rax, loses what SYSCALL loses
 *
 * The arguments wait in the red zone. The signal trampoline knows the window between the look at `stop` and
 * the SYSCALL instruction, and moves a thread that it interrupted there to posix_retry_stop: no signal is
 * slept through [P2]. */

/* struct posix_thread, asserted in signal.c */
#define STOP 72
#define INTERRUPTED 72
#define SELF(offset) %fs:__cathode_thread@tpoff + offset

#define EINTR 4

.text
.global posix_retry_enter, posix_retry_begin, posix_retry_end, posix_retry_stop
.hidden posix_retry_enter, posix_retry_begin, posix_retry_end, posix_retry_stop
.type posix_retry_enter, @function
posix_retry_enter:
  mov %rax, -8(%rsp)
  mov %rdi, -16(%rsp)
  mov %rsi, -24(%rsp)
  mov %rdx, -32(%rsp)
  mov %r10, -40(%rsp)
  mov %r8, -48(%rsp)
  mov %r9, -56(%rsp)
  movl $0, SELF(INTERRUPTED)
posix_retry_begin:
  cmpq $0, SELF(STOP)
  jne posix_retry_stop
  syscall
posix_retry_end:
  cmp $-EINTR, %rax
  je 1f
  ret
posix_retry_stop:
  mov $-EINTR, %rax
1:
  cmpq $0, SELF(STOP)
  jne 2f
  mov -8(%rsp), %rax
  mov -16(%rsp), %rdi
  mov -24(%rsp), %rsi
  mov -32(%rsp), %rdx
  mov -40(%rsp), %r10
  mov -48(%rsp), %r8
  mov -56(%rsp), %r9
  jmp posix_retry_begin
2:
  ret
.size posix_retry_enter, . - posix_retry_enter

.section .note.GNU-stack, "", @progbits
