/* TLB shootdown: make other CPUs forget translations, and know that they have.
 *
 * Each CPU has one request of its own and one word that says which CPUs want something of it:
 *
 *   initiator                              target
 *   change the page tables
 *   fill request[self], waiting = targets
 *   wanted[target] |= bit(self); IPI       interrupt, or arch_relax() in a spin loop:
 *   while (waiting) arch_relax()           for each bit of wanted[self]: flush;
 *   free the frames                          waiting &= ~bit(self)
 *
 * Who waits serves others (arch_relax), so that two initiators cannot wait for each other.
 *
 * Who is told. A change takes something away from the tables: an entry, or a right. It counts up
 * the space's generation, and looks for CPUs in the space's mask that do not rest. A CPU that rests
 * (idle, or in a thread without a space) keeps the tables loaded, unused; it hears nothing, and
 * compares generations when it comes back:
 *
 *   changer                                CPU
 *   tables := less                         rests := true        (plain: late is harmless)
 *   generation += 1   (locked)             ...
 *   look at the mask, then at rests        rests := false       (locked; or: mask |= bit, locked)
 *                                          look at the generation; flush if it is another
 *
 * [M1] Each side writes, then looks, with a locked instruction between. If the changer still sees
 * the CPU resting, or not in the mask, then the CPU's write comes after the changer's look, so that
 * the CPU's own look finds the generation counted, and its flush is after the change.
 *
 * [M3] No frame or table that a CPU may still use is freed before that CPU has answered. A CPU that
 * rests uses no frame; but its hardware may walk tables on speculation, and mark what it finds
 * there as accessed, or load small pages beside a big one that it still has (SDM vol. 3A 4.10.2.3).
 * So when tables go, or pages change size [P8], CPUs at rest are told as well. They leave for the
 * kernel's space, so that they are told once for each rest.
 *
 * A CPU that is told of generation g and has seen g - 1 flushes the range; one that has seen less
 * flushes all; one that has seen g, because it flushed all in the meantime, nothing (asid.h).
 * model/tlb.pml explores all this. */
#include "arch/upcall.h"
#include "base/trace.h"
#include "lib/bits.h"
#include "mm/mm_priv.h"
#include "sched/sched.h"

enum told {
  TOLD_NARROWED, /* entries of [lo, hi) have gone, or rights of them */
  TOLD_TABLES,   /* tables go as well, or pages change size: a CPU at rest leaves */
  TOLD_LEAVE,    /* the space goes */
};

struct shoot_request {
  struct space *space; /* NULL: only answer */
  uint64_t lo, hi, generation;
  enum told told;
  _Atomic uint64_t waiting; /* CPUs that have not answered */
} __attribute__((aligned(64)));

/* What was narrowed, and what waits to be freed (NULL: nothing). */
struct change {
  uint64_t lo, hi, generation;
  const struct ptree_gather *gather;
};

struct shoot_wanted {
  _Atomic uint64_t by; /* CPUs that want something of this one */
} __attribute__((aligned(64)));

static struct shoot_request requests[MAX_CPUS];
static struct shoot_wanted wanted[MAX_CPUS];

static void request_obey(const struct shoot_request *r) {
  const struct arch_cpu *cpu = arch_cpu_self();
  if (cpu->space != &r->space->arch) {
    return;
  }
  bool rests = atomic_load_explicit(&cpu->rests, memory_order_relaxed);
  if (r->told == TOLD_LEAVE || (rests && r->told == TOLD_TABLES)) {
    arch_space_enter(&arch_kernel_space);
  } else if (!rests) {
    arch_space_flush(r->lo, r->hi, r->generation);
  }
}

static void request_serve(struct shoot_request *r) {
  if (r->space != NULL) {
    request_obey(r);
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

/* The request of the calling CPU, filled in, goes to these CPUs, and is answered by all of them. */
static void request_send(struct shoot_request *r, uint64_t targets) {
  uint32_t self = cpu_id();
  atomic_store(&r->waiting, targets);
  counter_add(COUNTER_SHOOTDOWNS, 1);
  for (uint64_t rest = targets; rest != 0; rest &= rest - 1) {
    uint32_t cpu = bit_first(rest);
    if (atomic_fetch_or(&wanted[cpu].by, 1ul << self) == 0) {
      counter_add(COUNTER_SHOOTDOWN_IPIS, 1);
      trace(TRACE_IPI, cpu, ARCH_IPI_TLB);
      arch_ipi_send(cpu, ARCH_IPI_TLB);
    }
  }
  while (atomic_load(&r->waiting) != 0) {
    arch_relax();
  }
}

static struct shoot_request *request_of(struct space *s, enum told told) {
  struct shoot_request *r = &requests[cpu_id()];
  r->space = s;
  r->told = told;
  return r;
}

static uint64_t others_in(struct space *s) {
  return atomic_load(&s->arch.cpus) & ~(1ul << cpu_id());
}

static uint64_t resting_of(uint64_t cpus) {
  uint64_t resting = 0;
  for (uint64_t rest = cpus; rest != 0; rest &= rest - 1) {
    uint32_t cpu = bit_first(rest);
    resting |= arch_cpu_rests(cpu) ? 1ul << cpu : 0;
  }
  counter_add(COUNTER_SHOOTDOWN_SPARED, bit_count(resting));
  return resting;
}

/* Other CPUs are told of a change, and have answered when this returns. */
static void others_tell(struct space *s, uint64_t cpus, const struct change *c) {
  bool tables = c->gather != NULL && (c->gather->resizes || ptree_gather_has_tables(c->gather));
  if (!tables) {
    cpus &= ~resting_of(cpus);
  }
  if (cpus != 0) {
    struct shoot_request *r = request_of(s, tables ? TOLD_TABLES : TOLD_NARROWED);
    r->lo = c->lo;
    r->hi = c->hi;
    r->generation = c->generation;
    request_send(r, cpus);
  }
}

/* The change has been made, and is counted now [M1]. */
static inline void change_tell(struct space *s, struct change c) {
  c.generation = atomic_fetch_add(&s->arch.generation, 1) + 1;
  uint64_t others = others_in(s);
  if (arch_cpu_self()->space == &s->arch) {
    arch_space_flush(c.lo, c.hi, c.generation);
  }
  if (UNLIKELY(others != 0)) {
    others_tell(s, others, &c);
  }
}

void shootdown_all(struct space *s) {
  change_tell(s, (struct change){.lo = 0, .hi = ABI_USER_END});
}

void shootdown_leave(struct space *s) {
  uint64_t others = others_in(s);
  if (others != 0) {
    request_send(request_of(s, TOLD_LEAVE), others);
  }
}

static void gather_flush(struct ptree_gather *g) {
  change_tell(g->ctx, (struct change){.lo = g->lo, .hi = g->hi, .gather = g});
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
    request_send(request_of(NULL, TOLD_NARROWED), 1ul << cpu);
  }
  return arch_tsc() - start;
}
