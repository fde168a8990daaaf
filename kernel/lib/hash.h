/* Hash functions for tables in memory. Not keyed: a table whose keys a user chooses must bound its
 * chains otherwise, or mix in a random seed. */
#ifndef CATHODE_LIB_HASH_H
#define CATHODE_LIB_HASH_H

#include <stddef.h>
#include <stdint.h>

/* A bijection in which each input bit changes each output bit with probability one half: the
 * finalizer of splitmix64. Take the low bits for a power-of-two table. */
static inline uint64_t hash_u64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* For a pair, such as (address space, address). hash_pair(a, b) differs from hash_pair(b, a). */
static inline uint64_t hash_pair(uint64_t a, uint64_t b) {
  return hash_u64(a * 0x9e3779b97f4a7c15u + b);
}

/* For short names: FNV-1a over the bytes, then the mix. */
static inline uint64_t hash_bytes(const void *data, size_t len) {
  const unsigned char *p = data;
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < len; i++) {
    h = (h ^ p[i]) * 0x100000001b3u;
  }
  return hash_u64(h);
}

#endif
