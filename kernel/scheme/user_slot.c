/* The slots of a ring: the bytes of a request, and of its answer. A tag's slot is its owner's; the
 * caller's memory may be missing, so that no lock is held (slot_fill_now() in user.c is for what is
 * there). */
#include "lib/string.h"
#include "scheme/user_priv.h"

/* The page of a tag's slot that holds byte `at`. The kernel keeps one reference on each page it has
 * used. */
static uint8_t *slot_page(struct server *s, uint32_t tag, size_t at) {
  uint8_t **page = &s->slot_pages[tag][at / PAGE_SIZE];
  if (*page == NULL) {
    paddr_t pa;
    bool counted;
    uint64_t offset =
        RING_SLOTS_OFFSET + (uint64_t)tag * RING_SLOT_SIZE + ALIGN_DOWN(at, PAGE_SIZE);
    if (memobj_page(s->memory, offset, &pa, &counted) != OK) {
      return NULL;
    }
    *page = direct_map(pa);
  }
  return *page + at % PAGE_SIZE;
}

static enum abi_error slot_copy(struct server *s, uint32_t tag, uaddr_t user, size_t len,
                                bool out) {
  enum abi_error e = OK;
  for (size_t done = 0; done < len && e == OK;) {
    size_t n = MIN(len - done, PAGE_SIZE);
    uint8_t *page = slot_page(s, tag, done);
    if (page == NULL) {
      return ABI_ENOMEM;
    }
    e = out ? user_copy_out(uaddr_add(user, done), page, n)
            : user_copy_in(page, uaddr_add(user, done), n);
    done += n;
  }
  return e;
}

enum abi_error slot_fill(struct server *s, uint32_t tag, const struct user_call *c) {
  if (c->path != NULL) {
    for (size_t done = 0; done < c->in_len;) {
      size_t n = MIN(c->in_len - done, PAGE_SIZE);
      uint8_t *page = slot_page(s, tag, done);
      if (page == NULL) {
        return ABI_ENOMEM;
      }
      memcpy(page, c->path + done, n);
      done += n;
    }
    return OK;
  }
  return slot_copy(s, tag, c->in, c->in_len, false);
}

enum abi_error slot_empty(struct server *s, uint32_t tag, const struct user_call *c, size_t len) {
  if (c->kernel_out == NULL) {
    return slot_copy(s, tag, c->out, len, true);
  }
  const uint8_t *page = slot_page(s, tag, 0);
  if (page == NULL || len > PAGE_SIZE) {
    return ABI_ENOMEM;
  }
  memcpy(c->kernel_out, page, len);
  return OK;
}
