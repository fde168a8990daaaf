/* The kernel's own symbol table, generated from the first link (tools/symbols.py) and linked into
 * the second, for panics. Sorted by address. */
#ifndef CATHODE_BASE_SYMBOLS_H
#define CATHODE_BASE_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

struct symbol {
  uint64_t addr;
  const char *name;
};
extern const struct symbol kernel_symbols[];
extern const size_t n_kernel_symbols;

#endif
