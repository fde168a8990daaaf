/* Parsing of ELF files: see elf.h. Fields are read by offset, little-endian, from bytes that may
 * have any alignment. */
#include "runtime/elf.h"

#include "lib/bits.h"
#include "lib/string.h"

enum {
  ET_EXEC = 2,
  ET_DYN = 3,
  EM_X86_64 = 62,
  PT_LOAD = 1,
  PT_INTERP = 3,
  PF_X = 1,
  PF_W = 2,
  PF_R = 4,
};

#define EHDR_SIZE 64u
#define PHDR_SIZE 56u
#define ALIGN_MOST (1ull << 30)
#define PIE_LOW 0x5500000000ull /* bases of position-independent programs start here */
#define PIE_RANDOM_BITS 24u     /* and are spread over 2^24 pages, 64 GiB */

/* The builtin: a load, not a call, for each of the many fields. */
static inline uint64_t field(const uint8_t *at, unsigned n_bytes) {
  uint64_t value = 0;
  __builtin_memcpy(&value, at, n_bytes);
  return value;
}

static uint64_t page_down(uint64_t x) {
  return ALIGN_DOWN(x, ABI_PAGE_SIZE);
}

static uint64_t page_up(uint64_t x) {
  return ALIGN_UP(x, ABI_PAGE_SIZE);
}

static bool header_known(const uint8_t *e, size_t len) {
  static const uint8_t ident[7] = {0x7f, 'E', 'L', 'F',
                                   2,    1,   1}; /* 64 bits, little-endian, version 1 */
  if (len < EHDR_SIZE || memcmp(e, ident, sizeof(ident)) != 0) {
    return false;
  }
  uint64_t type = field(e + 16, 2);
  return (type == ET_EXEC || type == ET_DYN) && field(e + 18, 2) == EM_X86_64 &&
         field(e + 20, 4) == 1 && field(e + 54, 2) == PHDR_SIZE;
}

static uint32_t segment_prot(uint64_t flags) {
  return (flags & PF_R ? PROT_ABI_READ : 0) | (flags & PF_W ? PROT_ABI_WRITE : 0) |
         (flags & PF_X ? PROT_ABI_EXEC : 0);
}

/* [E2], and that no sum wraps: addresses below ELF_END, sizes below it too. */
static bool segment_sane(const struct elf_segment *s, uint64_t align, uint64_t file_size) {
  return s->addr < ELF_END && s->mem_size <= ELF_END && s->file_size <= s->mem_size &&
         s->offset <= file_size && s->file_size <= file_size - s->offset &&
         (s->file_size == 0 || (s->addr - s->offset) % ABI_PAGE_SIZE == 0) &&
         (align <= 1 || (bit_is_power_of_two(align) && align <= ALIGN_MOST)) &&
         !((s->prot & PROT_ABI_WRITE) && (s->prot & PROT_ABI_EXEC));
}

static bool segment_add(struct elf_image *image, const uint8_t *p, uint64_t file_size) {
  struct elf_segment s = {.addr = field(p + 16, 8),
                          .file_size = field(p + 32, 8),
                          .mem_size = field(p + 40, 8),
                          .offset = field(p + 8, 8),
                          .prot = segment_prot(field(p + 4, 4))};
  uint64_t align = field(p + 48, 8);
  if (!segment_sane(&s, align, file_size) || image->n_segments == ELF_SEGMENTS) {
    return false;
  }
  if (s.mem_size == 0) {
    return true;
  }
  if (image->n_segments != 0 && page_down(s.addr) < image->high) {
    return false; /* [E1] */
  }
  if (image->n_segments == 0) {
    image->low = page_down(s.addr);
  }
  image->high = page_up(s.addr + s.mem_size);
  image->align = MAX(image->align, align);
  image->segments[image->n_segments++] = s;
  return true;
}

static bool segments_collect(struct elf_image *image, const uint8_t *phdrs, uint64_t file_size) {
  for (uint32_t i = 0; i < image->n_phdrs; i++) {
    const uint8_t *p = phdrs + (size_t)i * PHDR_SIZE;
    uint64_t type = field(p, 4);
    if (type == PT_INTERP || (type == PT_LOAD && !segment_add(image, p, file_size))) {
      return false;
    }
  }
  return image->n_segments != 0;
}

/* [E3] */
static bool extent_fits(const struct elf_image *image) {
  if (image->is_pie) {
    return image->high - image->low <=
               ELF_END - PIE_LOW - (ABI_PAGE_SIZE << PIE_RANDOM_BITS) - ALIGN_MOST &&
           image->high < (1ull << 40);
  }
  return image->low >= ABI_USER_BASE && image->high <= ELF_END;
}

static bool entry_executable(const struct elf_image *image) {
  for (uint32_t i = 0; i < image->n_segments; i++) {
    const struct elf_segment *s = &image->segments[i];
    if ((s->prot & PROT_ABI_EXEC) && image->entry >= s->addr &&
        image->entry - s->addr < s->mem_size) {
      return true;
    }
  }
  return false;
}

/* The headers' address in memory: libc reads its TLS template through them. */
static uint64_t phdr_address(const struct elf_image *image, uint64_t offset) {
  uint64_t end = offset + (uint64_t)image->n_phdrs * PHDR_SIZE;
  for (uint32_t i = 0; i < image->n_segments; i++) {
    const struct elf_segment *s = &image->segments[i];
    if (offset >= s->offset && end <= s->offset + s->file_size) {
      return s->addr + (offset - s->offset);
    }
  }
  return 0;
}

int elf_parse(const void *page, size_t len, uint64_t file_size, struct elf_image *image) {
  const uint8_t *e = page;
  memset(image, 0, sizeof(*image));
  if (!header_known(e, len)) {
    return -ABI_ENOEXEC;
  }
  uint64_t offset = field(e + 32, 8);
  image->n_phdrs = (uint32_t)field(e + 56, 2);
  image->entry = field(e + 24, 8);
  image->is_pie = field(e + 16, 2) == ET_DYN;
  image->align = ABI_PAGE_SIZE;
  if (offset > len || image->n_phdrs > (len - offset) / PHDR_SIZE ||
      !segments_collect(image, e + offset, file_size) || !extent_fits(image) ||
      !entry_executable(image)) {
    return -ABI_ENOEXEC;
  }
  image->phdr_addr = phdr_address(image, offset);
  return 0;
}

uint64_t elf_base(const struct elf_image *image, uint64_t random) {
  if (!image->is_pie) {
    return 0;
  }
  uint64_t pages = random & ((1ull << PIE_RANDOM_BITS) - 1);
  return ALIGN_UP(PIE_LOW + pages * ABI_PAGE_SIZE, image->align);
}
