/* ELF64 executables for x86-64, static and static-PIE: from the first page of a file to a plan of
 * mappings. Every field is the word of whoever wrote the file and is checked here; what passes can
 * be mapped without further thought.
 *
 *   [E1] Segments ascend and share no page.
 *   [E2] A segment's file range lies inside the file, and lies in its pages as in memory
 *        (offset and address are congruent modulo the page size).
 *   [E3] With the base that elf_base() chooses, all segments lie in [ABI_USER_BASE, ELF_END).
 *   [E4] The entry point lies in an executable segment.
 * Refused: programs with an interpreter (PT_INTERP), more than ELF_SEGMENTS segments, writable and
 * executable segments, program headers that do not lie in the page given.
 * Format: System V ABI, chapters 4 and 5; x86-64 supplement, chapter 4. */
#ifndef CATHODE_RUNTIME_ELF_H
#define CATHODE_RUNTIME_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/abi.h"

#define ELF_SEGMENTS 12u
#define ELF_END 0x6f00000000ull /* between it and ABI_NEAR_END: the stack and mappings */

struct elf_segment {
  uint64_t addr;      /* of its first byte, before the base is added */
  uint64_t file_size; /* bytes from the file, maybe 0 */
  uint64_t mem_size;  /* bytes in all, not 0; the rest is zero */
  uint64_t offset;    /* in the file */
  uint32_t prot;      /* PROT_ABI_* */
};

struct elf_image {
  uint64_t entry;
  uint64_t phdr_addr; /* where the program headers lie in memory, 0: in no segment */
  uint64_t align;     /* the base must be a multiple of it */
  uint64_t low, high; /* page-rounded extent of all segments */
  uint32_t n_phdrs;
  uint32_t n_segments;
  bool is_pie;
  struct elf_segment segments[ELF_SEGMENTS];
};

/* Parse the first `len` bytes (at most a page, at least what the headers need) of a file of
 * `file_size` bytes. Answers 0 or -ABI_ENOEXEC. */
[[nodiscard]] int elf_parse(const void *page, size_t len, uint64_t file_size,
                            struct elf_image *image);

/* The base for a program: 0 for one with fixed addresses, else a random multiple of its alignment.
 */
uint64_t elf_base(const struct elf_image *image, uint64_t random);

#endif
