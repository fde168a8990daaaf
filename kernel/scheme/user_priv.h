/* User schemes, private: the server's record, its requests and files. user.c has the protocol,
 * user_slot.c a request's bytes, user_file.c the operations of client files and of the ring's own
 * descriptor. */
#ifndef CATHODE_SCHEME_USER_PRIV_H
#define CATHODE_SCHEME_USER_PRIV_H

#include "scheme/scheme.h"

/* A tag has at most three entries that the server has not taken: a CANCEL that it did not read
 * before it answered, the tag's next request, and that one's CANCEL. */
#define RING_SQES (4 * RING_TAGS)
#define RING_CQES 256u
#define RING_SQ_OFFSET PAGE_SIZE
#define RING_CQ_OFFSET (RING_SQ_OFFSET + RING_SQES * sizeof(struct ring_sqe))
#define RING_SLOTS_OFFSET (RING_CQ_OFFSET + PAGE_SIZE)
#define RING_TOTAL (RING_SLOTS_OFFSET + (uint64_t)RING_TAGS * RING_SLOT_SIZE)
#define SERVER_BUCKETS 64u

_Static_assert(RING_SQES * sizeof(struct ring_sqe) % PAGE_SIZE == 0, "whole pages");
_Static_assert(RING_CQES * sizeof(struct ring_cqe) == PAGE_SIZE, "one page");

enum request_state { REQUEST_FREE, REQUEST_SENT, REQUEST_DONE, REQUEST_ORPHAN };

/* What an answer refers to, with a reference for the client. */
struct user_answer {
  struct file *file;
  struct object_ref memory;
  uint64_t room; /* bytes that the server has mapped of it from there on */
  bool paged;    /* MMAP: the result is the id of an object */
};

struct request {
  uint32_t state; /* [RING/r] enum request_state */
  uint32_t op;
  struct thread *client;
  int64_t result;
  uint64_t length; /* MMAP */
  struct user_answer answer;
  struct user_file *opened; /* OPEN, DUP: the record that a good answer puts among the files */
};

struct server {
  struct refcount refs;       /* its ring's descriptor, its root, its files */
  struct spinlock lock;       /* RING */
  bool dead;                  /* [lock/r] */
  uint64_t free_tags;         /* [lock/r] bit: tag */
  uint32_t sq_tail;           /* [lock/r] */
  uint32_t cq_head;           /* [o] the server's thread in ring_enter() */
  struct memobj *memory;      /* [c] */
  struct ring_header *header; /* [c] in memory; never trusted [U1] */
  uint8_t *ring_pages[RING_SLOTS_OFFSET / PAGE_SIZE]; /* [c] header, sqes, cqes */
  struct file *root;                                  /* [c] in the registry while alive */
  struct waitq server_waitq, tags_waitq;
  struct list closing;               /* [lock] files whose CLOSE waits for a tag */
  struct list files[SERVER_BUCKETS]; /* [lock] by id */
  struct list pagers;                /* [lock] objects whose pages it is asked for */
  struct request requests[RING_TAGS];
  uint8_t *slot_pages[RING_TAGS][RING_SLOT_SIZE / PAGE_SIZE]; /* [o] the tag's owner */
};

struct user_file {
  struct server *server; /* [c] a reference */
  uint64_t id;           /* [c] the server's name for it */
  uint32_t ready;        /* [a] POLL_ABI_* as last told */
  bool pollable;         /* [c] it tells */
  struct waitq waitq;
  struct list node, closing;
};

/* One request of a client. */
struct user_call {
  uint32_t op;
  uint64_t file, arg, arg2;
  const char *path; /* in: kernel memory, or NULL for: */
  void *kernel_out; /* out: kernel memory, or NULL for: */
  uaddr_t in, out;
  size_t in_len, out_cap;     /* at most RING_SLOT_SIZE */
  bool for_page;              /* may have the last tag [U4] */
  bool patient;               /* only death ends the wait */
  struct user_answer *answer; /* of OPEN, DUP, MMAP, MAPAT: empty, then what the caller owns */
  struct user_file
      *opened; /* OPEN, DUP: a fresh record, which the call uses up; NULL again unless it is open */
};

int64_t user_call(struct server *s, struct user_call *c);
/* user_slot.c: the call's bytes into its slot; what the answer brought, at most one page of it to
 * the kernel itself. */
enum abi_error slot_fill(struct server *s, uint32_t tag, const struct user_call *c);
enum abi_error slot_empty(struct server *s, uint32_t tag, const struct user_call *c, size_t len);
/* The object of pages that a server has named, for a client's file of it (user_page.c). */
int64_t user_paged_map(struct file *f, uint64_t id, uint64_t offset, struct object_ref *out);
/* The server says that pages of an object have changed. */
void user_paged_stale(struct server *s, uint64_t id);
void server_die(struct server *s);
void server_get(struct server *s);
void server_put(struct server *s);
struct server *server_of_ring(struct file *f); /* NULL: not a ring's descriptor */
/* A record for a file that is about to be opened; user_call() gives it its id and makes it known.
 */
struct user_file *user_file_create(struct server *s);
void user_file_discard(struct user_file *uf); /* one that never came to be open; NULL is fine */
void user_file_close(struct user_file *uf);

/* Entries by free-running index. A page holds a power of two of them. */
static inline struct ring_sqe *server_sqe(struct server *s, uint32_t i) {
  uint64_t at = RING_SQ_OFFSET + (i & (RING_SQES - 1)) * sizeof(struct ring_sqe);
  return (struct ring_sqe *)(s->ring_pages[at / PAGE_SIZE] + at % PAGE_SIZE);
}
static inline struct ring_cqe *server_cqe(struct server *s, uint32_t i) {
  uint64_t at = RING_CQ_OFFSET + (i & (RING_CQES - 1)) * sizeof(struct ring_cqe);
  return (struct ring_cqe *)(s->ring_pages[at / PAGE_SIZE] + at % PAGE_SIZE);
}

/* A client's open file of a server's. */
static inline struct user_file *user_file_of(struct file *f) {
  return f->object;
}

#endif
