; The parts of the runtime that C cannot say: the two sides of a fork, the first instructions of a
; thread, interruptible kernel entries, and copies whose faults are answers.
;
; Nothing here uses the thread pointer or the stack below rsp, so that all of it works in programs
; without libc. rt_block and the probes are leaf routines that push nothing: the signal trampoline
; may move their rip and leave everything else as it is. Numbers are those of abi/, asserted in
; process.c.

bits 64
default rel

%define NR_CALL 12
%define OP_PROC_CREATE 40
%define FD_SELF -101
%define OP_A 8              ; struct proc_op: a
%define OP_B 16             ; b
%define EINTR_NEG -4
%define EFAULT_NEG -14

section .text align=16

; int64_t rt_fork_enter(struct proc_op *ops, size_t in_len, struct proc_op *regs, uint64_t flags)
; Fills regs->a and regs->b so that the child returns 0 from here, then makes the one call.
global rt_fork_enter:function
rt_fork_enter:
  push rbp
  push rbx
  push r12
  push r13
  push r14
  push r15
  sub rsp, 8
  stmxcsr [rsp]
  fnstcw [rsp + 4]
  lea rax, [.child]
  mov [rdx + OP_A], rax
  mov [rdx + OP_B], rsp
  mov r10, rsi
  mov r9, rcx
  mov rdx, rdi
  mov rdi, FD_SELF
  mov esi, OP_PROC_CREATE
  xor r8d, r8d
  mov eax, NR_CALL
  syscall
  add rsp, 56               ; the six registers are as they were
  ret
.child:
  ldmxcsr [rsp]
  fldcw [rsp + 4]
  add rsp, 8
  pop r15
  pop r14
  pop r13
  pop r12
  pop rbx
  pop rbp
  xor eax, eax
  ret

; First instruction of a thread: rdi = argument, [rsp] = struct thread_start, whose function must
; not return.
global rt_thread_enter:function
rt_thread_enter:
  xor ebp, ebp
  ldmxcsr [rsp]
  fldcw [rsp + 4]
  add rsp, 8
  pop rax
  call rax
  ud2

; int64_t rt_block(stop, nr, a, b, c, d, e, f): see syscall.h. posix_wait() enters at
; rt_block_begin, with r11 = stop and the rest in the kernel's registers.
global rt_block:function, rt_block_begin, rt_block_end, rt_block_stop
rt_block:
  mov rax, rsi
  mov r11, rdi
  mov rdi, rdx
  mov rsi, rcx
  mov rdx, r8
  mov r10, r9
  mov r8, [rsp + 8]
  mov r9, [rsp + 16]
rt_block_begin:
  cmp qword [r11], 0
  jne rt_block_stop
  syscall
rt_block_end:
  ret
rt_block_stop:
  mov rax, EINTR_NEG
  ret

; int64_t rt_probe_copy(void *dst, const void *src, size_t n): 0, or -EFAULT.
global rt_probe_copy:function, rt_probe_string:function
global rt_probe_begin, rt_probe_end, rt_probe_fault
rt_probe_copy:
  xor eax, eax
rt_probe_begin:
  sub rdx, 8
  jb .tail
.words:
  mov rcx, [rsi]
  mov [rdi], rcx
  add rsi, 8
  add rdi, 8
  sub rdx, 8
  jae .words
.tail:
  add rdx, 8
  jz .done
.bytes:
  mov cl, [rsi]
  mov [rdi], cl
  inc rsi
  inc rdi
  dec rdx
  jnz .bytes
.done:
  ret

; int64_t rt_probe_string(char *dst, const char *src, size_t cap): copies at most cap bytes up to
; and with the NUL; answers the length, cap when there was no NUL, or -EFAULT.
rt_probe_string:
  xor eax, eax
.next:
  cmp rax, rdx
  jae .out
  mov cl, [rsi + rax]
  mov [rdi + rax], cl
  inc rax
  test cl, cl
  jnz .next
  dec rax
.out:
  ret

; int64_t rt_probe_length(const char *src): the length of a string, or -EFAULT.
global rt_probe_length:function
rt_probe_length:
  xor eax, eax
.each:
  cmp byte [rdi + rax], 0
  je .found
  inc rax
  jmp .each
.found:
  ret
rt_probe_end:
rt_probe_fault:
  mov rax, EFAULT_NEG
  ret

section .note.GNU-stack noalloc noexec nowrite progbits
