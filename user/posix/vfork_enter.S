/* Both sides of vfork(): see vfork.c. The child goes back to the caller first, over this frame, so
 * what the parent needs later is in its registers or in struct vfork_call. */
#include "posix/vfork.h"

#define NR_CALL 12
#define NR_FUTEX 16
#define OP_PROC_CREATE 40
#define FD_SELF -101

/* struct vfork_call, asserted in vfork.c */
#define CALL_RIP 0
#define CALL_RBX 8
#define CALL_RESULT 16
#define CALL_BUSY 24
#define CALL_BYTES 28
#define CALL_OPS 32
#define OPS_IP CALL_OPS + 8  /* of the first step, PROC_REGS */
#define OPS_SP CALL_OPS + 16

.text
.global vfork
.type vfork, @function
vfork:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  sub $8, %rsp
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  call vfork_begin
  test %rax, %rax
  jz .Lfork
  mov %rax, %rcx
  mov 40(%rsp), %rax
  mov %rax, CALL_RBX(%rcx)
  mov 56(%rsp), %rax
  mov %rax, CALL_RIP(%rcx)
  mov %rcx, %rbx
  lea .Lchild(%rip), %rax
  mov %rax, OPS_IP(%rbx)
  mov %rsp, OPS_SP(%rbx)
  mov $FD_SELF, %edi
  mov $OP_PROC_CREATE, %esi
  lea CALL_OPS(%rbx), %rdx
  mov CALL_BYTES(%rbx), %r10d
  xor %r8d, %r8d
  mov $VFORK_FLAGS, %r9d
  mov $NR_CALL, %eax
  syscall
  mov %rax, CALL_RESULT(%rbx)
  test %rax, %rax
  js .Lback
.Lwait:
  cmpl $0, CALL_BUSY(%rbx)
  je .Lback
  lea CALL_BUSY(%rbx), %rdi
  xor %esi, %esi /* FUTEX_OP_WAIT while it is 1, without end */
  mov $1, %edx
  mov $-1, %r10
  xor %r8d, %r8d
  xor %r9d, %r9d
  mov $NR_FUTEX, %eax
  syscall
  jmp .Lwait
.Lback:
  call vfork_end
  mov CALL_RIP(%rbx), %rcx
  mov CALL_RBX(%rbx), %rbx
  add $56, %rsp
  mov %rcx, (%rsp)
  mov %rax, %rdi
  jmp __syscall_ret
.Lchild:
  call vfork_child
  xor %eax, %eax
  jmp .Lleave
.Lfork:
  call __cathode_fork
  mov %rax, %rdi
  call __syscall_ret
.Lleave:
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  add $8, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret

.section .note.GNU-stack, "", @progbits
