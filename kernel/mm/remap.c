/* Moving grants: mremap within a space, transfer between two. Pages move with their leaves,
 * uncopied. What can fail comes first, and leaves that have moved go back when a later one cannot:
 * either all of it happens, or nothing. */
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

/* ---- within a space ------------------------------------------------------------------------ */

/* Growing in place: the bytes behind are free. */
static bool grow_in_place(struct space *s, struct gnode *n, uint64_t end) {
  struct gtree *t = &s->grants->tree;
  if (end > ABI_USER_END || !space_is_clear(s, n->end, end) ||
      gtree_resize(t, n, n->start, end) != OK) {
    return false;
  }
  grants_merge(s, n->start, end);
  return true;
}

/* The leaves of [from, from + len) move, or stay where they are. */
static enum abi_error tables_move(struct space *s, uint64_t to, uint64_t from, uint64_t len) {
  struct ptree_gather gather;
  gather_begin(&gather, s);
  spin_lock(&s->pt_lock);
  enum abi_error e = leaves_move(s, to, s, from, len, NULL, &gather, &gather);
  if (e != OK) { /* what was moved goes back: its slots exist, so this cannot fail */
    enum abi_error undo = leaves_move(s, from, s, to, len, NULL, &gather, &gather);
    kassert(undo == OK);
  }
  gather_end(&gather);
  spin_unlock(&s->pt_lock);
  return e;
}

/* All that can fail comes first: the tree is the space's own, `cut` is prepared. */
static enum abi_error grant_move(struct space *s, const struct gnode *n, struct grants_cut *cut,
                                 uint64_t to, uint64_t new_len) {
  struct grant like = *grant_of((struct gnode *)n), *moved;
  like.offset += cut->start - n->start;
  like.node.start = to;
  like.node.end = to + new_len;
  enum abi_error e = grant_create(&like, &moved);
  if (e != OK) {
    return e;
  }
  e = tables_move(s, to, cut->start, cut->end - cut->start);
  if (e != OK) {
    grant_destroy(moved);
    return e;
  }
  grants_cut(s, cut);
  grants_place(s, moved);
  return OK;
}

static enum abi_error move_locked(struct space *s, uint64_t *addr, uint64_t old_len,
                                  uint64_t new_len) {
  struct gtree *t = &s->grants->tree;
  struct grants_cut cut;
  uint64_t to;
  if (!space_hole(s, new_len, &to)) {
    return ABI_ENOMEM;
  }
  enum abi_error e = grants_cut_prepare(s, *addr, *addr + old_len, &cut);
  if (e != OK) {
    return e;
  }
  e = grant_move(s, gtree_find(t, *addr), &cut, to, new_len);
  if (e != OK) {
    grants_cut_cancel(&cut);
    return e;
  }
  *addr = to;
  return OK;
}

static enum abi_error remap_locked(struct space *s, uint64_t *addr, uint64_t old_len,
                                   uint64_t new_len, bool may_move) {
  enum abi_error e = grants_own(s);
  if (e != OK) {
    return e;
  }
  struct gnode *n = gtree_find(&s->grants->tree, *addr);
  if (n == NULL || *addr + old_len > n->end) {
    return ABI_EFAULT;
  }
  if (!space_has_room(s, new_len - old_len, n->data)) {
    return ABI_ENOMEM;
  }
  if (*addr + old_len == n->end && grow_in_place(s, n, *addr + new_len)) {
    return OK;
  }
  return may_move ? move_locked(s, addr, old_len, new_len) : ABI_ENOMEM;
}

enum abi_error space_remap(struct space *s, uint64_t *addr, uint64_t old_len, uint64_t new_len,
                           bool may_move) {
  if (new_len > ABI_USER_END || old_len > ABI_USER_END) {
    return ABI_ENOMEM;
  }
  old_len = ALIGN_UP(old_len, PAGE_SIZE);
  new_len = ALIGN_UP(new_len, PAGE_SIZE);
  if (new_len == 0 || old_len == 0 || !IS_ALIGNED(*addr, PAGE_SIZE)) {
    return ABI_EINVAL;
  }
  if (new_len <= old_len) {
    return new_len == old_len ? OK : space_unmap(s, *addr + new_len, old_len - new_len);
  }
  rw_lock_exclusive(&s->lock);
  enum abi_error e = loans_end(s, *addr, *addr + old_len);
  e = e == OK ? remap_locked(s, addr, old_len, new_len, may_move) : e;
  rw_unlock_exclusive(&s->lock);
  return e;
}

/* Both ranges in user memory, and apart. */
static bool move_is_sane(uint64_t from, uint64_t len, uint64_t to, uint64_t new_len) {
  return IS_ALIGNED(from | to | len | new_len, PAGE_SIZE) && len != 0 && new_len >= len &&
         user_range_ok((uaddr_t){from}, len) && user_range_ok((uaddr_t){to}, new_len) &&
         (to + new_len <= from || from + len <= to);
}

static enum abi_error move_to_locked(struct space *s, uint64_t from, uint64_t len, uint64_t to,
                                     uint64_t new_len, struct ptree_gather *gather) {
  struct grants_cut cut;
  struct gnode *n = gtree_find(&s->grants->tree, from);
  if (n == NULL || from + len > n->end) {
    return ABI_EFAULT;
  }
  bool data = n->data;
  enum abi_error e = space_unmap_locked(s, to, to + new_len, gather);
  e = e == OK && !space_has_room(s, new_len - len, data) ? ABI_ENOMEM : e;
  e = e == OK ? grants_cut_prepare(s, from, from + len, &cut) : e;
  if (e != OK) {
    return e;
  }
  e = grant_move(s, gtree_find(&s->grants->tree, from), &cut, to, new_len);
  if (e != OK) {
    grants_cut_cancel(&cut);
  }
  return e;
}

/* Nothing of either range is lent when it answers OK. */
static enum abi_error move_end_loans(struct space *s, uint64_t from, uint64_t len, uint64_t to,
                                     uint64_t new_len) HOLDS(&s->lock) {
  lending_stop(s);
  enum abi_error e = loans_end(s, from, from + len);
  e = e == OK ? loans_end(s, to, to + new_len) : e;
  lending_resume(s);
  return e;
}

enum abi_error space_move(struct space *s, uint64_t from, uint64_t len, uint64_t to,
                          uint64_t new_len) {
  if (!move_is_sane(from, len, to, new_len)) {
    return ABI_EINVAL;
  }
  struct ptree_gather gather;
  gather_begin(&gather, s);
  rw_lock_exclusive(&s->lock);
  enum abi_error e = move_end_loans(s, from, len, to, new_len);
  e = e == OK ? move_to_locked(s, from, len, to, new_len, &gather) : e;
  rw_unlock_exclusive(&s->lock);
  gather_drain(&gather);
  return e;
}

/* ---- between two spaces --------------------------------------------------------------------- */

/* As tables_move(); what arrives has the rights of `g`. */
static enum abi_error tables_transfer(struct space *dst, const struct grant *g, struct space *src,
                                      uint64_t from, const struct grant *rights) {
  uint64_t to = g->node.start, len = g->node.end - g->node.start;
  struct ptree_gather src_gather, dst_gather;
  gather_begin(&src_gather, src);
  gather_begin(&dst_gather, dst);
  spin_lock(&src->pt_lock);
  spin_lock_second(&dst->pt_lock);
  enum abi_error e = leaves_move(dst, to, src, from, len, g, &dst_gather, &src_gather);
  if (e != OK) {
    enum abi_error undo = leaves_move(src, from, dst, to, len, rights, &src_gather, &dst_gather);
    kassert(undo == OK);
  }
  gather_end(&dst_gather);
  spin_unlock(&dst->pt_lock);
  gather_end(&src_gather);
  spin_unlock(&src->pt_lock);
  return e;
}

static enum abi_error transfer_cut(struct space *dst, struct grant *g, struct space *src,
                                   uint64_t from) {
  struct grants_cut cut;
  enum abi_error e = grants_cut_prepare(src, from, from + (g->node.end - g->node.start), &cut);
  if (e != OK) {
    return e;
  }
  e = tables_transfer(dst, g, src, from, grant_of(gtree_find(&src->grants->tree, from)));
  if (e != OK) {
    grants_cut_cancel(&cut);
    return e;
  }
  grants_cut(src, &cut);
  grants_place(dst, g);
  return OK;
}

/* One grant, private anonymous, must cover the range. */
static enum abi_error transfer_locked(struct space *dst, uint64_t to, struct space *src,
                                      uint64_t from, uint64_t len, uint32_t prot) {
  struct gnode *n = gtree_find(&src->grants->tree, from);
  if (n == NULL || from + len > n->end || grant_of(n)->obj != NULL) {
    return ABI_EINVAL;
  }
  if (!gtree_is_free(&dst->grants->tree, to, to + len)) {
    return ABI_EEXIST;
  }
  struct grant like = {.node = {.start = to, .end = to + len}, .prot = (uint8_t)prot}, *g;
  like.node.data = grant_is_data(&like);
  if (!space_has_room(dst, len, like.node.data)) {
    return ABI_ENOMEM;
  }
  enum abi_error e = grants_own(dst);
  e = e == OK ? grant_create(&like, &g) : e;
  if (e != OK) {
    return e;
  }
  e = transfer_cut(dst, g, src, from);
  if (e != OK) {
    grant_destroy(g);
  }
  return e;
}

/* The caller lets `src` lend again, in any case. */
static enum abi_error transfer_end_loans(struct space *src, uint64_t from, uint64_t len) {
  rw_lock_exclusive(&src->lock);
  lending_stop(src);
  enum abi_error e = loans_end(src, from, from + len);
  rw_unlock_exclusive(&src->lock);
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
  enum abi_error e = transfer_end_loans(src, from, len);
  rw_lock_exclusive(&first->lock);
  rw_lock_exclusive_second(&second->lock);
  e = e == OK ? transfer_locked(dst, to, src, from, len, prot) : e;
  lending_resume(src);
  space_resident_look(dst);
  rw_unlock_exclusive(&second->lock);
  rw_unlock_exclusive(&first->lock);
  return e;
}
