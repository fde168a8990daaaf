/* The end: isa-debug-exit under QEMU (status 2 * value + 1), else the halt loop. */
#include "arch/x86_64/x86.h"

#define DEBUG_EXIT_PORT 0xf4
#define EXIT_NORMAL 0x10
#define EXIT_PANIC 0x11

_Noreturn void arch_power_off(bool panic) {
  uart_drain();
  outb(DEBUG_EXIT_PORT, panic ? EXIT_PANIC : EXIT_NORMAL);
  arch_halt();
}

void arch_relax(void) {
  cpu_pause();
  upcall_ipi_tlb();
}
