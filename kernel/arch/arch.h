/* What the kernel asks of the machine. Implemented in arch/x86_64; nothing here locks, allocates or
 * knows a process. The other direction is upcall.h.
 *
 * The kernel runs with interrupts disabled. They are enabled in ring 3, in the idle loop, and for
 * one instruction at preemption points (sched_point()). So every lock is safe against interrupts by
 * construction, kernel stacks need no room for nesting, and every loop that waits for another CPU
 * must call arch_relax(), which serves the requests that other CPUs wait for meanwhile. */
#ifndef CATHODE_ARCH_ARCH_H
#define CATHODE_ARCH_ARCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/abi.h"
#include "arch/asid.h"

/* Addresses of three kinds; a user address cannot be dereferenced by mistake. */
typedef struct {
  uint64_t v;
} paddr_t;
typedef struct {
  uint64_t v;
} uaddr_t;

#define PAGE_SIZE 4096ul
#define PAGE_SHIFT 12u
#define MAX_CPUS 64u

/* All usable memory, mapped once, writable, never executable. */
#define DIRECT_MAP_BASE 0xffff800000000000ul
/* Kernel stacks, each above an unmapped guard. */
#define KSTACK_REGION_BASE 0xffffc00000000000ul
#define MMIO_REGION_BASE 0xffffc04000000000ul /* device registers, uncached */
#define KSTACK_SLOT_SIZE (16ul << 10)
#define KSTACK_SIZE (8ul << 10)

static inline void *direct_map(paddr_t pa) {
  return (void *)(DIRECT_MAP_BASE + pa.v);
}

static inline paddr_t direct_unmap(const void *va) {
  return (paddr_t){(uint64_t)va - DIRECT_MAP_BASE};
}

/* ---- what the boot loader left ------------------------------------------------------------ */
#define BOOT_MEM_MAX 64u

struct boot_range {
  uint64_t start, end; /* bytes, physical */
};

/* Filled by arch_boot_read(); memory is sorted, usable RAM only, kernel and module not yet taken
 * out. */
struct boot_info {
  struct boot_range memory[BOOT_MEM_MAX];
  uint32_t n_memory;
  uint32_t n_cpus;
  struct boot_range kernel, module; /* module: the initfs image; end = 0 when absent */
  paddr_t rsdp;
  const char *cmdline; /* NUL-terminated, in the direct map */
  const char *loader;
};

/* Boot order, called once each by kernel_main() in this sequence. */
void arch_boot_read(struct boot_info *info); /* parse the loader's tables and ACPI */
void arch_boot_map(const struct boot_info *info,
                   paddr_t (*alloc_page)(void)); /* the final kernel map */
void arch_cpu_init(uint32_t cpu); /* descriptor tables, features, local APIC of the calling CPU */
void arch_clock_init(void);       /* find the TSC frequency; BSP, after arch_cpu_init */
void arch_irq_init(void);         /* route the serial lines' interrupts to CPU 0 */

/* Start one more CPU; it enters upcall_cpu_online() on the given stack. False if it does not come
 * up within a second. */
bool arch_cpu_start(uint32_t cpu, void *stack_top);

/* ---- the calling CPU ---------------------------------------------------------------------- */
/* The trace ring of one CPU, which alone writes it (base/trace.h). */
struct arch_trace {
  uint8_t *records;      /* [c] never NULL: one that nobody reads, until there is a ring */
  uint64_t offset_mask;  /* [c] bytes of the ring - 1 */
  _Atomic uint64_t head; /* [o/r] bytes written since boot; the last record is before it */
  uint64_t latest;       /* [o] TSC at the last record that read it */
};

/* At gs:0 of every CPU; offsets are known to entry.asm (asserted in cpu.c). */
struct arch_cpu {
  struct arch_cpu *self;
  void *counters;   /* base/counter.h's */
  uint64_t user_sp; /* scratch of the system call entry */
  struct arch_thread *current;
  uint32_t id;
  bool x87_foreign;         /* x87 may hold data of a space that was loaded before `space` */
  void *sched;              /* the scheduler's */
  struct arch_space *space; /* whose tables CR3 holds */
  struct arch_trace trace;
  _Atomic bool rests; /* [o/r] runs no thread of `space` and touches no user memory */
  struct asids asids; /* [o] */
  uint64_t n_spaces;  /* [o] made here */
};

/* Volatile: a thread may be on another CPU after each switch, so no value may be kept across one.
 */
static inline struct arch_cpu *arch_cpu_self(void) {
  struct arch_cpu *self;
  __asm__ volatile("movq %%gs:0, %0" : "=r"(self));
  return self;
}

static inline uint32_t cpu_id(void) {
  uint32_t id;
  __asm__ volatile("movl %%gs:32, %0" : "=r"(id));
  return id;
}

/* Adds 1 with release order to what nobody else writes meanwhile: an addition without a lock. */
static inline void arch_next_u16(_Atomic uint16_t *n) {
  __asm__ volatile("addw $1, %0" : "+m"(*(uint16_t *)n) : : "memory", "cc");
}

/* RDTSC clears the upper halves of both registers (SDM vol. 2B). */
static inline uint64_t arch_tsc(void) {
  uint64_t lo, hi;
  __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
  return hi << 32 | lo;
}

uint64_t arch_tsc_hz(void);
const char *arch_clock_source(void); /* how the frequency was found */
int64_t arch_wall_clock(void);       /* seconds since 1970 from the RTC */

/* Wait a moment in a spin loop; serves TLB shootdowns asked of this CPU. */
void arch_relax(void);

/* Idle until an interrupt; entered and left with interrupts disabled, no wake-up between the
 * caller's last check and the halt is lost (STI's one-instruction shadow, SDM vol. 2). */
void arch_idle(void);
void arch_irq_window(void); /* let pending interrupts in, once */

/* ---- threads ------------------------------------------------------------------------------ */
#define ARCH_WORK_RESCHED 1u
#define ARCH_WORK_SIGNAL 2u
#define ARCH_WORK_DIE 4u
#define ARCH_WORK_STOP 8u
#define ARCH_WORK_INJECT 16u /* stays set: every return to ring 3 is to be counted */

/* First member of struct thread; offsets known to entry.asm. */
struct arch_thread {
  _Atomic uint32_t work; /* [a] ARCH_WORK_*: what to do before going back to ring 3 */
  uint32_t mxcsr;        /* [o] while switched out inside a system call */
  uint64_t sp;           /* [o] saved stack pointer while switched out */
  uint64_t stack_top;    /* [c] */
  void *fpu;             /* [c] XSAVE area, NULL for kernel threads */
  uint64_t fs_base, gs_base;
  uint32_t id;  /* [c] context id in trace records, 0 for idle threads */
  uint16_t fcw; /* [o] the x87 control word, as mxcsr */
};

/* ---- trace records: base/trace.h puts these together ---------------------------------------- */
/* When the calling CPU last read the clock for a record. */
static inline uint64_t arch_trace_latest(void) {
  uint64_t tsc;
  __asm__ volatile("movq %%gs:%c1, %0" : "=r"(tsc) : "i"(offsetof(struct arch_cpu, trace.latest)));
  return tsc;
}

static inline void arch_trace_latest_set(uint64_t tsc) {
  __asm__ volatile("movq %0, %%gs:%c1" ::"r"(tsc), "i"(offsetof(struct arch_cpu, trace.latest)));
}

/* Who runs on the calling CPU, as trace records name it. */
static inline uint32_t arch_trace_thread(void) {
  const struct arch_thread *current;
  __asm__ volatile("movq %%gs:%c1, %0" : "=r"(current) : "i"(offsetof(struct arch_cpu, current)));
  return current->id;
}

/* The oldest record of the calling CPU's ring, to be overwritten; not yet seen by readers. */
static inline struct trace_record *arch_trace_slot(void) {
  struct trace_record *slot;
  __asm__ volatile("movq %%gs:%c1, %0\n\tandq %%gs:%c2, %0\n\taddq %%gs:%c3, %0"
                   : "=&r"(slot)
                   : "i"(offsetof(struct arch_cpu, trace.head)),
                     "i"(offsetof(struct arch_cpu, trace.offset_mask)),
                     "i"(offsetof(struct arch_cpu, trace.records))
                   : "cc");
  return slot;
}

/* The slot is filled: readers may have it. One instruction, no lock prefix: only this CPU writes,
 * and stores are seen in program order (SDM vol. 3A 8.2.2), which makes it a release. */
static inline void arch_trace_publish(void) {
  __asm__ volatile("addq %1, %%gs:%c0" ::"i"(offsetof(struct arch_cpu, trace.head)),
                   "i"(sizeof(struct trace_record))
                   : "cc", "memory");
}

/* ---- ring 3 ------------------------------------------------------------------------------- */
/* What every entry from ring 3 leaves at the top of the kernel stack (SDM vol. 3A 6.14.2). */
struct arch_user_frame {
  uint64_t rip, cs, rflags, rsp, ss;
};

struct arch_user_regs {
  uint64_t ip, sp, arg, fs_base, gs_base;
};

size_t arch_fpu_size(void);
void arch_fpu_init_area(void *area);

/* Prepare a thread so that its first switch-in calls entry(arg); t->fpu is set. */
void arch_thread_init(struct arch_thread *t, uint64_t stack_top, void (*entry)(void *), void *arg);
/* Prepare one that runs already, on a stack that ring 3 never needs. */
void arch_thread_init_idle(struct arch_thread *t);
/* Save prev, load next; goes on when somebody switches back. */
static inline void arch_thread_switch(struct arch_thread *prev, struct arch_thread *next) {
  __asm__ volatile("call thread_switch"
                   : "+D"(prev), "+S"(next)
                   :
                   : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                     "r15", "memory", "cc");
}
/* The frame through which the calling thread (given) goes back to ring 3. */
static inline struct arch_user_frame *arch_user_frame(struct arch_thread *t) {
  return (struct arch_user_frame *)(t->stack_top - sizeof(struct arch_user_frame));
}
bool arch_user_regs_valid(const struct arch_user_regs *r);
/* Start ring 3 with these; all other registers are zero. Does not return. */
_Noreturn void arch_user_enter(const struct arch_user_regs *r);
void arch_user_set_fs(struct arch_thread *self, uint64_t fs_base); /* the calling thread's */
bool arch_user_has_fsgsbase(void);

/* ---- address spaces ----------------------------------------------------------------------- */
struct arch_space {
  paddr_t root;                /* [c] the top table */
  uint64_t id;                 /* [c] never given twice; 0: the kernel's own */
  _Atomic uint64_t cpus;       /* [a] CPUs whose CR3 may hold it */
  _Atomic uint64_t generation; /* [a] how many times its tables took something away */
};

#define PTE_PRESENT (1ul << 0)
#define PTE_WRITE (1ul << 1)
#define PTE_USER (1ul << 2)
#define PTE_NOCACHE (3ul << 3)
#define PTE_ACCESSED (1ul << 5)
#define PTE_DIRTY (1ul << 6)
#define PTE_LARGE (1ul << 7)
#define PTE_GLOBAL (1ul << 8)
#define PTE_NOEXEC (1ul << 63)
#define PTE_ADDR_MASK 0x000ffffffffff000ul

extern struct arch_space arch_kernel_space;
uint64_t arch_pte_noexec(void); /* PTE_NOEXEC, or 0 on a CPU without NX */
void arch_space_init(struct arch_space *s, paddr_t root,
                     void *root_table); /* adds the kernel half */
/* Load CR3 and keep the masks. Of a space that is loaded already: only what was missed at rest. */
void arch_space_enter(struct arch_space *s);
/* The CPU goes on without a space: what is loaded stays, unused, and need not be kept right. */
static inline void arch_space_rest(void) {
  atomic_store_explicit(&arch_cpu_self()->rests, true, memory_order_relaxed);
}
/* The loaded space is used again: what was missed meanwhile is forgotten. */
void arch_space_resume(void);
bool arch_cpu_rests(uint32_t cpu); /* perhaps not any more when this returns */
/* The loaded space's change `generation`, which narrowed [lo, hi): the calling CPU forgets it. */
void arch_space_flush_slow(uint64_t lo, uint64_t hi, uint64_t generation);
static inline void arch_space_flush(uint64_t lo, uint64_t hi, uint64_t generation) {
  struct asids *asids = &arch_cpu_self()->asids;
  if (hi - lo == PAGE_SIZE && asid_need(asids, generation) == ASID_RANGE) { /* most are */
    asid_catch_up(asids, generation);
    __asm__ volatile("invlpg (%0)" ::"r"(lo) : "memory");
  } else {
    arch_space_flush_slow(lo, hi, generation);
  }
}
void arch_kernel_map_page(uint64_t va, paddr_t pa, paddr_t (*alloc_page)(void));
/* Walks the kernel's tables: nothing is open to ring 3, what can be executed is the text, and the
 * text and the constants cannot be written to where they are linked. Answers how many pages, of any
 * size, there are; *wrong: the first address at which it is otherwise, 0: none. */
uint64_t arch_kernel_map_check(uint64_t *wrong);

/* ---- sampling ----------------------------------------------------------------------------- */
/* From now on every CPU gets an NMI so many times a second, and upcall_nmi_sample() is called.
 * False when the machine cannot (19 to 20000 a second). One caller at a time for both. */
bool arch_sampler_start(uint32_t hz);
/* NMIs that are on their way may still come. */
void arch_sampler_stop(void);

/* ---- interrupts --------------------------------------------------------------------------- */
enum arch_ipi { ARCH_IPI_WAKE = 0, ARCH_IPI_TLB = 1, ARCH_IPI_COUNT };
void arch_ipi_send(uint32_t cpu, enum arch_ipi ipi);
void arch_nmi_others(void); /* panic only */
/* One interrupt of the calling CPU at this TSC value (or at once when past); UINT64_MAX for none.
 */
void arch_timer_set(uint64_t tsc);

/* ---- user memory -------------------------------------------------------------------------- */
/* Copy with fault fix-up; all answer 0, or how many bytes were NOT copied, at the most. Ranges are
 * checked by the caller. */
size_t arch_copy_from_user(void *dst, uint64_t src, size_t len);
size_t arch_copy_to_user(uint64_t dst, const void *src, size_t len);
/* Either way, and only where the pages are there: it resolves no fault, and so may run under a
 * lock. */
size_t arch_copy_user_now(void *dst, const void *src, size_t len);
/* The same for one word. */
size_t arch_load_user_u32_asm(uint64_t addr, uint32_t *value);
size_t arch_store_user_u32_asm(uint64_t addr, uint32_t value);
size_t arch_cas_user_u32_asm(uint64_t addr, uint32_t *expected, uint32_t desired);
/* False on a fault. */
static inline bool arch_load_user_u32(uint64_t addr, uint32_t *value) {
  return arch_load_user_u32_asm(addr, value) == 0;
}
static inline bool arch_store_user_u32(uint64_t addr, uint32_t value) {
  return arch_store_user_u32_asm(addr, value) == 0;
}
/* Atomically *addr = desired if it is *expected; *expected becomes what was there. */
static inline bool arch_cas_user_u32(uint64_t addr, uint32_t *expected, uint32_t desired) {
  return arch_cas_user_u32_asm(addr, expected, desired) == 0;
}

/* ---- pages -------------------------------------------------------------------------------- */
extern void (*arch_page_zero)(void *page);
extern void (*arch_page_copy)(void *dst, const void *src);
void arch_page_select(void *scratch_a, void *scratch_b); /* measure the routines, keep the best */
void arch_page_names(const char **zero, const char **copy);
const char *arch_page_report(void); /* what was chosen, with the measured costs */

/* ---- console and power -------------------------------------------------------------------- */
enum arch_port { ARCH_PORT_CONSOLE = 0, ARCH_PORT_STDERR = 1, ARCH_PORT_LOG = 2 };
void arch_port_write(enum arch_port port, const char *bytes, size_t len);
int arch_port_read(enum arch_port port); /* a byte, or -1 */
_Noreturn void arch_power_off(bool panic);
_Noreturn void arch_halt(void);

/* ---- description and calibration ---------------------------------------------------------- */
const char *arch_cpu_model(void);
void arch_cpu_features(char *out, size_t cap); /* names of the features in use */
const char *arch_apic_mode(void);
/* Frame-pointer walk from rbp; answers how many return addresses were stored. */
size_t arch_backtrace(uint64_t rbp, uint64_t *out, size_t cap);
static inline uint64_t arch_frame_pointer(void) {
  return (uint64_t)__builtin_frame_address(0);
}

/* Cycles of `iterations` repetitions of one machine operation, for sys:bench. */
uint64_t arch_bench_int(uint32_t iterations);
uint64_t arch_bench_cr3(uint32_t iterations);
uint64_t arch_bench_invlpg(uint32_t iterations);

#endif
