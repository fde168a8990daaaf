; Every way into and out of the kernel: system calls, exceptions and interrupts, thread switch,
; first entry to ring 3, and the copies to and from user memory that may fault.
;
; Invariants
;  [A1] In ring 0 gs:0 is this CPU's struct arch_cpu; swapgs happens only where the saved cs is
;  ring 3.
;       NMI, #DF and #MC may come between swapgs and iret, so they set gs from their IST stack's
;       top.
;  [A2] Interrupts are disabled in ring 0 but in arch_idle and arch_irq_window, which hold no state.
;  [A3] The top of a thread's kernel stack is its struct arch_user_frame (rip cs rflags rsp ss). Its
;  cs
;       is USER_CS where ring 3 was interrupted (the CPU pushes it zero-extended, AMD64 vol. 2
;       8.9.3), USER_CS_CALL in a system call, NO_CS in threads that never see ring 3. IRET takes
;       the low 16 bits (SDM vol. 2), SYSRET none.
;  [A4] rcx of SYSRET is canonical: the last user page is never mapped (ABI_USER_END), and rip
;  values set
;       by others are checked (SDM vol. 2, SYSRET; "SYSRET #GP in ring 0 with the user's stack").

default rel
%include "kernel/arch/x86_64/offsets.inc"

extern cpu_fast_switch
extern cpu_has_smap
extern fpu_clean
extern fpu_xcr0
extern thread_state_switch
extern trap_dispatch
extern trap_paranoid
extern upcall_return_to_user
extern upcall_syscall_table

global syscall_entry
global arch_user_enter_asm
global thread_start
global thread_switch
global trap_stubs
global arch_copy_from_user
global arch_copy_to_user
global arch_copy_user_now
global arch_load_user_u32_asm
global arch_store_user_u32_asm
global arch_cas_user_u32_asm
global user_copy_start
global user_copy_end
global user_copy_fault
global user_copy_now_start
global user_copy_now_end
global arch_idle
global arch_irq_window
global bench_int_loop
global bench_int_handler

section .text

; ---- system calls ---------------------------------------------------------------------------
; SYSCALL: rip in rcx, rflags in r11, rsp and gs still the user's, IF cleared by SFMASK.
align 64
syscall_entry:
  swapgs
  mov [gs:CPU_USER_SP], rsp
  mov rsp, [gs:CPU_RSP0]
  push USER_SS
  push qword [gs:CPU_USER_SP]
  push r11
  push USER_CS_CALL
  push rcx
  cmp rax, SYS_NR_COUNT
  jae .unknown
  push rbp
  mov rbp, rsp
  mov rcx, r10
  mov r10, [upcall_syscall_table]
  call [r10 + rax * 8]
.leave:
  pop rbp
  mov rdx, [gs:CPU_CURRENT]
  cmp dword [rdx + THREAD_WORK], 0
  jne .work
.sysret:
%if CATHODE_DEBUG               ; who counts on what a call does not keep is to notice [F1]
  %assign reg 0
  %rep 16
  pcmpeqd xmm%[reg], xmm%[reg]
  %assign reg reg + 1
  %endrep
%endif
  pop rcx
  add rsp, 8
  pop r11
  pop rsp
  xor edi, edi                  ; nothing of the kernel's stays in a register
  xor esi, esi
  xor edx, edx
  xor r8d, r8d
  xor r9d, r9d
  xor r10d, r10d
  swapgs
  o64 sysret
.unknown:
  push rbp
  mov rax, -38                  ; -ENOSYS
  jmp .leave
.work:
  mov rdi, rsp
  mov esi, 1
  push rax
  call upcall_return_to_user
  pop rax
  jmp .sysret

; ---- exceptions and interrupts --------------------------------------------------------------
; One 16-byte stub a vector: push an error code where the CPU pushes none, and the vector.
%assign vector 0
align 16
trap_stubs:
%rep 256
  align 16
  %if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || \
      vector == 29 || vector == 30
    push vector
  %else
    push 0
    push vector
  %endif
  %if vector == 2 || vector == 8 || vector == 18
    jmp trap_paranoid_common
  %else
    jmp trap_common
  %endif
%assign vector vector + 1
%endrep

%macro SAVE_ALL 0
  push rax
  push rcx
  push rdx
  push rbx
  push rbp
  push rsi
  push rdi
  push r8
  push r9
  push r10
  push r11
  push r12
  push r13
  push r14
  push r15
%endmacro
; Ring 3 may have set AC, and a copy that faults has: SMAP would be off for the whole handler, and
; for every thread that runs while it sleeps (SDM vol. 3A 4.6.1). IRET puts AC back.
%macro CLEAR_AC 0
  cmp byte [cpu_has_smap], 0
  je %%done
  clac
%%done:
%endmacro
%macro RESTORE_ALL 0
  pop r15
  pop r14
  pop r13
  pop r12
  pop r11
  pop r10
  pop r9
  pop r8
  pop rdi
  pop rsi
  pop rbp
  pop rbx
  pop rdx
  pop rcx
  pop rax
%endmacro

align 64
trap_common:
  SAVE_ALL
  cld
  test byte [rsp + TRAP_CS], 3
  jz .kernel
  swapgs
  CLEAR_AC
  mov rdi, rsp
  xor ebp, ebp                  ; backtraces end here
  call trap_dispatch
  mov rdx, [gs:CPU_CURRENT]
  cmp dword [rdx + THREAD_WORK], 0
  je .to_user
  lea rdi, [rsp + TRAP_RIP]
  xor esi, esi
  call upcall_return_to_user
.to_user:
  RESTORE_ALL
  add rsp, 16
  swapgs
  iretq
.kernel:
  CLEAR_AC
  mov rdi, rsp
  mov rbp, rsp
  push qword [rsp + TRAP_RIP]   ; a frame that leads on to the interrupted code
  push qword [rbp + TRAP_RBP]
  mov rbp, rsp
  call trap_dispatch
  add rsp, 16
  RESTORE_ALL
  add rsp, 16
  iretq

; NMI, #DF, #MC on their own stacks [A1]: the word at the stack's top is this CPU's struct arch_cpu.
align 16
trap_paranoid_common:
  SAVE_ALL
  cld
  CLEAR_AC
  mov ecx, 0xc0000101           ; IA32_GS_BASE
  rdmsr
  mov r12d, eax
  mov r13d, edx
  mov rax, [rsp + TRAP_SIZE]    ; above the iret frame
  mov rdx, rax
  shr rdx, 32
  wrmsr
  mov rdi, rsp
  xor ebp, ebp
  call trap_paranoid
  mov eax, r12d
  mov edx, r13d
  mov ecx, 0xc0000101
  wrmsr
  RESTORE_ALL
  add rsp, 16
  iretq

; ---- threads --------------------------------------------------------------------------------
; thread_switch: rdi = struct arch_thread to leave, rsi = the one to go on with. Called by
; arch_thread_switch(), which tells the compiler that every register but rsp and rbp is lost: so
; each is saved once, by whoever uses it, and none here. Whether a thread is in a system call, was
; interrupted, or never sees ring 3 is what its frame's cs says [A3]; what that means for the FPU,
; fpu.c [F1].
%macro FPU_LEAVE_CALL 0         ; of rdi: the control words are what a call keeps
  stmxcsr [rdi + THREAD_MXCSR]
  fnstcw [rdi + THREAD_FCW]
  fnstsw ax
  test ax, ax
  jnz .x87_used
.x87_clean:
  emms
  vzeroall
%endmacro
%macro FPU_X87_INIT 0
  mov byte [rcx + CPU_X87_FOREIGN], 0
  mov eax, XCR0_X87
  xor edx, edx
  xrstor64 [fpu_clean]
%endmacro
%macro FPU_ENTER_INTERRUPTED 0  ; of rsi
  mov r9, [rsi + THREAD_FPU]
  mov eax, [fpu_xcr0]
  xor edx, edx
  xrstor64 [r9]
%endmacro
%macro FPU_ENTER_CALL 0         ; of rsi
  ldmxcsr [rsi + THREAD_MXCSR]
  fldcw [rsi + THREAD_FCW]
%endmacro

align 64
thread_switch:
  push rbp
  mov rcx, [gs:CPU_SELF]
  cmp byte [cpu_fast_switch], 0
  je .slow
  mov rdx, [rdi + THREAD_STACK_TOP]
  mov r8, [rsi + THREAD_STACK_TOP]
  cmp dword [rdx - FRAME_SIZE + FRAME_CS], USER_CS_CALL
  jne .leave_other
  FPU_LEAVE_CALL
.leave_user:
  cmp byte [rcx + CPU_X87_FOREIGN], 0
  jne .x87_foreign
.x87_own:
  rdfsbase rax
  mov [rdi + THREAD_FS], rax
  cmp dword [r8 - FRAME_SIZE + FRAME_CS], USER_CS_CALL
  jne .enter_other
  FPU_ENTER_CALL
.user_to_user:
  mov rax, [rsi + THREAD_FS]
  wrfsbase rax
  mov rdx, [rsi + THREAD_GS]
  swapgs
  rdgsbase rax
  wrgsbase rdx
  swapgs
  mov [rdi + THREAD_GS], rax
.stack:
  mov [rcx + CPU_CURRENT], rsi
  mov [rcx + CPU_RSP0], r8
  mov [rdi + THREAD_SP], rsp
  mov rsp, [rsi + THREAD_SP]
  pop rbp
  ret
.x87_used:                      ; flags that were raised stay raised: in MXCSR, at the same bits
  and eax, X87_FLAGS
  or [rdi + THREAD_MXCSR], eax
  fninit
  jmp .x87_clean
.x87_foreign:                   ; other page tables: not even data stays [F3]
  FPU_X87_INIT
  jmp .x87_own
.leave_other:
  cmp dword [rdx - FRAME_SIZE + FRAME_CS], NO_CS
  je .leave_kernel
  mov r9, [rdi + THREAD_FPU]
  mov eax, [fpu_xcr0]
  xor edx, edx
  xsave64 [r9]
  fninit
  vzeroall
  jmp .leave_user
.enter_other:
  cmp dword [r8 - FRAME_SIZE + FRAME_CS], NO_CS
  je .enter_kernel
  FPU_ENTER_INTERRUPTED
  jmp .user_to_user
.enter_kernel:
  swapgs
  rdgsbase rax
  swapgs
  mov [rdi + THREAD_GS], rax
  jmp .stack
.leave_kernel:
  mov edx, [r8 - FRAME_SIZE + FRAME_CS]
  cmp edx, NO_CS
  je .stack
  mov rax, [rsi + THREAD_FS]
  wrfsbase rax
  mov rax, [rsi + THREAD_GS]
  swapgs
  wrgsbase rax
  swapgs
  cmp edx, USER_CS_CALL
  jne .enter_interrupted
  cmp byte [rcx + CPU_X87_FOREIGN], 0
  je .enter_call
  FPU_X87_INIT
.enter_call:
  FPU_ENTER_CALL
  jmp .stack
.enter_interrupted:
  FPU_ENTER_INTERRUPTED
  jmp .stack
.slow:
  mov rbx, rdi
  mov r12, rsi
  call thread_state_switch
  mov rdi, rbx
  mov rsi, r12
  mov rcx, [gs:CPU_SELF]
  mov r8, [rsi + THREAD_STACK_TOP]
  jmp .stack

; First switch-in of a thread: its stack holds the entry and the argument (arch_thread_init).
align 16
thread_start:
  pop rbx
  pop rdi
  xor ebp, ebp
  call rbx
  ud2

; arch_user_enter_asm(struct arch_user_frame *frame, uint64_t arg): ring 3 with clean registers.
align 16
arch_user_enter_asm:
  mov rsp, rdi
  mov rdi, rsi
  xor eax, eax
  xor ebx, ebx
  xor ecx, ecx
  xor edx, edx
  xor esi, esi
  xor ebp, ebp
  xor r8d, r8d
  xor r9d, r9d
  xor r10d, r10d
  xor r11d, r11d
  xor r12d, r12d
  xor r13d, r13d
  xor r14d, r14d
  xor r15d, r15d
  swapgs
  iretq

; The one place where the kernel sleeps: STI keeps interrupts off for one more instruction, so that
; none is lost between the caller's check and HLT (SDM vol. 2, STI).
align 16
arch_idle:
  sti
  hlt
  cli
  ret

align 16
arch_irq_window:
  sti
  nop
  cli
  ret

; ---- user memory ----------------------------------------------------------------------------
; Between user_copy_start and user_copy_end a page fault that cannot be resolved continues at
; user_copy_fault with rdx = bytes not yet copied; between user_copy_now_start and
; user_copy_now_end each one does, and nothing is resolved. rdi, rsi: pointers, rdx: length. rax:
; bytes not copied, which may be more than that. SMAP: AC is set around the access only (SDM vol. 3A
; 4.6.1).
%define USER_COPY_STRING 512 ; bytes from which on the start of REP MOVS is paid back

; The last bytes in as few instructions as may be: 16 down to 8 and 7 down to 4 by two moves that
; overlap.
%macro USER_COPY_BODY 0
  cmp rdx, 16
  ja %%long
%%last:
  cmp edx, 4
  jb %%bytes
  cmp edx, 8
  jb %%four
  mov rax, [rsi]
  mov rcx, [rsi + rdx - 8]
  mov [rdi], rax
  mov [rdi + rdx - 8], rcx
  xor edx, edx
  jmp user_copy_done
%%four:
  mov eax, [rsi]
  mov ecx, [rsi + rdx - 4]
  mov [rdi], eax
  mov [rdi + rdx - 4], ecx
  xor edx, edx
  jmp user_copy_done
%%bytes:
  test edx, edx
  jz user_copy_done
%%byte:
  mov al, [rsi]
  mov [rdi], al
  inc rsi
  inc rdi
  dec edx
  jnz %%byte
  jmp user_copy_done
%%string:                   ; many: the processor copies lines (SDM vol. 1, 7.3.9.3)
  mov rcx, rdx
  shr rcx, 3
  rep movsq                 ; a fault leaves rdx as it is; resolved, it goes on where it was
  and edx, 7
  jmp %%last
%%long:
  cmp rdx, 64
  jb %%w32
  cmp rdx, USER_COPY_STRING
  jae %%string
%%big:
  mov rax, [rsi]
  mov rcx, [rsi + 8]
  mov r8, [rsi + 16]
  mov r9, [rsi + 24]
  mov [rdi], rax
  mov [rdi + 8], rcx
  mov [rdi + 16], r8
  mov [rdi + 24], r9
  mov rax, [rsi + 32]
  mov rcx, [rsi + 40]
  mov r8, [rsi + 48]
  mov r9, [rsi + 56]
  mov [rdi + 32], rax
  mov [rdi + 40], rcx
  mov [rdi + 48], r8
  mov [rdi + 56], r9
  add rsi, 64
  add rdi, 64
  sub rdx, 64
  cmp rdx, 64
  jae %%big
%%w32:                      ; below 64
  test dl, 32
  jz %%w16
  mov rax, [rsi]
  mov rcx, [rsi + 8]
  mov r8, [rsi + 16]
  mov r9, [rsi + 24]
  mov [rdi], rax
  mov [rdi + 8], rcx
  mov [rdi + 16], r8
  mov [rdi + 24], r9
  add rsi, 32
  add rdi, 32
  sub edx, 32
%%w16:
  cmp edx, 16
  jb %%last
  mov rax, [rsi]
  mov rcx, [rsi + 8]
  mov [rdi], rax
  mov [rdi + 8], rcx
  add rsi, 16
  add rdi, 16
  sub edx, 16
  jmp %%last
%endmacro

align 16
arch_copy_from_user:
arch_copy_to_user:
  cmp byte [cpu_has_smap], 0
  je user_copy_body
  stac
  jmp user_copy_body

align 16
arch_copy_user_now:
  cmp byte [cpu_has_smap], 0
  je user_copy_now_body
  stac
user_copy_now_start:
user_copy_now_body:
  USER_COPY_BODY
user_copy_now_end:

align 16
user_copy_start:
user_copy_body:
  USER_COPY_BODY
arch_load_user_u32_body:
  mov eax, [rdi]
  mov [rsi], eax
  xor edx, edx
  jmp user_copy_done
arch_store_user_u32_body:
  mov [rdi], esi
  xor edx, edx
  jmp user_copy_done
arch_cas_user_u32_body:
  lock cmpxchg [rdi], ecx
  mov [rsi], eax
  xor edx, edx
  jmp user_copy_done
user_copy_end:
user_copy_fault:
user_copy_done:
  cmp byte [cpu_has_smap], 0
  je .out
  clac
.out:
  mov rax, rdx
  ret

align 16
arch_load_user_u32_asm:
  mov edx, 4
  cmp byte [cpu_has_smap], 0
  je .go
  stac
.go:
  jmp arch_load_user_u32_body
align 16
arch_store_user_u32_asm:
  mov edx, 4
  cmp byte [cpu_has_smap], 0
  je .go
  stac
.go:
  jmp arch_store_user_u32_body
align 16
arch_cas_user_u32_asm:
  mov ecx, edx
  mov eax, [rsi]
  mov edx, 4
  cmp byte [cpu_has_smap], 0
  je .go
  stac
.go:
  jmp arch_cas_user_u32_body

; bench_int_loop(uint32_t n): software interrupts into a handler that only returns.
align 16
bench_int_loop:
  int VECTOR_BENCH
  dec edi
  jnz bench_int_loop
  ret
bench_int_handler:
  iretq
