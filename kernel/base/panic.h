/* The end of the kernel, and its log. */
#ifndef CATHODE_BASE_PANIC_H
#define CATHODE_BASE_PANIC_H

#include "arch/arch.h"
#include "lib/kassert.h"

/* One line (or part of one) on the log port, prefixed with nothing. Any context. */
void log_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A record for the runner: 0x1e, text, newline; never torn by another CPU's output. */
void log_record(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One more CPU takes part (and will answer a panic's NMI). */
void panic_cpu_online(void);

/* The CPU that panics, its number + 1; 0: none. */
uint32_t panic_cpu(void);

/* Says why, prints the symbolised stack of every CPU, ends the machine. Any context. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
