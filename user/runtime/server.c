/* The server's half of a ring: see server.h for the rules. */
#include "runtime/server.h"

#include "runtime/syscall.h"

static size_t name_length(const char *name) {
  size_t n = 0;
  while (name[n]) {
    n++;
  }
  return n;
}

/* ---- registration ------------------------------------------------------------------------- */

/* Opening `:scheme` in the namespace makes the scheme; the descriptor is its ring. */
static int64_t scheme_register(const char *scheme) {
  char path[ABI_NAME_MAX + 2] = ":";
  size_t n = name_length(scheme);
  if (n == 0 || n > ABI_NAME_MAX) {
    return -ABI_EINVAL;
  }
  for (size_t i = 0; i < n; i++) {
    path[i + 1] = scheme[i];
  }
  return sys_openat(FD_NS, path, n + 1, O_ABI_CREAT | O_ABI_RDWR | O_ABI_CLOEXEC | O_ABI_CLOFORK,
                    0);
}

static bool is_power_of_two(uint32_t n) {
  return n != 0 && (n & (n - 1)) == 0;
}

/* The kernel is trusted; this catches a server and a kernel of different layouts. */
static bool ring_known(const struct ring_header *ring) {
  return ring->magic == RING_MAGIC && is_power_of_two(ring->n_sqes) &&
         is_power_of_two(ring->n_cqes) && ring->n_cqes >= RING_TAGS &&
         ring->slot_size == RING_SLOT_SIZE &&
         ring->slots_offset + (uint64_t)RING_TAGS * ring->slot_size <= ring->total_size;
}

/* The header tells the mapping's true length, so the first page is mapped to read it. */
static int64_t ring_map(int fd) {
  uint32_t prot = PROT_ABI_READ | PROT_ABI_WRITE;
  int64_t head = sys_mmap(0, ABI_PAGE_SIZE, prot, MAP_ABI_SHARED, fd, 0);
  if (head < 0) {
    return head;
  }
  const struct ring_header *ring = (const struct ring_header *)head;
  size_t total = ring->total_size;
  bool known = ring_known(ring);
  (void)sys_munmap((uint64_t)head, ABI_PAGE_SIZE); /* of our own mapping: cannot fail */
  return known ? sys_mmap(0, total, prot, MAP_ABI_SHARED, fd, 0) : -ABI_EIO;
}

int server_open(struct server *server, const char *scheme, const struct server_ops *ops,
                void *context) {
  int64_t fd = scheme_register(scheme);
  if (fd < 0) {
    return (int)fd;
  }
  int64_t base = ring_map((int)fd);
  if (base < 0) {
    (void)sys_close((int)fd); /* the mapping's error is the one to tell */
    return (int)base;
  }
  uint8_t *bytes = (uint8_t *)base;
  struct ring_header *ring = (struct ring_header *)base;
  *server = (struct server){
      .fd = (int)fd,
      .given = FD_NONE,
      .ops = ops,
      .context = context,
      .ring = ring,
      .sqes = (struct ring_sqe *)(bytes + ring->sq_offset),
      .cqes = (struct ring_cqe *)(bytes + ring->cq_offset),
      .slots = bytes + ring->slots_offset,
      .sq_head = ring->sq_head,
      .cq_tail = ring->cq_tail,
  };
  return 0;
}

/* ---- the indices -------------------------------------------------------------------------- */

static bool submission_take(struct server *server, struct ring_sqe *sqe) {
  struct ring_header *ring = server->ring;
  if (__atomic_load_n(&ring->sq_tail, __ATOMIC_ACQUIRE) == server->sq_head) {
    return false;
  }
  *sqe = server->sqes[server->sq_head & (ring->n_sqes - 1)]; /* [V3] */
  server->sq_head++;
  __atomic_store_n(&ring->sq_head, server->sq_head, __ATOMIC_RELEASE);
  return true;
}

/* Answers fit by [V2]; only events can fill the queue, and entering the kernel empties it. */
static void completion_put(struct server *server, struct ring_cqe cqe) {
  struct ring_header *ring = server->ring;
  while (server->cq_tail - __atomic_load_n(&ring->cq_head, __ATOMIC_ACQUIRE) == ring->n_cqes) {
    if (sys_ring_enter(server->fd, 0, NO_DEADLINE) < 0) {
      return; /* the ring has ended, and with it everybody who could want the answer */
    }
  }
  server->cqes[server->cq_tail & (ring->n_cqes - 1)] = cqe;
  server->cq_tail++;
  __atomic_store_n(&ring->cq_tail, server->cq_tail, __ATOMIC_RELEASE); /* [V4] */
}

void server_reply(struct server *server, uint32_t tag, int64_t result) {
  completion_put(server, (struct ring_cqe){.tag = tag, .kind = CQE_DONE, .result = result});
}

void server_event(struct server *server, uint64_t file, uint16_t events) {
  completion_put(server,
                 (struct ring_cqe){.kind = CQE_EVENT, .extra = events, .result = (int64_t)file});
}

/* ---- dispatch ----------------------------------------------------------------------------- */

static int64_t default_answer(const struct ring_sqe *sqe) {
  switch (sqe->op) {
  case OP_CLOSE:
  case OP_CANCEL:
  case OP_SYNC:
    return 0;
  case OP_ISATTY:
  case OP_TERMIOS:
  case OP_WINSIZE:
    return -ABI_ENOTTY;
  case OP_MMAP:
    return -ABI_ENODEV;
  case OP_WRITE:
    return -ABI_EBADF;
  default:
    return sqe->op < OP_USER ? -ABI_EOPNOTSUPP : -ABI_ENOTTY;
  }
}

/* Serve one request; true when its answer must reach the kernel before the next is served [V5]. */
static bool request_serve(struct server *server, struct server_request *request) {
  const struct ring_sqe *sqe = &request->sqe;
  server_handler *handler = sqe->op < SERVER_N_OPS ? server->ops->on[sqe->op] : NULL;
  int64_t result = handler ? handler(server, request) : default_answer(sqe);
  if (result == SERVER_LATER || sqe->op == OP_CANCEL) {
    return false; /* [V1] */
  }
  struct ring_cqe cqe = {.tag = sqe->tag, .result = result};
  if (result >= 0) {
    cqe.kind = request->kind;
    cqe.extra = request->extra;
  }
  completion_put(server, cqe);
  if (cqe.kind == CQE_FD) {
    server->given = (int)result;
  }
  return cqe.kind == CQE_FD || sqe->op == OP_MMAP || sqe->op == OP_MAPAT;
}

/* A descriptor that was given away is the client's, now that the kernel has seen the answer. */
static void given_close(struct server *server) {
  if (server->given != FD_NONE) {
    (void)sys_close(server->given); /* ours: cannot fail */
    server->given = FD_NONE;
  }
}

bool server_drain(struct server *server) {
  bool any = false;
  bool stop = false;
  struct server_request request;
  given_close(server);
  while (!stop && submission_take(server, &request.sqe)) {
    request.slot = server->slots + (size_t)(request.sqe.tag % RING_TAGS) * RING_SLOT_SIZE;
    request.kind = CQE_DONE;
    request.extra = 0;
    stop = request_serve(server, &request);
    any = true;
  }
  return any;
}

int server_enter(struct server *server, uint32_t flags, uint64_t deadline_ns) {
  int64_t result = sys_ring_enter(server->fd, flags, deadline_ns);
  return result < 0 ? (int)result : 0;
}

int server_run(struct server *server) {
  int result = 0;
  while (result == 0 || result == -ABI_EINTR) {
    (void)server_drain(server); /* that there was nothing is no reason to stop */
    result = server_enter(server, RING_WAIT, NO_DEADLINE);
  }
  return result;
}
