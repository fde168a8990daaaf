; The first instructions in ring 3, without a stack.
;
; The kernel has mapped this blob at ABI_BOOTSTRAP_BASE, privately, readable and executable, and
; nothing else of this program. So: make the data writable, map what is zero at the start, map a
; stack (nothing is mapped below it: an overflow faults), and call C. Until then no memory is
; written. A failure has nobody to be told to: UD2 ends the first process, which the kernel reports.
; Numbers are those of abi/, asserted in main.c.

bits 64
default rel

%define NR_MMAP 13
%define NR_MPROTECT 15
%define PROT_RW 3
%define MAP_FIXED_PRIVATE_ANON 0x32
%define FD_NONE -1
%define STACK_TOP 0x1000000
%define STACK_SIZE 0x40000

extern bootstrap_main
extern data_start, data_size, bss_start, bss_size

%macro map_zero 2 ; address, size
  mov rdi, %1
  mov rsi, %2
  mov edx, PROT_RW
  mov r10d, MAP_FIXED_PRIVATE_ANON
  mov r8, FD_NONE
  xor r9d, r9d
  mov eax, NR_MMAP
  syscall
  test rax, rax
  js fail
%endmacro

section .entry progbits alloc exec nowrite align=16
global bootstrap_entry
bootstrap_entry:
  cld
  mov rdi, data_start
  mov rsi, data_size
  mov edx, PROT_RW
  mov eax, NR_MPROTECT
  syscall
  test rax, rax
  js fail
  map_zero bss_start, bss_size
  map_zero STACK_TOP - STACK_SIZE, STACK_SIZE
  mov rsp, STACK_TOP
  xor ebp, ebp
  call bootstrap_main
fail:
  ud2

section .note.GNU-stack noalloc noexec nowrite progbits
