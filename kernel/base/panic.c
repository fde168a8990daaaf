/* Panic: the first CPU to come here owns the machine, stops the others by NMI, each of which prints
 * its own backtrace in turn, and powers off. Log: one lock, one buffer on the caller's stack. */
#include "base/panic.h"
#include "arch/upcall.h"
#include "base/lock.h"
#include "base/symbols.h"
#include "base/trace.h"
#include "lib/fmt.h"

#define LINE_MAX 240u
#define TRACE_MAX 24u
#define STOP_WAIT_LOOPS 200000000u

static struct spinlock log_lock = SPINLOCK(LOG);
static _Atomic uint32_t panic_owner; /* 0, or the CPU's number + 1 */
static _Atomic uint32_t stopped_turn;
static _Atomic uint32_t n_online = 1;

uint32_t panic_cpu(void) {
  return atomic_load(&panic_owner);
}

void panic_cpu_online(void) {
  atomic_fetch_add(&n_online, 1);
}

static void log_write(const char *head, const char *format, va_list args, const char *tail) {
  char line[LINE_MAX];
  size_t n = fmt_snprintf(line, sizeof(line), "%s", head);
  size_t more = fmt_vsnprintf(line + n, sizeof(line) - n, format, args);
  n = n + more < sizeof(line) ? n + more : sizeof(line) - 1;
  n += fmt_snprintf(line + n, sizeof(line) - n, "%s", tail);
  n = n < sizeof(line) ? n : sizeof(line) - 1;
  if (atomic_load(&panic_owner) != 0) {
    arch_port_write(ARCH_PORT_LOG, line, n); /* whoever holds the lock may be stopped for ever */
    return;
  }
  spin_lock(&log_lock);
  arch_port_write(ARCH_PORT_LOG, line, n);
  spin_unlock(&log_lock);
}

void log_printf(const char *format, ...) {
  va_list args;
  va_start(args, format);
  log_write("", format, args, "");
  va_end(args);
}

void log_record(const char *format, ...) {
  va_list args;
  va_start(args, format);
  log_write("\x1e", format, args, "\n");
  va_end(args);
}

static const struct symbol *symbol_find(uint64_t addr) {
  size_t lo = 0, hi = n_kernel_symbols;
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    if (kernel_symbols[mid].addr <= addr) {
      lo = mid + 1;
    } else {
      hi = mid;
    }
  }
  return lo == 0 ? NULL : &kernel_symbols[lo - 1];
}

static void address_print(uint64_t addr) {
  const struct symbol *s = symbol_find(addr);
  log_printf("    0x%lx %s+0x%lx\n", addr, s ? s->name : "?", s ? addr - s->addr : 0);
}

static void backtrace_print(uint64_t rip, uint64_t rbp) {
  uint64_t trace[TRACE_MAX];
  log_printf("cpu %u:\n", cpu_id());
  if (rip != 0) {
    address_print(rip);
  }
  size_t n = arch_backtrace(rbp, trace, TRACE_MAX);
  for (size_t i = 0; i < n; i++) {
    address_print(trace[i]);
  }
}

/* Only the first panic speaks; a second one on the same CPU (while printing) ends at once. */
static void panic_enter(void) {
  uint32_t none = 0;
  if (!atomic_compare_exchange_strong(&panic_owner, &none, cpu_id() + 1)) {
    if (none == cpu_id() + 1) {
      arch_power_off(true);
    }
    arch_halt();
  }
}

_Noreturn static void panic_finish(const char *text, uint64_t rip, uint64_t rbp) {
  log_record("panic %s", text);
  log_printf("panic: %s\n", text);
  backtrace_print(rip, rbp);
  atomic_store(&stopped_turn, 1);
  if (atomic_load(&n_online) > 1) {
    arch_nmi_others();
    for (uint32_t i = 0;
         i < STOP_WAIT_LOOPS && atomic_load(&stopped_turn) < 2 * atomic_load(&n_online) - 1; i++) {
      __asm__ volatile("pause");
    }
  }
  trace_print_last();
  arch_power_off(true);
}

_Noreturn void upcall_panic(const char *what, uint64_t rip, uint64_t rbp, uint64_t rsp) {
  (void)rsp;
  panic_enter();
  panic_finish(what, rip, rbp);
}

_Noreturn void panic(const char *format, ...) {
  char text[LINE_MAX];
  va_list args;
  va_start(args, format);
  fmt_vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  panic_enter();
  panic_finish(text, 0, arch_frame_pointer());
}

/* One CPU prints at a time: an odd turn is free, an even one taken. */
_Noreturn void upcall_nmi_stop(uint64_t rip, uint64_t rbp) {
  if (atomic_load(&panic_owner) == 0) {
    upcall_panic("an NMI that nobody sent", rip, rbp, 0);
  }
  for (;;) {
    uint32_t turn = atomic_load(&stopped_turn);
    if (turn % 2 == 1 && atomic_compare_exchange_weak(&stopped_turn, &turn, turn + 1)) {
      break;
    }
  }
  backtrace_print(rip, rbp);
  atomic_fetch_add(&stopped_turn, 1);
  arch_halt();
}

_Noreturn void kassert_fail(const char *expr, const char *file, int line) {
  panic("%s:%d: assertion failed: %s", file, line, expr);
}
