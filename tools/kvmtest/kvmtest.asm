; A kernel that proves an accelerator: it executes what kernels execute, and times it.
;
; Entered by PVH in 32-bit mode, it goes to long mode with the first 4 GiB identity-mapped, then
; runs each step of the table `steps` three times and reports the fastest, as records on port 0xe9:
;
;     \x1estep NAME CYCLES     cycles of one operation
;     \x1eexit 0               after the last step; then isa-debug-exit with 0x10
;     \x1epanic TEXT           an exception nobody asked for; then isa-debug-exit with 0x11
;
; Whether the cycles are those of a working accelerator is for the host to judge (tools/accel.py).
; A step that is never finished is a hang, which the host notices too. Limits: one CPU, no memory
; map, no command line. Manual sections are those of the AMD64 Architecture Programmer's Manual,
; volume 2 (APM2).

%define PORT_LOG   0xe9
%define PORT_EXIT  0xf4
%define LAPIC      0xfee00000
%define MSR_EFER   0xc0000080
%define MSR_STAR   0xc0000081
%define MSR_LSTAR  0xc0000082
%define MSR_SFMASK 0xc0000084
%define MSR_GSBASE 0xc0000101

%define SEL_KCODE  0x08
%define SEL_KDATA  0x10
%define SEL_UDATA  0x1b ; SYSRET takes SS and CS from one base: data first (APM2 6.1.1)
%define SEL_UCODE  0x23
%define SEL_TSS    0x28

%define VEC_TIMER  0x40
%define VEC_USER   0x41
%define N_RUNS     3

section .note progbits alloc noexec nowrite align=4
  dd 4, 4, 18 ; name and descriptor lengths, XEN_ELFNOTE_PHYS32_ENTRY
  db "Xen", 0
  dd start32

; ---- 32-bit entry: page tables, long mode ------------------------------------------------------
section .text
global start32
bits 32
start32:
  cld
  mov esp, stack_top
  mov edi, page_dirs
  mov eax, 0x87 ; present, writable, user, 2 MiB
  mov ecx, 4 * 512
.fill:
  mov [edi], eax
  mov dword [edi + 4], 0
  add eax, 0x200000
  add edi, 8
  loop .fill
  mov edi, pdpt
  mov eax, page_dirs + 7
  mov ecx, 4
.link:
  mov [edi], eax
  add eax, 0x1000
  add edi, 8
  loop .link
  mov dword [pml4], pdpt + 7
  mov eax, pml4
  mov cr3, eax
  mov eax, cr4
  or eax, (1 << 5) | (1 << 9) | (1 << 10) ; PAE, OSFXSR, OSXMMEXCPT
  mov cr4, eax
  mov ecx, MSR_EFER
  rdmsr
  or eax, (1 << 8) | 1 ; LME, SCE
  wrmsr
  mov eax, cr0
  and eax, ~(1 << 2) ; EM
  or eax, (1 << 31) | (1 << 1) | 1
  mov cr0, eax
  lgdt [gdt_pointer]
  jmp SEL_KCODE:start64

; ---- 64-bit: tables, then the steps ------------------------------------------------------------
bits 64
start64:
  mov eax, SEL_KDATA
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov rsp, stack_top
  call tss_init
  call idt_init
  call lapic_init
  call syscall_init
  mov rbx, steps
.next:
  mov rsi, [rbx]
  test rsi, rsi
  jz .done
  call step_run
  call step_report
  add rbx, 24
  jmp .next
.done:
  mov rsi, text_exit
  call text_put
  mov eax, 0x10
  out PORT_EXIT, eax
.stop:
  hlt
  jmp .stop

; Runs the step at rbx; answers the cycles of one operation, of the fastest run, in rax.
step_run:
  mov r14, -1
  mov r13d, N_RUNS
.again:
  call cycles_now
  mov r15, rax
  mov rcx, [rbx + 16]
  push rbx
  push r13
  push r14
  push r15
  call [rbx + 8]
  pop r15
  pop r14
  pop r13
  pop rbx
  call cycles_now
  sub rax, r15
  cmp rax, r14
  cmovb r14, rax
  dec r13d
  jnz .again
  mov rax, r14
  xor edx, edx
  div qword [rbx + 16]
  ret

; Writes the record of the step at rbx, whose result is rax.
step_report:
  push rax
  mov rsi, text_step
  call text_put
  mov rsi, [rbx]
  call text_put
  mov al, ' '
  out PORT_LOG, al
  pop rax
  call number_put
  mov al, 10
  out PORT_LOG, al
  ret

cycles_now:
  lfence
  rdtsc
  shl rdx, 32
  or rax, rdx
  ret

; rsi: text ending in NUL.
text_put:
  lodsb
  test al, al
  jz .end
  out PORT_LOG, al
  jmp text_put
.end:
  ret

; rax: the number, written in decimal.
number_put:
  mov rdi, number_end
  mov ecx, 10
.digit:
  xor edx, edx
  div rcx
  add dl, '0'
  dec rdi
  mov [rdi], dl
  test rax, rax
  jnz .digit
  mov rsi, rdi
  jmp text_put

; ---- set-up ------------------------------------------------------------------------------------
tss_init:
  mov qword [tss + 4], interrupt_stack_top ; RSP0, APM2 12.2.5
  mov rax, tss
  mov [gdt_tss + 2], ax
  shr rax, 16
  mov [gdt_tss + 4], al
  mov [gdt_tss + 7], ah
  mov ax, SEL_TSS
  ltr ax
  ret

; Gates 0..31 lead to their stubs; breakpoint, page fault, timer and the user's gate to handlers.
idt_init:
  mov rdi, 0
  mov rax, exception_stubs
.stub:
  call gate_set
  add rax, 16
  inc rdi
  cmp rdi, 32
  jb .stub
  mov rax, breakpoint_entry
  mov edi, 3
  call gate_set
  mov rax, fault_entry
  mov edi, 14
  call gate_set
  mov rax, timer_entry
  mov edi, VEC_TIMER
  call gate_set
  mov rax, breakpoint_entry
  mov edi, VEC_USER
  call gate_set
  mov byte [idt + VEC_USER * 16 + 5], 0xee ; DPL 3
  lidt [idt_pointer]
  ret

; rdi: vector, rax: handler. APM2 4.8.4.
gate_set:
  push rdi
  shl rdi, 4
  mov [idt + rdi], ax
  mov word [idt + rdi + 2], SEL_KCODE
  mov word [idt + rdi + 4], 0x8e00
  mov rdx, rax
  shr rdx, 16
  mov [idt + rdi + 6], dx
  pop rdi
  ret

lapic_init:
  mov al, 0xff ; both 8259s masked: their lines are not ours
  out 0x21, al
  out 0xa1, al
  mov rsi, LAPIC
  mov dword [rsi + 0xf0], 0x1ff   ; enabled, spurious vector 0xff
  mov dword [rsi + 0x3e0], 0xb    ; timer divides by 1
  mov dword [rsi + 0x320], VEC_TIMER
  ret

syscall_init:
  mov ecx, MSR_STAR
  xor eax, eax
  mov edx, (SEL_KDATA << 16) | SEL_KCODE
  wrmsr
  mov ecx, MSR_LSTAR
  mov eax, syscall_entry
  xor edx, edx
  wrmsr
  mov ecx, MSR_SFMASK
  mov eax, 0x200
  wrmsr
  ret

; ---- entries -----------------------------------------------------------------------------------
breakpoint_entry:
  iretq

; The only fault that is meant is step_fault's three-byte load, which is stepped over.
fault_entry:
  mov rax, cr2
  cmp rax, [fault_address]
  jne fault_unexpected
  add rsp, 8
  add qword [rsp], 3
  iretq
fault_unexpected:
  push qword 14
  jmp exception_common

timer_entry:
  push rax
  inc dword [n_ticks]
  mov eax, LAPIC
  mov dword [rax + 0xb0], 0 ; end of interrupt
  pop rax
  iretq

; rax = 0: a call to be timed. Anything else: back to step_syscall or step_ring3_int.
syscall_entry:
  test eax, eax
  jnz .leave
  o64 sysret
.leave:
  mov rsp, [kernel_stack]
  ret

align 16
exception_stubs:
%assign vector 0
%rep 32
  align 16
  push qword vector
  jmp exception_common
%assign vector vector + 1
%endrep

exception_common:
  mov rsi, text_panic
  call text_put
  pop rax
  call number_put
  mov rsi, text_at
  call text_put
  mov rax, [rsp] ; RIP, or the error code for the vectors that have one
  call number_put
  mov al, 10
  out PORT_LOG, al
  mov eax, 0x11
  out PORT_EXIT, eax
.stop:
  hlt
  jmp .stop

; ---- steps: rcx operations each ----------------------------------------------------------------
step_loop:
  dec rcx
  jnz step_loop
  ret

step_int3:
  int3
  dec rcx
  jnz step_int3
  ret

step_fault:
  mov r8, rcx
  mov r15, [fault_address]
.next:
  mov al, [r15] ; 41 8a 07
  dec r8
  jnz .next
  ret

; The timer is armed for the near future and awaited in HLT: delivery, EOI and wake-up.
step_timer:
  mov r8, rcx
  mov esi, LAPIC
.next:
  mov eax, [n_ticks]
  mov dword [rsi + 0x380], 10000
.wait:
  cli
  cmp eax, [n_ticks]
  jne .ticked
  sti
  hlt
  jmp .wait
.ticked:
  dec r8
  jnz .next
  ret

; rdx:rax counts what the memory holds, so each exchange must succeed.
step_cmpxchg16b:
  mov r8, rcx
  mov rdi, pair
  mov rax, [rdi]
  mov rdx, [rdi + 8]
.next:
  lea rbx, [rax + 1]
  lea rcx, [rdx + 3]
  lock cmpxchg16b [rdi]
  jnz .failed
  mov rax, rbx
  mov rdx, rcx
  dec r8
  jnz .next
  ret
.failed:
  ud2

; Into ring 3 by SYSRET, rcx calls from there, and back.
step_syscall:
  mov rdi, user_syscalls
  jmp ring3_enter
step_ring3_int:
  mov rdi, user_interrupts
ring3_enter:
  mov r12, rcx
  mov [kernel_stack], rsp
  mov rcx, rdi
  mov r11d, 2 ; interrupts off: the stack is the kernel's own
  o64 sysret

user_syscalls:
  xor eax, eax
  syscall
  dec r12
  jnz user_syscalls
  inc eax
  syscall
user_interrupts:
  int VEC_USER
  dec r12
  jnz user_interrupts
  mov eax, 1
  syscall

step_port:
  mov al, 0
.next:
  out 0x80, al ; the POST code: a port that answers everywhere and does nothing
  dec rcx
  jnz .next
  ret

step_stosb_page:
  mov r8, rcx
  xor eax, eax
.next:
  mov rdi, page
  mov ecx, 4096
  rep stosb
  dec r8
  jnz .next
  ret

step_stosq_page:
  mov r8, rcx
  xor eax, eax
.next:
  mov rdi, page
  mov ecx, 512
  rep stosq
  dec r8
  jnz .next
  ret

step_cr3:
  mov rax, cr3
.next:
  mov cr3, rax
  dec rcx
  jnz .next
  ret

step_invlpg:
  invlpg [page]
  dec rcx
  jnz step_invlpg
  ret

step_msr:
  mov r8, rcx
  mov ecx, MSR_GSBASE
.next:
  rdmsr
  wrmsr
  dec r8
  jnz .next
  ret

step_fxsave:
  fxsave64 [page]
  fxrstor64 [page]
  dec rcx
  jnz step_fxsave
  ret

; ---- data --------------------------------------------------------------------------------------
; One row: name, function, operations a run.
%macro step 2
  [section .rodata.names]
%defstr %%text %1
%%name:
  db %%text, 0
  __?SECT?__
  dq %%name, step_%1, %2
%endmacro

section .rodata
align 8
steps:
  step loop, 100000
  step int3, 500
  step fault, 200
  step timer, 10
  step cmpxchg16b, 1000
  step syscall, 500
  step ring3_int, 500
  step port, 200
  step stosb_page, 8
  step stosq_page, 8
  step cr3, 100
  step invlpg, 100
  step msr, 100
  step fxsave, 100
  dq 0

text_step:  db 0x1e, "step ", 0
text_exit:  db 0x1e, "exit 0", 10, 0
text_panic: db 0x1e, "panic kvmtest: exception ", 0
text_at:    db " at ", 0

section .data
align 16
gdt:
  dq 0
  dq 0x00af9a000000ffff ; kernel code, 64-bit
  dq 0x00cf92000000ffff ; kernel data
  dq 0x00cff2000000ffff ; user data
  dq 0x00affa000000ffff ; user code, 64-bit
gdt_tss:
  dq 0x0000890000000067, 0
gdt_pointer:
  dw gdt_pointer - gdt - 1
  dd gdt
idt_pointer:
  dw 256 * 16 - 1
  dq idt
align 16
pair: dq 1, 2
fault_address: dq 0x0000400000000000 ; its top-level entry is empty

section .bss
alignb 4096
pml4:      resb 4096
pdpt:      resb 4096
page_dirs: resb 4 * 4096
page:      resb 4096
idt:       resb 4096
tss:       resb 104
  resb 24
number_text: resb 24
number_end:  resb 8 ; stays NUL
kernel_stack: resq 1
n_ticks:   resd 1
alignb 16
  resb 8192
stack_top:
  resb 8192
interrupt_stack_top:
