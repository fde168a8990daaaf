/* Scheme servers: registering a scheme and answering the requests that the kernel puts in its ring.
 *
 * A server is one thread in a loop: take a submission, call the handler of its operation, put the
 * completion, and when nothing is left enter the kernel once, which hands in all completions and
 * waits for more. Rules:
 *   [V1] Every submission is answered exactly once, but CANCEL, which has the tag of the request
 *        that it is about: that one is answered soon, if it has not been.
 *   [V2] A tag belongs to the server from its submission to its completion, and with it the slot.
 *   [V3] A submission is copied out of the ring before its entry is given back to the kernel.
 *   [V4] A completion is written in full before the tail that shows it (release, acquire).
 *   [V5] An answer that names the server's memory (MMAP, MAPAT) or descriptor (CQE_FD) is the last
 *        of its batch: what it names cannot become something else before the kernel has seen it.
 * Memory: the ring's mapping and nothing else. No libc, no locks: one ring belongs to one thread.
 * Lengths in submissions were checked by the kernel; ids, paths and offsets are a client's word. */
#ifndef CATHODE_RUNTIME_SERVER_H
#define CATHODE_RUNTIME_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/abi.h"

struct server;

/* One submission, copied, with the buffer of its tag. */
struct server_request {
  struct ring_sqe sqe;
  uint8_t *slot;  /* sqe.in_len bytes in, room for sqe.out_cap bytes out */
  uint16_t kind;  /* CQE_DONE; CQE_FD: the result is a descriptor that is given away */
  uint16_t extra; /* 0; an open whose readiness server_event() tells: CQE_EXTRA_POLLABLE */
};

/* What a handler returns when server_reply() will answer later. */
#define SERVER_LATER INT64_MIN

/* Answers the completion's result: bytes in the slot, a value, a negated error, or SERVER_LATER. */
typedef int64_t server_handler(struct server *server, struct server_request *request);

#define SERVER_N_OPS 80u

/* Handlers by scheme operation; CANCEL's result is not looked at. What is NULL is answered by
 * server.c: CLOSE and SYNC succeed, terminal operations and unknown ones fail with ENOTTY, MMAP
 * with ENODEV, a write with EBADF, and all others with EOPNOTSUPP. */
struct server_ops {
  server_handler *on[SERVER_N_OPS];
};

struct server {
  int fd; /* the ring; also what poll and event wait on */
  const struct server_ops *ops;
  void *context; /* the server's own */
  struct ring_header *ring;
  struct ring_sqe *sqes;
  struct ring_cqe *cqes;
  uint8_t *slots;
  uint32_t sq_head, cq_tail; /* our indices, ahead of or equal to the ring's */
  int given; /* descriptor to close once the kernel has seen the answer that gives it away */
};

/* Register `scheme` and map its ring. Fails: EEXIST when the name is taken, ENOMEM, EIO when the
 * ring is not one that we know. */
[[nodiscard]] int server_open(struct server *server, const char *scheme,
                              const struct server_ops *ops, void *context);

/* Answer what is in the ring now, or the first part of it [V5], without waiting; true when there
 * was something. server_enter() must come next. */
bool server_drain(struct server *server);

/* Hand in completions and, with RING_WAIT, wait for submissions until `deadline_ns`. */
[[nodiscard]] int server_enter(struct server *server, uint32_t flags, uint64_t deadline_ns);

/* Serve until the kernel ends it; answers the negated error of ring_enter. */
[[nodiscard]] int server_run(struct server *server);

/* Answer a request for which a handler returned SERVER_LATER. */
void server_reply(struct server *server, uint32_t tag, int64_t result);

/* Tell the kernel that an open file is now ready for just `events` (POLL_ABI_*). */
void server_event(struct server *server, uint64_t file, uint16_t events);

#endif
