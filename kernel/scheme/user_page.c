/* Objects whose pages a server is asked for, one by one, as somebody touches them.
 *
 * A server that answers MMAP with CQE_PAGED names an object by a number of its own. The first such
 * answer makes a paged memory object (mm/memobj.c) with a pager, which asks by the file through
 * which it was mapped and keeps that open; later ones with the same number share it, and with it
 * its pages, until nobody maps it. What changes a page is the server's to tell (CQE_STALE).
 *
 * [U5] A pager is among its server's while its object may be found: it holds no reference, so who
 * finds it takes one unless the last has gone. drop() takes it off, under the same lock, before the
 * object's memory goes. */
#include "base/panic.h"
#include "scheme/user_priv.h"

struct pager {
  struct list node;      /* [RING] among its server's */
  uint64_t id;           /* [c] the server's name of the object */
  struct file *file;     /* [c] to ask by: a reference */
  struct memobj *memory; /* [c] the object: none [U5] */
};

static struct kcache pager_cache = KCACHE_OF(struct pager, "pager");

static struct server *server_of_pager(const struct pager *p) {
  return user_file_of(p->file)->server;
}

static enum abi_error pager_page_in(void *arg, uint64_t offset, void *page, bool patient) {
  struct pager *p = arg;
  struct user_call c = {.op = OP_PAGE,
                        .file = user_file_of(p->file)->id,
                        .arg = offset,
                        .arg2 = p->id,
                        .kernel_out = page,
                        .out_cap = PAGE_SIZE,
                        .for_page = true,
                        .patient = patient};
  int64_t r = user_call(server_of_pager(p), &c);
  return r > 0 ? OK : r == -ABI_EINTR ? ABI_EINTR : r == -ABI_ENOMEM ? ABI_ENOMEM : ABI_EIO;
}

static void pager_drop(void *arg) {
  struct pager *p = arg;
  struct server *s = server_of_pager(p);
  spin_lock(&s->lock);
  list_remove(&p->node);
  spin_unlock(&s->lock);
  file_put(p->file);
  kcache_free(&pager_cache, p);
}

static const struct pager_ops pager_ops = {.page_in = pager_page_in, .drop = pager_drop};

/* With the server's lock held: the object of this name, with a reference, or NULL. */
static struct memobj *object_of_id(struct server *s, uint64_t id) {
  list_for_each (pos, &s->pagers) {
    struct pager *p = CONTAINER_OF(pos, struct pager, node);
    if (p->id == id && memobj_get_unless_zero(p->memory)) {
      return p->memory;
    }
  }
  return NULL;
}

static struct pager *pager_create(struct file *f, uint64_t id) {
  struct pager *p = kcache_alloc_zeroed(&pager_cache);
  if (p == NULL) {
    return NULL;
  }
  list_init(&p->node);
  p->id = id;
  p->file = f;
  if (memobj_create_paged(&pager_ops, p, &p->memory) != OK) {
    kcache_free(&pager_cache, p);
    return NULL;
  }
  file_get(f);
  return p;
}

int64_t user_paged_map(struct file *f, uint64_t id, uint64_t offset, struct object_ref *out) {
  struct server *s = user_file_of(f)->server;
  struct pager *fresh = pager_create(f, id);
  if (fresh == NULL) {
    return -ABI_ENOMEM;
  }
  spin_lock(&s->lock);
  struct memobj *o = object_of_id(s, id);
  if (o == NULL) {
    list_push_back(&s->pagers, &fresh->node);
    o = fresh->memory;
    fresh = NULL;
  }
  spin_unlock(&s->lock);
  if (fresh != NULL) {
    memobj_put(fresh->memory); /* and the pager with it */
  }
  *out = (struct object_ref){o, offset, true};
  return 0;
}

void user_paged_stale(struct server *s, uint64_t id) {
  spin_lock(&s->lock);
  struct memobj *o = object_of_id(s, id);
  spin_unlock(&s->lock);
  if (o != NULL) {
    /* Without memory to split a table, a space keeps what it has: stale, as before. */
    if (memobj_forget(o) != OK) {
      log_printf("scheme: stale pages of object %lu stay mapped: out of memory\n", id);
    }
    memobj_put(o);
  }
}
