/* File contents: see content.h for the invariants. */
#define _GNU_SOURCE /* memfd_create */
#include "servers/ramfs/content.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/abi.h"

#define PAGE ABI_PAGE_SIZE
#define WORD_BITS 64u
#define NO_PAGE UINT64_MAX

static uint64_t page_round_up(uint64_t n) {
  return (n + PAGE - 1) & ~(PAGE - 1);
}

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

/* ---- present pages ------------------------------------------------------------------------ */

static bool page_present(const struct content *content, uint64_t page) {
  uint64_t word = page / WORD_BITS;
  return word < content->n_words && (content->present[word] >> (page % WORD_BITS) & 1);
}

static int present_grow(struct content *content, uint64_t page) {
  size_t n = page / WORD_BITS + 1;
  if (n <= content->n_words) {
    return 0;
  }
  n = n < 2 * content->n_words ? 2 * content->n_words : n;
  uint64_t *words = realloc(content->present, n * sizeof(*words));
  if (!words) {
    return -ABI_ENOMEM;
  }
  memset(words + content->n_words, 0, (n - content->n_words) * sizeof(*words));
  content->present = words;
  content->n_words = n;
  return 0;
}

/* [C2] Charge a page that is about to be written. */
static int page_take(struct content *content, uint64_t page) {
  if (page_present(content, page)) {
    return 0;
  }
  if (content->quota->used >= content->quota->limit) {
    return -ABI_ENOSPC;
  }
  int error = present_grow(content, page);
  if (error) {
    return error;
  }
  content->present[page / WORD_BITS] |= 1ull << (page % WORD_BITS);
  content->quota->used++;
  return 0;
}

static void page_release(struct content *content, uint64_t page) {
  content->present[page / WORD_BITS] &= ~(1ull << (page % WORD_BITS));
  content->quota->used--;
}

/* The first present page at or behind `page`. */
static uint64_t present_next(const struct content *content, uint64_t page) {
  for (uint64_t word = page / WORD_BITS; word < content->n_words; word++) {
    uint64_t bits = content->present[word];
    if (word == page / WORD_BITS) {
      bits &= ~0ull << (page % WORD_BITS);
    }
    if (bits) {
      return word * WORD_BITS + (uint64_t)__builtin_ctzll(bits);
    }
  }
  return NO_PAGE;
}

static void pages_release_from(struct content *content, uint64_t page) {
  while ((page = present_next(content, page)) != NO_PAGE) {
    page_release(content, page);
  }
}

uint64_t content_pages(const struct content *content) {
  uint64_t n = 0;
  for (size_t word = 0; word < content->n_words; word++) {
    n += (uint64_t)__builtin_popcountll(content->present[word]);
  }
  return n;
}

/* ---- the object --------------------------------------------------------------------------- */

/* All of n bytes into the object; short writes mean that memory has ended. */
static int object_write(int fd, const uint8_t *from, size_t n, uint64_t offset) {
  for (size_t done = 0; done < n;) {
    ssize_t step = pwrite(fd, from + done, n - done, (off_t)(offset + done));
    if (step <= 0) {
      return -ABI_ENOMEM;
    }
    done += (size_t)step;
  }
  return 0;
}

static void map_drop(struct content *content) {
  if (content->map) {
    munmap(content->map, content->map_len);
  }
  content->map = NULL;
  content->map_len = 0;
}

/* [C4] Back to a hole. */
static void bytes_drop(struct content *content) {
  map_drop(content);
  if (content->fd >= 0) {
    close(content->fd);
  }
  content->fd = -1;
  content->lower = false;
  content->reach = 0;
  pages_release_from(content, 0);
}

/* Copy the file below into an object: all of it, or nothing changes. */
static int lower_copy(struct content *content, int fd) {
  int error = 0;
  for (uint64_t page = 0; !error && page < page_round_up(content->size) / PAGE; page++) {
    error = page_take(content, page);
  }
  if (!error) {
    error = object_write(fd, content->map, content->size, 0);
  }
  if (error) {
    pages_release_from(content, 0); /* a file below had none */
    return error;
  }
  map_drop(content);
  content->lower = false;
  return 0;
}

/* [C1] Have an object. */
static int object_need(struct content *content) {
  if (content->fd >= 0) {
    return 0;
  }
  int fd = memfd_create("file", MFD_CLOEXEC);
  int error = fd < 0 ? (errno == EMFILE ? -ABI_ENOSPC : -ABI_ENOMEM) : 0;
  if (!error && content->lower) {
    error = lower_copy(content, fd);
  }
  if (!error) {
    content->fd = fd;
  } else if (fd >= 0) {
    close(fd);
  }
  return error;
}

/* Map the object's first `need` bytes, or more; behind the end of the file it stays empty [C5]. */
static int object_map(struct content *content, uint64_t need) {
  if (ftruncate(content->fd, (off_t)page_round_up(content->size)) != 0) {
    return -ABI_ENOMEM;
  }
  if (need <= content->map_len) {
    return 0;
  }
  size_t len = need < page_round_up(content->size) ? page_round_up(content->size) : need;
  void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, content->fd, 0);
  if (map == MAP_FAILED) {
    return -ABI_ENOMEM;
  }
  map_drop(content);
  content->map = map;
  content->map_len = len;
  return 0;
}

/* ---- life --------------------------------------------------------------------------------- */

void content_init(struct content *content, struct quota *quota) {
  *content = (struct content){.quota = quota, .fd = -1};
}

void content_fini(struct content *content) {
  bytes_drop(content);
  free(content->present);
}

void content_set_lower(struct content *content, void *map, uint64_t size) {
  content->map = map;
  content->map_len = page_round_up(size);
  content->size = size;
  content->lower = true;
}

/* ---- reading and writing ------------------------------------------------------------------ */

/* Bytes from `at` on, at most n, that are all present or all not. */
static size_t run_length(const struct content *content, uint64_t at, size_t n) {
  bool present = page_present(content, at / PAGE);
  size_t run = PAGE - at % PAGE;
  while (run < n && page_present(content, (at + run) / PAGE) == present) {
    run += PAGE;
  }
  return least(run, n);
}

int64_t content_read(const struct content *content, uint64_t offset, void *to, size_t n) {
  if (offset >= content->size) {
    return 0;
  }
  n = least(n, content->size - offset);
  if (content->lower) {
    memcpy(to, content->map + offset, n);
    return (int64_t)n;
  }
  for (size_t done = 0; done < n;) {
    uint64_t at = offset + done;
    uint8_t *out = (uint8_t *)to + done;
    size_t run = run_length(content, at, n - done);
    ssize_t got = 0;
    if (page_present(content, at / PAGE) && (got = pread(content->fd, out, run, (off_t)at)) < 0) {
      return -ABI_EIO;
    }
    memset(out + got, 0, run - (size_t)got); /* a hole, or what the object does not reach */
    done += run;
  }
  return (int64_t)n;
}

/* [C3] Bytes between the end and its page's end: a client's mapping may have written there. */
static int tail_clear(struct content *content, uint64_t size) {
  static const uint8_t zeros[PAGE];
  uint64_t in_page = size % PAGE;
  if (content->lower || in_page == 0 || !page_present(content, size / PAGE)) {
    return 0;
  }
  return object_write(content->fd, zeros, PAGE - in_page, size);
}

/* Charge the pages of offset .. offset + n as far as the quota goes; answers the bytes, or an
 * error. */
static int64_t range_take(struct content *content, uint64_t offset, uint64_t n) {
  int error = 0;
  uint64_t done = 0;
  while (done < n && (error = page_take(content, (offset + done) / PAGE)) == 0) {
    done += PAGE - (offset + done) % PAGE;
  }
  return done > 0 ? (int64_t)least(done, n) : error;
}

/* [C5] Before the file grows to `size`: what thereby comes within the reach of a mapping. */
static int reach_grow(struct content *content, uint64_t size) {
  uint64_t start = page_round_up(content->size), end = least(page_round_up(size), content->reach);
  if (end <= start) {
    return 0;
  }
  int64_t room = range_take(content, start, end - start);
  if (room == (int64_t)(end - start)) {
    return ftruncate(content->fd, (off_t)page_round_up(size)) == 0 ? 0 : -ABI_ENOMEM;
  }
  pages_release_from(content, start / PAGE);
  return room < 0 ? (int)room : -ABI_ENOSPC;
}

int64_t content_write(struct content *content, uint64_t offset, const void *from, size_t n) {
  if (offset > CONTENT_SIZE_MAX || n > CONTENT_SIZE_MAX - offset) {
    return -ABI_EFBIG;
  }
  int error = n > 0 ? object_need(content) : 0;
  if (!error && n > 0 && offset > content->size) {
    error = tail_clear(content, content->size);
    error = error ? error : reach_grow(content, offset);
  }
  if (error || n == 0) {
    return error;
  }
  int64_t room = range_take(content, offset, n);
  if (room < 0) {
    return room;
  }
  ssize_t done = pwrite(content->fd, from, (size_t)room, (off_t)offset);
  if (done <= 0) {
    return -ABI_ENOMEM;
  }
  if (offset + (size_t)done > content->size) {
    content->size = offset + (size_t)done;
  }
  return done;
}

/* Cut to a size that is not 0. The server's own mapping goes: it would hold the pages. */
static int content_cut(struct content *content, uint64_t size) {
  uint64_t old_size = content->size;
  content->size = size; /* no more than this of a file below is copied */
  int error = object_need(content);
  if (!error) {
    error = tail_clear(content, size);
  }
  if (!error) {
    map_drop(content);
  }
  if (!error && ftruncate(content->fd, (off_t)page_round_up(size)) != 0) {
    error = -ABI_ENOMEM;
  }
  if (error) {
    content->size = old_size;
    return error;
  }
  pages_release_from(content, page_round_up(size) / PAGE);
  return 0;
}

int content_resize(struct content *content, uint64_t size) {
  if (size > CONTENT_SIZE_MAX) {
    return -ABI_EFBIG;
  }
  if (size == 0) {
    bytes_drop(content);
  } else if (size < content->size) {
    return content_cut(content, size);
  } else if (size > content->size) {
    int error = content->lower ? object_need(content) : tail_clear(content, content->size);
    error = error ? error : reach_grow(content, size);
    if (error) {
      return error;
    }
  }
  content->size = size;
  return 0;
}

/* ---- mapping ------------------------------------------------------------------------------ */

int64_t content_address(struct content *content, uint64_t offset, uint64_t n, bool writable) {
  if (offset % PAGE != 0 || n == 0) {
    return -ABI_EINVAL;
  }
  if (offset > CONTENT_SIZE_MAX || n > CONTENT_SIZE_MAX - offset) {
    return -ABI_EFBIG;
  }
  n = page_round_up(n);
  bool below = content->lower && !writable && offset + n <= content->map_len;
  if (!below) {
    int64_t error = object_need(content);
    uint64_t end = least(offset + n, page_round_up(content->size));
    uint64_t inside = end > offset ? end - offset : 0;
    int64_t room = error || inside == 0 ? error : range_take(content, offset, inside);
    if (room != (int64_t)inside) {
      return room < 0 ? room : -ABI_ENOSPC;
    }
    error = object_map(content, offset + n);
    if (error) {
      return error;
    }
    content->reach = offset + n > content->reach ? offset + n : content->reach;
  }
  return (int64_t)(uintptr_t)(content->map + offset);
}
