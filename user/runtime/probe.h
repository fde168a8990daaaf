/* Copies to and from addresses that a program gave us and that may be wild.
 *
 * In a kernel such copies end in EFAULT. Here the fault is a SIGSEGV like any other; posix/signal.c
 * recognizes an instruction between rt_probe_begin and rt_probe_end and continues at
 * rt_probe_fault. A program without that trampoline dies of the fault, as it would of its own
 * dereference. */
#ifndef CATHODE_RUNTIME_PROBE_H
#define CATHODE_RUNTIME_PROBE_H

#include <stddef.h>
#include <stdint.h>

/* 0, or -ABI_EFAULT with some bytes copied. */
[[nodiscard]] int64_t rt_probe_copy(void *dst, const void *src, size_t n);

/* Copies a string with its NUL, at most `cap` bytes. Answers its length, `cap` when it does not end
 * in there, or -ABI_EFAULT. */
[[nodiscard]] int64_t rt_probe_string(char *dst, const char *src, size_t cap);

/* The length of a string, or -ABI_EFAULT. */
[[nodiscard]] int64_t rt_probe_length(const char *src);

extern const char rt_probe_begin[], rt_probe_end[], rt_probe_fault[];

#endif
