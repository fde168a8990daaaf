/* The first bytes on a new program's stack, built in the caller's memory at the addresses that they
 * will have, and written there in one step. Pure.
 *
 *   top      8 zero bytes
 *            strings: name of the file, environment, arguments, working directory
 *            struct rt_start
 *            auxiliary vector, NULL, environment pointers, NULL, argument pointers, argc
 *   sp       16-byte aligned (x86-64 supplement of the System V ABI, section 3.4.1) */
#ifndef CATHODE_RUNTIME_STACK_IMAGE_H
#define CATHODE_RUNTIME_STACK_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/start.h"

#define STACK_IMAGE_MOST (2u << 20) /* bytes: a quarter of the stack, as in Linux */

struct stack_plan {
  const char *const *head; /* the first arguments, which an interpreter line put there */
  size_t n_head;
  const char *const *argv; /* then these */
  size_t n_argv;
  const char *const *envp;
  size_t n_envp;
  const char *execfn, *cwd;
  const struct rt_start *start; /* copied; its cwd is filled in */
  uint64_t entry, phdr_addr, n_phdrs, base;
};

/* Bytes that the image will have, a multiple of 16. */
size_t stack_image_size(const struct stack_plan *plan);

/* Build the image for addresses that end at `top` (16-byte aligned) in `size` bytes at `out`.
 * Answers the stack pointer, or 0 when the strings have grown since they were measured. */
uint64_t stack_image_build(const struct stack_plan *plan, uint8_t *out, size_t size, uint64_t top);

/* Where the start block lies in the image whose stack pointer is `sp`. */
uint64_t stack_image_start(const struct stack_plan *plan, uint64_t sp);

#endif
