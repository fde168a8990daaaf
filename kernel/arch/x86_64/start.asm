; Entry from the boot loader, in 32-bit protected mode without paging, and from INIT-SIPI in real
; mode.
;
; PVH (QEMU -kernel; Xen "x86/HVM direct boot ABI"): ebx = physical address of struct
; hvm_start_info. Multiboot2 (GRUB; Multiboot2 Specification 3.1): eax = 0x36d76289, ebx = the
; information structure. Both build the same first page tables (identity and kernel base, 4 GiB of
; direct map, 2 MiB pages), enter long mode and call arch_entry(kind, physical address) on the boot
; stack. arch_boot_map() replaces the tables.

%define DIRECT 0xffff800000000000       ; DIRECT_MAP_BASE of arch.h
%define MB2_LOADED 0x36d76289
%define MB2_MAGIC 0xe85250d6

extern arch_entry
extern arch_ap_entry
global boot_pvh
global boot_pml4
global ap_trampoline
global ap_trampoline_end
global ap_cr3
global ap_stack
global ap_cpu

section .multiboot2 progbits alloc noexec nowrite align=8
mb2_header:
  dd MB2_MAGIC, 0, mb2_header_end - mb2_header, -(MB2_MAGIC + 0 + (mb2_header_end - mb2_header))
  dw 3, 0                       ; entry address
  dd 12, boot_mb2
  dd 0                          ; tags are aligned to 8
  dw 6, 0                       ; modules page-aligned
  dd 8
  dw 0, 0
  dd 8
mb2_header_end:

section .note.pvh progbits alloc noexec nowrite align=4
  dd 4, 4, 18                   ; XEN_ELFNOTE_PHYS32_ENTRY
  db "Xen", 0
  dd boot_pvh

section .boot.bss nobits alloc noexec write align=4096
boot_pml4:    resb 4096
boot_pdpt_lo: resb 4096         ; identity and direct map: the first 4 GiB
boot_pdpt_hi: resb 4096         ; the kernel image
boot_pd:      resb 4 * 4096
boot_stack:   resb 16384
boot_stack_top:

section .boot.data progbits alloc noexec write align=8
boot_gdt:
  dq 0
  dq 0x00af9b000000ffff         ; 0x08: 64-bit code
  dq 0x00cf93000000ffff         ; 0x10: data
boot_gdt_ptr:
  dw $ - boot_gdt - 1
  dq boot_gdt

section .boot.text progbits alloc exec nowrite align=16
bits 32
boot_mb2:
  cmp eax, MB2_LOADED
  jne halt32
  mov ebp, 1
  jmp boot_common
boot_pvh:
  xor ebp, ebp
boot_common:
  cli
  cld
  mov esp, boot_stack_top
  mov edi, boot_pml4
  xor eax, eax
  mov ecx, (boot_stack - boot_pml4) / 4
  rep stosd
  ; 2048 large pages: 4 GiB
  mov eax, 0x83                 ; present, write, large
  xor edx, edx
  xor ecx, ecx
.fill:
  mov [boot_pd + ecx * 8], eax
  add eax, 0x200000
  inc ecx
  cmp ecx, 2048
  jne .fill
  mov eax, boot_pd + 3
  xor ecx, ecx
.pdpt:
  mov [boot_pdpt_lo + ecx * 8], eax
  add eax, 4096
  inc ecx
  cmp ecx, 4
  jne .pdpt
  mov dword [boot_pdpt_hi + 510 * 8], boot_pd + 3
  mov dword [boot_pml4], boot_pdpt_lo + 3
  mov dword [boot_pml4 + 256 * 8], boot_pdpt_lo + 3
  mov dword [boot_pml4 + 511 * 8], boot_pdpt_hi + 3
  mov eax, boot_pml4
  mov cr3, eax
  call enter_long_mode
  lgdt [boot_gdt_ptr]
  jmp 0x08:boot_long

; PAE on, EFER.LME (and NX where CPUID 0x80000001 edx bit 20 has it), paging on. SDM vol. 3A 9.8.5.
enter_long_mode:
  push ebx
  mov eax, cr4
  or eax, 1 << 5
  mov cr4, eax
  mov eax, 0x80000001
  cpuid
  mov esi, edx
  mov ecx, 0xc0000080
  rdmsr
  or eax, 1 << 8
  test esi, 1 << 20
  jz .no_nx
  or eax, 1 << 11
.no_nx:
  wrmsr
  mov eax, cr0
  and eax, ~(3 << 29)           ; INIT leaves CD and NW set: no caching (SDM vol. 3A 9.1.1)
  or eax, (1 << 31) | (1 << 16) | 1
  mov cr0, eax
  pop ebx
  ret

halt32:
  hlt
  jmp halt32

bits 64
boot_long:
  mov ax, 0x10
  mov ds, ax
  mov es, ax
  mov ss, ax
  xor eax, eax
  mov fs, ax
  mov gs, ax
  mov rax, DIRECT + boot_stack_top
  mov rsp, rax
  mov edi, ebp
  mov esi, ebx
  xor ebp, ebp
  mov rax, arch_entry
  call rax
  ud2

; ---- further CPUs: copied to a page below 1 MiB, entered in real mode at its start -----------
section .rodata
align 16
bits 16
ap_trampoline:
  cli
  cld
  mov ax, cs
  mov ds, ax
  xor edi, edi
  mov di, cs
  shl edi, 4                    ; linear address of this page
  lea eax, [edi + (ap_pm - ap_trampoline)]
  mov [ap_far - ap_trampoline], eax
  lea eax, [edi + (ap_gdt - ap_trampoline)]
  mov [ap_gdt_ptr + 2 - ap_trampoline], eax
  o32 lgdt [ap_gdt_ptr - ap_trampoline]
  mov eax, cr0
  or eax, 1
  mov cr0, eax
  o32 jmp far [ap_far - ap_trampoline]
align 4
ap_far:
  dd 0
  dw 0x18
align 8
ap_gdt:
  dq 0
  dq 0x00af9b000000ffff         ; 0x08: 64-bit code
  dq 0x00cf93000000ffff         ; 0x10: data
  dq 0x00cf9b000000ffff         ; 0x18: 32-bit code
ap_gdt_ptr:
  dw $ - ap_gdt - 1
  dd 0
bits 32
ap_pm:
  mov ax, 0x10
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov eax, cr4
  or eax, 1 << 5
  mov cr4, eax
  mov eax, [edi + (ap_cr3 - ap_trampoline)]
  mov cr3, eax
  mov eax, 0x80000001
  cpuid
  mov esi, edx
  mov ecx, 0xc0000080
  rdmsr
  or eax, 1 << 8
  test esi, 1 << 20
  jz .no_nx
  or eax, 1 << 11
.no_nx:
  wrmsr
  mov eax, cr0
  and eax, ~(3 << 29)           ; INIT leaves CD and NW set: no caching (SDM vol. 3A 9.1.1)
  or eax, (1 << 31) | (1 << 16) | 1
  mov cr0, eax
  lea eax, [edi + (ap_long - ap_trampoline)]
  mov [edi + (ap_far - ap_trampoline)], eax
  mov word [edi + (ap_far - ap_trampoline) + 4], 0x08
  jmp far [edi + (ap_far - ap_trampoline)]
bits 64
ap_long:
  mov edi, edi
  mov rsp, [rdi + (ap_stack - ap_trampoline)]
  mov edi, [rdi + (ap_cpu - ap_trampoline)]
  xor ebp, ebp
  mov rax, arch_ap_entry
  call rax
  ud2
align 8
ap_cr3:   dq 0                  ; filled in the copy
ap_stack: dq 0
ap_cpu:   dq 0
ap_trampoline_end:
