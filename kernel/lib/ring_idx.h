/* Index arithmetic of single-producer single-consumer rings that are shared with an untrusted peer.
 *
 * head and tail run freely through 32 bits and wrap; entry i lives in slot i & (n - 1), n a power
 * of two up to 2^31. Used entries are [head, tail): full and empty differ without a spare slot.
 *
 * A peer owns one of the two indices and may store anything in it at any time. Hence: load it once
 * (ring_idx_load), check the copy (ring_idx_is_sane), use the copy only, and keep one's own index
 * in private memory; the shared one is written and never read back. A sane index that lies gives
 * wrong entries, never an access outside the ring. */
#ifndef CATHODE_LIB_RING_IDX_H
#define CATHODE_LIB_RING_IDX_H

#include <stdbool.h>
#include <stdint.h>

/* Entries that the consumer may take. */
static inline uint32_t ring_idx_used(uint32_t head, uint32_t tail) {
  return tail - head;
}

/* Entries that the producer may fill. */
static inline uint32_t ring_idx_free(uint32_t head, uint32_t tail, uint32_t n) {
  return n - (tail - head);
}

/* Where entry i lies. */
static inline uint32_t ring_idx_slot(uint32_t i, uint32_t n) {
  return i & (n - 1);
}

/* False when no honest history leads to this pair: more entries in use than there are slots. */
static inline bool ring_idx_is_sane(uint32_t head, uint32_t tail, uint32_t n) {
  return tail - head <= n;
}

/* False when the peer, which stood at `seen`, has gone back or beyond `limit` (what it may reach:
 * our tail for its head, our head + n for its tail). Implies ring_idx_is_sane. */
static inline bool ring_idx_may_move(uint32_t seen, uint32_t now, uint32_t limit) {
  return now - seen <= limit - seen;
}

/* The peer's index, once. What the peer stored before it is visible after it (acquire). */
static inline uint32_t ring_idx_load(const uint32_t *shared) {
  return __atomic_load_n(shared, __ATOMIC_ACQUIRE);
}

/* Our own index. Entries written or read before it are so before the peer sees it (release). */
static inline void ring_idx_publish(uint32_t *shared, uint32_t own) {
  __atomic_store_n(shared, own, __ATOMIC_RELEASE);
}

#endif
