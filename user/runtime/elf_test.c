// test-sources: elf.c
/* The ELF parser: a good file, one fault at a time, and then millions of damaged headers of which
 * whatever is accepted must satisfy [E1] to [E4]. */
#include "runtime/elf.h"

#include <string.h>

#include "lib/bits.h"
#include "lib/rng.h"
#include "lib/tap.h"

#define FILE_SIZE 0x5000u

static uint8_t page[ABI_PAGE_SIZE];

static void put(size_t at, uint64_t value, unsigned n_bytes) {
  memcpy(page + at, &value, n_bytes);
}

static void put_segment(unsigned i, uint64_t flags, uint64_t addr, uint64_t file_size,
                        uint64_t mem_size) {
  size_t at = 64 + i * 56;
  put(at, 1, 4);
  put(at + 4, flags, 4);
  put(at + 8, addr & 0xffff, 8);
  put(at + 16, addr, 8);
  put(at + 24, addr, 8);
  put(at + 32, file_size, 8);
  put(at + 40, mem_size, 8);
  put(at + 48, 0x1000, 8);
}

/* Text with the headers at 0x400000, data with a bss at 0x403000, entry in the text. */
static void good_file(unsigned type) {
  memset(page, 0, sizeof(page));
  memcpy(page, "\177ELF\2\1\1", 7);
  put(16, type, 2);
  put(18, 62, 2);
  put(20, 1, 4);
  put(24, 0x400400, 8);
  put(32, 64, 8);
  put(54, 56, 2);
  put(56, 2, 2);
  put_segment(0, 5, 0x400000, 0x2345, 0x2345);
  put_segment(1, 6, 0x403010, 0x800, 0x9000);
}

static int parse(struct elf_image *image) {
  return elf_parse(page, sizeof(page), FILE_SIZE, image);
}

static bool image_valid(const struct elf_image *image) {
  uint64_t base = elf_base(image, ~0ull), above = ABI_USER_BASE;
  bool entry = false;
  for (uint32_t i = 0; i < image->n_segments; i++) {
    const struct elf_segment *s = &image->segments[i];
    uint64_t low = ALIGN_DOWN(base + s->addr, ABI_PAGE_SIZE), end = base + s->addr + s->mem_size;
    if (low < above || end > ELF_END || end < low || s->file_size > s->mem_size ||
        s->offset + s->file_size > FILE_SIZE || s->offset + s->file_size < s->offset) {
      return false;
    }
    above = ALIGN_UP(end, ABI_PAGE_SIZE);
    entry |= (s->prot & PROT_ABI_EXEC) && image->entry - s->addr < s->mem_size;
  }
  return entry && base % image->align == 0 && image->n_segments <= ELF_SEGMENTS;
}

static const struct {
  size_t at;
  uint64_t value;
  unsigned n_bytes;
  const char *name;
} faults[] = {
    {0, 0x7e, 1, "magic"},
    {4, 1, 1, "32 bits"},
    {5, 2, 1, "big-endian"},
    {16, 1, 2, "relocatable object"},
    {18, 3, 2, "another machine"},
    {54, 32, 2, "size of program headers"},
    {56, 0, 2, "no program headers"},
    {56, 0xffff, 2, "too many program headers"},
    {32, 4000, 8, "headers beyond the page"},
    {32, ~0ull, 8, "headers beyond everything"},
    {24, 0x404000, 8, "entry in the data"},
    {24, 0, 8, "entry nowhere"},
    {64, 3, 4, "an interpreter"},
    {64 + 4, 7, 4, "writable and executable"},
    {64 + 8, 0x1001, 8, "offset not congruent"},
    {64 + 8, 0x4000, 8, "segment beyond the file"},
    {64 + 8, ~0xfffull, 8, "offset that wraps"},
    {64 + 16, 0, 8, "page 0"},
    {64 + 16, 0x800000, 8, "descending segments"},
    {64 + 16, 0xffff800000000000, 8, "kernel addresses"},
    {64 + 32, 0x3000, 8, "more in the file than in memory"},
    {64 + 40, 0x3345, 8, "segments that share a page"},
    {120 + 40, 0x7000000000, 8, "a bss over the stack"},
    {120 + 40, ~0ull, 8, "a size that wraps"},
    {64 + 48, 3, 8, "alignment that is no power of two"},
};

static void check_faults(void) {
  struct elf_image image;
  for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
    good_file(2);
    put(faults[i].at, faults[i].value, faults[i].n_bytes);
    tap_ok(parse(&image) == -ABI_ENOEXEC, "refused: %s", faults[i].name);
  }
}

/* Damages a few fields, often with values that are nearly right. */
static void fuzz(uint64_t seed, unsigned n_files) {
  static const uint64_t tempting[] = {0,        1,         0xfff,   0x1000, 0x400000,
                                      0x403010, FILE_SIZE, ELF_END, ~0ull};
  struct rng rng;
  unsigned n_accepted = 0;
  rng_seed(&rng, seed);
  for (unsigned i = 0; i < n_files; i++) {
    struct elf_image image;
    good_file(2 + rng_below(&rng, 2));
    put(56, 2 + rng_below(&rng, 30), 2);
    for (unsigned k = rng_below(&rng, 4); k-- > 0;) {
      uint64_t value = rng_one_in(&rng, 2) ? rng_next(&rng)
                                           : tempting[rng_below(&rng, ARRAY_LEN(tempting))] +
                                                 rng_below(&rng, 3) - 1;
      put(rng_below(&rng, 200), value, 1 + rng_below(&rng, 8));
    }
    size_t len = rng_one_in(&rng, 8) ? rng_below(&rng, sizeof(page)) : sizeof(page);
    if (elf_parse(page, len, FILE_SIZE, &image) == 0) {
      n_accepted++;
      TAP_REQUIRE(image_valid(&image));
    }
  }
  tap_ok(n_accepted > n_files / 50, "%u of %u damaged files still valid", n_accepted, n_files);
}

int main(int argc, char **argv) {
  struct elf_image image;
  tap_plan(4 + ARRAY_LEN(faults));
  uint64_t seed = tap_seed(argc, argv);
  good_file(2);
  tap_ok(parse(&image) == 0 && image_valid(&image) && image.n_segments == 2 && !image.is_pie &&
             image.phdr_addr == 0x400040 && image.entry == 0x400400 && elf_base(&image, 7) == 0,
         "a static executable");
  good_file(3);
  tap_ok(parse(&image) == 0 && image.is_pie && elf_base(&image, 7) != 0 &&
             elf_base(&image, 7) % 0x1000 == 0,
         "a static-PIE executable");
  tap_ok(elf_parse(page, 63, 63, &image) == -ABI_ENOEXEC &&
             elf_parse(page, 64 + 2 * 56 - 1, FILE_SIZE, &image) == -ABI_ENOEXEC,
         "truncated files");
  check_faults();
  fuzz(seed, 500000);
  return tap_done();
}
