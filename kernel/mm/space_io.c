/* Reading and writing a space that need not be the loaded one, a page at a time: what exec fills a
 * new space by, and looks into one. Rights are not asked for. No lock is held while bytes move to
 * or from the caller: the page is kept by a reference. */
#include "mm/mm_priv.h"
#include "sched/sched.h"

/* Make one page of any private grant present and private, whatever its rights, and keep its frame.
 */
static enum abi_error page_pin_now(struct space *s, uint64_t va, paddr_t *pa,
                                   struct object_ref *missing) {
  rw_lock_shared(&s->lock);
  struct gnode *node = gtree_find(&s->grants->tree, va);
  enum abi_error e = ABI_EFAULT;
  if (node != NULL && !grant_of(node)->shared) {
    struct ptree_gather gather;
    gather_begin(&gather, s);
    struct spinlock *region = fault_region(s, va);
    spin_lock(region);
    e = fault_page(s, grant_of(node), va, true, &gather);
    if (e == OK) {
      uint64_t leaf;
      bool writable;
      ptree_lookup(s->arch.root.v, va, &leaf, &writable); /* all on the way is the space's own */
      *pa = (paddr_t){leaf & PTE_ADDR};
      frame_get(*pa);
    }
    gather_end(&gather);
    spin_unlock(region);
    if (e == ABI_EAGAIN) {
      fault_note_missing(grant_of(node), va, missing);
    }
  }
  rw_unlock_shared(&s->lock);
  return e;
}

static enum abi_error page_pin(struct space *s, uint64_t va, paddr_t *pa) {
  for (;;) {
    struct object_ref missing;
    enum abi_error e = page_pin_now(s, va, pa, &missing);
    if (e != ABI_EAGAIN) {
      return e;
    }
    e = memobj_fetch(&missing, true);
    if (e != OK) {
      return e;
    }
  }
}

enum abi_error space_write_user(struct space *s, uint64_t addr, uaddr_t src, size_t len) {
  while (len > 0) {
    paddr_t pa;
    enum abi_error e = page_pin(s, ALIGN_DOWN(addr, PAGE_SIZE), &pa);
    if (e != OK) {
      return e;
    }
    size_t n = MIN(len, PAGE_SIZE - addr % PAGE_SIZE);
    uint8_t *dst = (uint8_t *)direct_map(pa) + addr % PAGE_SIZE;
    if (src.v == 0) {
      __builtin_memset(dst, 0, n);
    } else {
      e = user_copy_in(dst, src, n);
      src = uaddr_add(src, n);
    }
    frame_put(pa);
    if (e != OK) {
      return e;
    }
    addr += n;
    len -= n;
    sched_point();
  }
  return OK;
}

/* The page at va as a reader sees it. *counted: the caller got a reference. */
static enum abi_error page_see(struct space *s, const struct grant *g, uint64_t va, paddr_t *pa,
                               bool *counted) {
  uint64_t leaf;
  bool writable;
  struct spinlock *region = fault_region(s, va);
  spin_lock(region);
  spin_lock(&s->pt_lock); /* keeps the tables on the way, which may be shared */
  ptree_lookup(s->arch.root.v, va, &leaf, &writable);
  *pa = (paddr_t){leaf & PTE_ADDR};
  *counted = (leaf & PTE_COUNTED) != 0;
  if (*counted) {
    frame_get(*pa);
  }
  spin_unlock(&s->pt_lock);
  spin_unlock(region);
  if (leaf != 0) {
    return OK;
  }
  if (g->obj != NULL) {
    return memobj_page(g->obj, g->offset + (va - g->node.start), pa, counted);
  }
  *pa = fault_zero_frame();
  return OK;
}

static enum abi_error page_look_now(struct space *s, uint64_t va, paddr_t *pa, bool *counted,
                                    struct object_ref *missing) {
  rw_lock_shared(&s->lock);
  struct gnode *node = gtree_find(&s->grants->tree, va);
  const struct grant *g = node != NULL ? grant_of(node) : NULL;
  bool readable = g != NULL && (g->obj == NULL || !memobj_is_device(g->obj));
  enum abi_error e = readable ? page_see(s, g, va, pa, counted) : ABI_EFAULT;
  if (e == ABI_EAGAIN) {
    fault_note_missing(grant_of(node), va, missing);
  }
  rw_unlock_shared(&s->lock);
  return e;
}

static enum abi_error page_look(struct space *s, uint64_t va, paddr_t *pa, bool *counted) {
  for (;;) {
    struct object_ref missing;
    enum abi_error e = page_look_now(s, va, pa, counted, &missing);
    if (e != ABI_EAGAIN) {
      return e;
    }
    e = memobj_fetch(&missing, true);
    if (e != OK) {
      return e;
    }
  }
}

enum abi_error space_read_user(struct space *s, uint64_t addr, uaddr_t dst, size_t len) {
  while (len > 0) {
    paddr_t pa;
    bool counted;
    enum abi_error e = page_look(s, ALIGN_DOWN(addr, PAGE_SIZE), &pa, &counted);
    if (e != OK) {
      return e;
    }
    size_t n = MIN(len, PAGE_SIZE - addr % PAGE_SIZE);
    e = user_copy_out(dst, (const uint8_t *)direct_map(pa) + addr % PAGE_SIZE, n);
    if (counted) {
      frame_put(pa);
    }
    if (e != OK) {
      return e;
    }
    addr += n;
    dst = uaddr_add(dst, n);
    len -= n;
    sched_point();
  }
  return OK;
}
