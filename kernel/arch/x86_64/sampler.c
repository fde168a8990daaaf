/* Sampling: non-maskable interrupts at a rate, and the stacks that they find.
 *
 * The kernel runs with interrupts disabled, so that only an NMI sees inside it. The PIT's channel 0
 * is routed through the I/O APIC with NMI delivery (82093AA 3.2.4) to the booting CPU, which hands
 * it on to all others. Nothing of this is set up until somebody asks.
 *
 * [N1] Nothing here faults, locks or waits: an NMI may come anywhere, also where a lock is held,
 *      and the IRET of a fault would let in the next one on the same stack (SDM vol. 3A 6.7.1).
 *      Stacks are read within their bounds only, user memory through the page tables.
 * [N2] The tables that CR3 names, and the frames that they map, stay while the NMI lasts: whoever
 *      frees them waits for this CPU's answer to a shootdown first, which it does not give here.
 *      A kernel thread may run in a space that is gone, so its user half is never looked at. */
#include "arch/x86_64/x86.h"

#define PIT_HZ 1193182u
#define PIT_RATE 0x34 /* channel 0, both bytes, mode 2: rate generator (8254) */
#define ISA_PIT 0
#define TABLE_ENTRIES 512u
#define LEVELS 4u

static _Atomic bool sampling; /* [a] */

bool arch_sampler_start(uint32_t hz) {
  uint32_t count = PIT_HZ / hz;
  if (count < 2 || count > UINT16_MAX || !apic_isa_nmi(ISA_PIT, true)) {
    return false;
  }
  outb(0x43, PIT_RATE);
  outb(0x40, (uint8_t)count);
  outb(0x40, (uint8_t)(count >> 8));
  atomic_store(&sampling, true);
  return true;
}

void arch_sampler_stop(void) {
  atomic_store(&sampling, false);
  apic_isa_nmi(ISA_PIT, false);
}

void sampler_relay(void) {
  if (cpu_id() == 0 && atomic_load(&sampling)) {
    apic_nmi_relay();
  }
}

/* ---- stacks --------------------------------------------------------------------------------- */

/* Where an address lies in the direct map, if it is mapped at all: what CR3 says, now. */
static bool page_walk(uint64_t va, uint64_t rights, uint64_t *pa) {
  uint64_t entry = read_cr3();
  for (uint32_t level = LEVELS; level-- > 0;) {
    const uint64_t *table = direct_map((paddr_t){entry & PTE_ADDR_MASK});
    uint64_t below = (PAGE_SIZE << 9 * level) - 1;
    entry = table[va >> (PAGE_SHIFT + 9 * level) & (TABLE_ENTRIES - 1)];
    if ((entry & rights) != rights) {
      return false;
    }
    if (level == 0 || (level < 3 && entry & PTE_LARGE)) {
      *pa = (entry & PTE_ADDR_MASK & ~below) | (va & below);
      return true;
    }
  }
  return false;
}

/* A word of the user's, if it is in memory. Devices are not in the direct map. */
static bool user_peek(uint64_t va, uint64_t *value) {
  uint64_t pa, direct_pa;
  if (va >= ABI_USER_END || va % 8 != 0 || !page_walk(va, PTE_PRESENT | PTE_USER, &pa)) {
    return false;
  }
  const uint64_t *word = direct_map((paddr_t){pa});
  if (!page_walk((uint64_t)word, PTE_PRESENT, &direct_pa) || direct_pa != pa) {
    return false;
  }
  *value = *word;
  return true;
}

/* Frame pointers upwards; a program without them gives its first address and nonsense at most. */
static size_t user_walk(uint64_t rip, uint64_t rbp, uint64_t *out, size_t cap) {
  size_t n = 0;
  uint64_t next, address;
  if (n < cap) {
    out[n++] = rip;
  }
  while (n < cap && user_peek(rbp, &next) && user_peek(rbp + 8, &address) && address != 0) {
    out[n++] = address;
    if (next <= rbp) {
      break;
    }
    rbp = next;
  }
  return n;
}

/* Whether the interrupted code is on the current thread's stack, below the user's frame: not so for
 * some instructions of a switch, and of an entry. */
static bool on_own_stack(const struct arch_thread *t, const struct arch_trap_frame *f) {
  return f->rsp >= t->stack_top - KSTACK_SIZE &&
         f->rsp <= t->stack_top - sizeof(struct arch_user_frame);
}

/* The calls from rbp up to the top of the thread's stack. *user_rbp: what the last frame kept, when
 * that is the system call's own, else 0. */
static size_t kernel_walk(const struct arch_thread *t, const struct arch_trap_frame *f,
                          uint64_t *user_rbp, uint64_t *out, size_t cap) {
  uint64_t low = f->rsp, rbp = f->rbp, end = t->stack_top - sizeof(struct arch_user_frame);
  size_t n = 0;
  *user_rbp = 0;
  while (n < cap && rbp >= low && rbp <= end - 8 && rbp % 8 == 0) {
    const uint64_t *frame = (const uint64_t *)rbp;
    if (rbp == end - 8) { /* pushed by syscall_entry, right below the user's frame */
      *user_rbp = frame[0];
      break;
    }
    if (frame[1] < KERNEL_BASE) {
      break;
    }
    out[n++] = frame[1];
    low = rbp + 16;
    rbp = frame[0];
  }
  return n;
}

void sampler_stack(const struct arch_trap_frame *f, struct profile_sample *s) {
  const struct arch_thread *t = arch_cpu_self()->current;
  uint64_t rip = f->rip, rbp = f->rbp;
  bool user = t->fpu != NULL;
  s->n_kernel = s->n_user = 0;
  if (!(f->cs & 3)) {
    s->at[s->n_kernel++] = f->rip;
    user = user && on_own_stack(t, f);
    if (on_own_stack(t, f)) {
      s->n_kernel += kernel_walk(t, f, &rbp, s->at + 1, PROFILE_DEPTH / 2 - 1);
    }
    rip = user ? arch_user_frame((struct arch_thread *)t)->rip : 0;
  }
  if (user && rip < ABI_USER_END) {
    s->n_user = (uint8_t)user_walk(rip, rbp, s->at + s->n_kernel, PROFILE_DEPTH - s->n_kernel);
  }
}
