/* Moving grants: mremap within a space, transfer between two. Pages move with their leaves,
 * uncopied. */
#include "mm/mm_priv.h"

/* Leaves of [from, from + len) in src reappear at `to` in dst, with the rights of another grant if
 * one is given. Both spaces' locks and table locks are held by the caller; the destination's range
 * is empty. Each space's stale translations go to a gather of its own. */
static enum abi_error leaves_move(struct space *dst, uint64_t to, struct space *src, uint64_t from,
                                  uint64_t len, const struct grant *rights,
                                  struct ptree_gather *dst_g, struct ptree_gather *g) {
  uint64_t va = from, pte;
  while (ptree_next(src->arch.root.v, &va, from + len, &pte)) {
    struct ptree_slot out, in;
    enum abi_error e = ptree_slot(dst->arch.root.v, to + (va - from), dst_g, &in);
    e = e == OK ? ptree_slot(src->arch.root.v, va, g, &out) : e;
    if (e != OK) {
      return e;
    }
    uint64_t leaf = ptree_leaf_take(&out, va, g);
    if (rights != NULL) { /* W comes by fault */
      leaf = (leaf & ~(PTE_P | PTE_W | PTE_NX)) | (grant_leaf_bits(rights) & (PTE_P | PTE_NX));
    }
    ptree_leaf_set(&in, leaf);
    va += PAGE_SIZE;
  }
  return OK;
}

static void grant_place(struct space *s, struct grant *g) {
  enum abi_error e = gtree_insert(&s->grants, &g->node);
  kassert(e == OK);
}

/* Growing in place: the bytes behind are free. Anonymous and object grants alike. */
static bool grow_in_place(struct space *s, struct gnode *n, uint64_t end) {
  return end > n->end && end <= ABI_USER_END && gtree_is_free(&s->grants, n->end, end) &&
         gtree_resize(&s->grants, n, n->start, end) == OK;
}

static enum abi_error move_grant(struct space *s, uint64_t *addr, uint64_t old_len,
                                 uint64_t new_len) {
  struct gnode *n = gtree_find(&s->grants, *addr);
  uint64_t to;
  if (!gtree_hole_below(&s->grants, new_len, ABI_USER_BASE, ABI_USER_END - (16ul << 20), &to)) {
    return ABI_ENOMEM;
  }
  struct grant *g = kcache_alloc(&grant_cache);
  if (g == NULL) {
    return ABI_ENOMEM;
  }
  *g = *grant_of(n);
  g->offset += *addr - n->start;
  g->node = (struct gnode){.start = to, .end = to + new_len};
  if (g->obj != NULL) {
    memobj_get(g->obj);
  }
  grant_place(s, g);
  struct ptree_gather gather;
  gather_begin(&gather, s);
  spin_lock(&s->pt_lock);
  enum abi_error e = leaves_move(s, to, s, *addr, old_len, NULL, &gather, &gather);
  if (e != OK) { /* what was moved goes back: its slots exist, so this cannot fail */
    enum abi_error undo = leaves_move(s, *addr, s, to, old_len, NULL, &gather, &gather);
    kassert(undo == OK);
  }
  gather_end(&gather);
  spin_unlock(&s->pt_lock);
  if (e != OK) {
    gtree_remove(&s->grants, &g->node);
    grant_free(g);
    return e;
  }
  *addr = to;
  return OK;
}

enum abi_error space_remap(struct space *s, uint64_t *addr, uint64_t old_len, uint64_t new_len,
                           bool may_move) {
  uint64_t from = *addr;
  old_len = ALIGN_UP(old_len, PAGE_SIZE);
  if (new_len == 0 || old_len == 0 || new_len > ABI_USER_END || !IS_ALIGNED(from, PAGE_SIZE)) {
    return new_len > ABI_USER_END ? ABI_ENOMEM : ABI_EINVAL;
  }
  new_len = ALIGN_UP(new_len, PAGE_SIZE);
  if (new_len <= old_len) {
    return new_len == old_len ? OK : space_unmap(s, from + new_len, old_len - new_len);
  }
  rw_lock_exclusive(&s->lock);
  struct gnode *n = gtree_find(&s->grants, from);
  enum abi_error e = n != NULL && from + old_len <= n->end ? OK : ABI_EFAULT;
  bool moved = false;
  if (e == OK && !(from + old_len == n->end && grow_in_place(s, n, from + new_len))) {
    e = may_move ? move_grant(s, addr, old_len, new_len) : ABI_ENOMEM;
    moved = e == OK;
  }
  rw_unlock_exclusive(&s->lock);
  return moved ? space_unmap(s, from, old_len) : e;
}

/* The caller's grant must cover the range exactly in one piece; private anonymous only. */
static enum abi_error transfer_locked(struct space *dst, uint64_t to, struct space *src,
                                      uint64_t from, uint64_t len, uint32_t prot) {
  struct gnode *n = gtree_find(&src->grants, from);
  if (n == NULL || from + len > n->end || grant_of(n)->obj != NULL) {
    return ABI_EINVAL;
  }
  if (!gtree_is_free(&dst->grants, to, to + len)) {
    return ABI_EEXIST;
  }
  struct grant *g = kcache_alloc_zeroed(&grant_cache);
  if (g == NULL) {
    return ABI_ENOMEM;
  }
  g->prot = (uint8_t)prot;
  g->node.start = to;
  g->node.end = to + len;
  struct ptree_gather gather, dst_gather;
  gather_begin(&gather, src);
  gather_begin(&dst_gather, dst);
  spin_lock(&src->pt_lock);
  spin_lock_second(&dst->pt_lock);
  enum abi_error e = leaves_move(dst, to, src, from, len, g, &dst_gather, &gather);
  gather_end(&dst_gather);
  spin_unlock(&dst->pt_lock);
  gather_end(&gather);
  spin_unlock(&src->pt_lock);
  grant_place(dst, g); /* also after a failure: what has moved belongs to it */
  return e;
}

enum abi_error space_transfer(struct space *dst, uint64_t to, struct space *src, uint64_t from,
                              uint64_t len, uint32_t prot) {
  bool aligned = IS_ALIGNED(to | from | len, PAGE_SIZE);
  if (dst == src || len == 0 || !aligned || prot & ~7u || !user_range_ok((uaddr_t){to}, len) ||
      !user_range_ok((uaddr_t){from}, len)) {
    return ABI_EINVAL;
  }
  struct space *first = dst < src ? dst : src, *second = dst < src ? src : dst;
  rw_lock_exclusive(&first->lock);
  rw_lock_exclusive_second(&second->lock);
  enum abi_error e = transfer_locked(dst, to, src, from, len, prot);
  rw_unlock_exclusive(&second->lock);
  rw_unlock_exclusive(&first->lock);
  return e == OK ? space_unmap(src, from, len) : e;
}
