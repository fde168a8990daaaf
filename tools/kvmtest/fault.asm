; A kernel that ends in a given way, to prove that the runner tells each way from the others.
; Assembled with -dEND_x: RESET (triple fault), HANG, PANIC, SILENT (power-off without a record),
; EXIT (bytes on both serial ports, then status 7), FLOOD (a million bytes, then status 0), ECHO
; (what arrives on COM1 goes back, until ^D, then status 0), REFUSE (a boot argument, in the
; kernel's words, then status 0).

%define PORT_LOG  0xe9
%define PORT_EXIT 0xf4
%define COM1      0x3f8
%define COM2      0x2f8
%define LSR       5
%define LSR_DR    0x01 ; a byte has arrived
%define LSR_TEMT  0x40 ; transmitter empty

section .note progbits alloc noexec nowrite align=4
  dd 4, 4, 18 ; name and descriptor lengths, XEN_ELFNOTE_PHYS32_ENTRY
  db "Xen", 0
  dd start32

section .text
bits 32
global start32
start32:
%ifdef END_RESET
  lidt [empty]
  int3
%elifdef END_HANG
  jmp $
%elifdef END_PANIC
  mov esi, text_panic
  call log_put
  mov eax, 0x11
  out PORT_EXIT, eax
%elifdef END_SILENT
  mov eax, 0x10
  out PORT_EXIT, eax
%elifdef END_EXIT
  mov edi, 256 ; every byte value once: nothing on the way may touch them
.next:
  mov eax, 256
  sub eax, edi
  mov edx, COM1
  call serial_put
  dec edi
  jnz .next
  mov eax, 'e'
  mov edx, COM2
  call serial_put
  mov esi, text_exit
  call log_put
  mov eax, 0x10
  out PORT_EXIT, eax
%elifdef END_REFUSE
  mov esi, text_refuse
  call log_put
  mov esi, text_done
  call log_put
  mov eax, 0x10
  out PORT_EXIT, eax
%elifdef END_FLOOD
  mov edi, 1000000
.more:
  mov eax, edi
  mov edx, COM1
  call serial_put
  dec edi
  jnz .more
  mov esi, text_done
  call log_put
  mov eax, 0x10
  out PORT_EXIT, eax
%elifdef END_ECHO
.wait:
  mov edx, COM1 + LSR
  in al, dx
  test al, LSR_DR
  jz .wait
  mov edx, COM1
  in al, dx
  cmp al, 4
  je .done
  call serial_put
  jmp .wait
.done:
  mov esi, text_done
  call log_put
  mov eax, 0x10
  out PORT_EXIT, eax
%endif
  jmp $

; al: byte, edx: port. Returns when it is on its way.
serial_put:
  out dx, al
  add edx, LSR
.wait:
  in al, dx
  test al, LSR_TEMT
  jz .wait
  ret

log_put:
  lodsb
  test al, al
  jz .end
  out PORT_LOG, al
  jmp log_put
.end:
  ret

section .rodata
empty:      dq 0, 0
text_panic: db "before", 10, 0x1e, "panic it broke", 10, "the dump", 10, 0
text_exit:  db "a line of the log", 10, 0x1e, "exit 7", 10, 0
text_refuse: db 'boot argument: "bogus=1": no such name', 10, 0
text_done:  db 0x1e, "exit 0", 10, 0
