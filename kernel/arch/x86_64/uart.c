/* The three byte channels to the host: two 16550 serial lines (console, standard error) and QEMU's
 * and Bochs' debug console, port 0xe9, for the kernel's log; the log goes to the console where that
 * port is absent. Polled output in FIFO-sized runs; input by interrupt (PC16550D datasheet). */
#include "arch/x86_64/x86.h"

#define COM1 0x3f8
#define COM2 0x2f8
#define DEBUG_PORT 0xe9
#define FIFO_SIZE 16u
#define LSR_DATA 0x01u
#define LSR_EMPTY 0x20u
#define LSR_IDLE 0x40u
#define IER_RECEIVED 0x01u

static const uint16_t bases[2] = {COM1, COM2};
static bool present[2];
static bool has_debug_port;

static void line_init(uint32_t line) {
  uint16_t base = bases[line];
  outb(base + 7, 0x5a); /* scratch register: absent lines do not keep it */
  present[line] = inb(base + 7) == 0x5a;
  if (!present[line]) {
    return;
  }
  outb(base + 1, 0);
  outb(base + 3, 0x80); /* divisor latch */
  outb(base + 0, 1);    /* 115200 baud */
  outb(base + 1, 0);
  outb(base + 3, 0x03); /* 8 bits, no parity, 1 stop */
  outb(base + 2, 0x07); /* FIFO on and clear */
  outb(base + 4, 0x0b); /* DTR, RTS, OUT2 (interrupt gate) */
}

void uart_init(void) {
  line_init(0);
  line_init(1);
  has_debug_port = inb(DEBUG_PORT) == DEBUG_PORT;
}

void uart_irq_enable(void) {
  if (present[0]) {
    outb(COM1 + 1, IER_RECEIVED);
  }
}

/* Wait until the last byte has left the transmitter: the machine may be about to stop. */
void uart_drain(void) {
  for (uint32_t line = 0; line < 2; line++) {
    while (present[line] && !(inb(bases[line] + 5) & LSR_IDLE)) {
      cpu_pause();
    }
  }
}

static void line_write(uint32_t line, const char *bytes, size_t len) {
  if (!present[line]) {
    return;
  }
  for (size_t i = 0; i < len; i++) {
    if (i % FIFO_SIZE == 0) {
      while (!(inb(bases[line] + 5) & LSR_EMPTY)) {
        cpu_pause();
      }
    }
    outb(bases[line], (uint8_t)bytes[i]);
  }
}

void arch_port_write(enum arch_port port, const char *bytes, size_t len) {
  if (port != ARCH_PORT_LOG) {
    line_write(port == ARCH_PORT_STDERR && !present[1] ? 0 : port, bytes, len);
    return;
  }
  if (!has_debug_port) {
    line_write(0, bytes, len);
    return;
  }
  for (size_t i = 0; i < len; i++) {
    outb(DEBUG_PORT, (uint8_t)bytes[i]);
  }
}

int arch_port_read(enum arch_port port) {
  if (port == ARCH_PORT_LOG || !present[port] || !(inb(bases[port] + 5) & LSR_DATA)) {
    return -1;
  }
  return inb(bases[port]);
}
