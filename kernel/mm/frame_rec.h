/* The frame record: what the kernel remembers of one 4 KiB frame of physical memory.
 *
 * Records form one array indexed by page frame number (pfn = physical address >> 12). An array of
 * zeroes is valid and says FRAME_RESERVED everywhere. Who owns the frame owns the record: the buddy
 * allocator while it is free, the page-table tree while it is a table. Some fields therefore have
 * two names. 32-bit pfns reach 16 TiB; four records share a cache line. */
#ifndef CATHODE_MM_FRAME_REC_H
#define CATHODE_MM_FRAME_REC_H

#include <stdatomic.h>
#include <stdint.h>

#define FRAME_SHIFT 12
#define FRAME_SIZE ((uint64_t)1 << FRAME_SHIFT)
#define FRAME_NIL UINT32_MAX /* no frame: the end of a chain of pfns */

enum frame_kind {
  FRAME_RESERVED =
      0,        /* not ours to give: firmware, holes, the kernel image; or inside a free block */
  FRAME_FREE,   /* first frame of a free block, on a list of the buddy allocator */
  FRAME_KERNEL, /* allocated; what buddy_alloc() answers, until the caller says better */
  FRAME_TABLE,  /* a page table: root, PDPT, PD or PT */
  FRAME_ANON,   /* anonymous user memory */
  FRAME_OBJECT, /* a page of a memory object (shared memory, file cache) */
  FRAME_BIG,    /* the first of 512 aligned frames of anonymous memory; all their references */
  FRAME_PART,   /* one of the other 511: no references of its own */
};

#define BIG_ORDER 9u
#define BIG_SIZE (FRAME_SIZE << BIG_ORDER)

struct frame {
  _Atomic uint32_t refs; /* references; 0 while free */
  uint8_t kind;          /* enum frame_kind */
  union {
    uint8_t order; /* FREE: the block has 2^order frames */
    uint8_t level; /* TABLE: 3 root .. 0 page table */
  };
  union {
    uint16_t aux;    /* the owner's */
    uint16_t n_used; /* TABLE: entries that are not 0 */
  };
  uint32_t next; /* FREE: next of the list; TABLE: chain of a gather; else the owner's */
  union {
    uint32_t prev;   /* FREE: previous of the list; else the owner's */
    uint32_t groups; /* TABLE: bit n is set if one of entries 16n..16n+15 may be used */
  };
};

_Static_assert(sizeof(struct frame) == 16, "four records a cache line");

#endif
