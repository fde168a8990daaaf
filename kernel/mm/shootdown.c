/* TLB shootdown: make other CPUs forget translations, and know that they have.
 *
 * Each CPU has one request of its own and one word that says which CPUs want something of it:
 *
 *   initiator                              target
 *   change the page tables
 *   fill request[self], waiting = targets
 *   wanted[target] |= bit(self); IPI       interrupt, or arch_relax() in a spin loop:
 *   while (waiting) arch_relax()           for each bit of wanted[self]: flush; waiting &=
 * ~bit(self) free the frames
 *
 * [M3] No frame or table that a CPU may still have cached is freed before that CPU has answered.
 * Who waits serves others (arch_relax), so that two initiators cannot wait for each other. A locked
 * instruction on the masks orders the page-table change before the look at space->cpus [M1]. */
#include "arch/upcall.h"
#include "base/trace.h"
#include "lib/bits.h"
#include "mm/mm_priv.h"
#include "sched/sched.h"

#define RANGE_PAGES_MOST 32u /* beyond this many INVLPG a full flush is cheaper */

struct shoot_request {
  struct space *space;
  uint64_t lo, hi;
  bool leave;
  _Atomic uint64_t waiting; /* CPUs that have not answered */
} __attribute__((aligned(64)));

struct shoot_wanted {
  _Atomic uint64_t by; /* CPUs that want something of this one */
} __attribute__((aligned(64)));

static struct shoot_request requests[MAX_CPUS];
static struct shoot_wanted wanted[MAX_CPUS];

static void flush_local(uint64_t lo, uint64_t hi) {
  if ((hi - lo) >> PAGE_SHIFT > RANGE_PAGES_MOST) {
    arch_tlb_flush_all();
    return;
  }
  for (uint64_t va = lo; va < hi; va += PAGE_SIZE) {
    arch_tlb_flush_page(va);
  }
}

static void request_serve(struct shoot_request *r) {
  if (r->space != NULL && arch_cpu_self()->space == &r->space->arch) {
    if (r->leave) {
      arch_space_enter(&arch_kernel_space);
    } else {
      flush_local(r->lo, r->hi);
    }
  }
  atomic_fetch_and(&r->waiting, ~(1ul << cpu_id()));
}

void upcall_ipi_tlb(void) {
  _Atomic uint64_t *by = &wanted[cpu_id()].by;
  if (LIKELY(atomic_load_explicit(by, memory_order_relaxed) == 0)) {
    return;
  }
  trace(TRACE_IPI_TAKEN, ARCH_IPI_TLB, 0);
  for (uint64_t rest = atomic_exchange(by, 0); rest != 0; rest &= rest - 1) {
    request_serve(&requests[bit_first(rest)]);
  }
}

static void request_send(struct space *s, uint64_t targets, uint64_t lo, uint64_t hi, bool leave) {
  uint32_t self = cpu_id();
  struct shoot_request *r = &requests[self];
  r->space = s;
  r->lo = lo;
  r->hi = hi;
  r->leave = leave;
  atomic_store(&r->waiting, targets);
  counter_add(COUNTER_SHOOTDOWNS, 1);
  for (uint64_t rest = targets; rest != 0; rest &= rest - 1) {
    uint32_t cpu = bit_first(rest);
    if (atomic_fetch_or(&wanted[cpu].by, 1ul << self) == 0) {
      trace(TRACE_IPI, cpu, ARCH_IPI_TLB);
      arch_ipi_send(cpu, ARCH_IPI_TLB);
    }
  }
  while (atomic_load(&r->waiting) != 0) {
    arch_relax();
  }
}

void shootdown_range(struct space *s, uint64_t lo, uint64_t hi) {
  uint64_t self = 1ul << cpu_id();
  atomic_thread_fence(memory_order_seq_cst); /* [M1] */
  uint64_t cpus = atomic_load(&s->arch.cpus);
  if (arch_cpu_self()->space == &s->arch) {
    flush_local(lo, hi);
  }
  if (cpus & ~self) {
    request_send(s, cpus & ~self, lo, hi, false);
  }
}

void shootdown_leave(struct space *s) {
  uint64_t others = atomic_load(&s->arch.cpus) & ~(1ul << cpu_id());
  if (others != 0) {
    request_send(s, others, 0, 0, true);
  }
}

static void gather_flush(struct ptree_gather *g) {
  shootdown_range(g->ctx, g->lo, g->hi);
  ptree_gather_release(g);
}

void gather_begin(struct ptree_gather *g, struct space *s) {
  ptree_gather_init(g, gather_flush, s);
}

void gather_settle(struct ptree_gather *g) {
  if (ptree_gather_is_pending(g)) {
    gather_flush(g);
  }
}

void gather_end_slow(struct ptree_gather *g) {
  gather_settle(g);
  bool all = ptree_gather_drain(g, UINT32_MAX);
  kassert(all);
}

void gather_drain_slow(struct ptree_gather *g) {
  while (!ptree_gather_drain(g, TEARDOWN_PIECE)) {
    sched_point();
  }
  while (memobj_reap()) {
    sched_point();
  }
}

uint64_t shootdown_bench(uint32_t cpu, uint32_t iterations) {
  uint64_t start = arch_tsc();
  for (uint32_t i = 0; i < iterations; i++) {
    request_send(NULL, 1ul << cpu, 0, 0, false);
  }
  return arch_tsc() - start;
}
