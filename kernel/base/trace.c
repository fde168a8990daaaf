/* The rings' other half: giving them, reading them, naming what is in them. */
#include "base/trace.h"
#include "base/panic.h"
#include "lib/string.h"

#define RECORD sizeof(struct trace_record)
#define PRINTED_LAST 16u /* records of each CPU that a panic shows */
#define PRINTED_CHUNK 4u

READ_MOSTLY uint32_t trace_mask;
void (*trace_mask_changed)(uint32_t mask);
static uint32_t mask_wanted = TRACE_MASK_DEFAULT;          /* until there is a ring */
static _Atomic(const struct arch_trace *) rings[MAX_CPUS]; /* [a] NULL: that CPU has none */
static _Atomic bool rings_exist;

const struct trace_event_info trace_event_info[] = {
#define TRACE_EVENT(number, name, a, b, text) {number, #name, #a, #b, text},
#include "abi/trace_events.def"
#undef TRACE_EVENT
};
const size_t n_trace_events = ARRAY_LEN(trace_event_info);

/* ---- the mask ----------------------------------------------------------------------------- */

/* Whoever stores last also tells last: each looks again after telling. */
static void mask_store(uint32_t mask) {
  __atomic_store_n(&trace_mask, mask, __ATOMIC_SEQ_CST);
  do {
    mask = __atomic_load_n(&trace_mask, __ATOMIC_SEQ_CST);
    if (trace_mask_changed != NULL) {
      trace_mask_changed(mask);
    }
  } while (__atomic_load_n(&trace_mask, __ATOMIC_SEQ_CST) != mask);
}

bool trace_mask_set(uint32_t mask) {
  if (mask & ~TRACE_MASK_ALL || !atomic_load(&rings_exist)) {
    return false;
  }
  mask_store(mask);
  return true;
}

void trace_mask_boot(uint32_t mask) {
  mask_wanted = mask & TRACE_MASK_ALL;
}

/* ---- writing ------------------------------------------------------------------------------ */

void trace_ring_give(void *buffer, size_t n_bytes) {
  kassert(bit_is_power_of_two(n_bytes) && n_bytes >= 2 * RECORD);
  struct arch_trace *t = &arch_cpu_self()->trace;
  t->offset_mask = n_bytes - 1;
  t->records = buffer;
  atomic_store(&t->head, 0);
  atomic_store_explicit(&rings[cpu_id()], t, memory_order_release);
  if (!atomic_exchange(&rings_exist, true)) {
    mask_store(mask_wanted);
  }
}

void trace_name(uint32_t pid, const char *name, size_t n_bytes) {
  for (uint64_t part = 0; 8 * part < n_bytes && (part == 0 || name[8 * part] != '\0'); part++) {
    uint64_t bytes;
    memcpy(&bytes, name + 8 * part, sizeof(bytes));
    trace(TRACE_NAME, pid | part << 32, bytes);
  }
}

/* ---- reading ------------------------------------------------------------------------------ */

uint64_t trace_ring_bytes(uint32_t cpu) {
  const struct arch_trace *t = atomic_load_explicit(&rings[cpu], memory_order_acquire);
  return t != NULL ? t->offset_mask + 1 : 0;
}

/* The oldest position that is whole for certain when the head is at `head`: the slot at the head
 * itself is being overwritten. */
static uint64_t oldest_whole(const struct arch_trace *t, uint64_t head) {
  uint64_t kept = t->offset_mask + 1 - RECORD;
  return head > kept ? head - kept : 0;
}

uint64_t trace_head(uint32_t cpu) {
  const struct arch_trace *t = atomic_load_explicit(&rings[cpu], memory_order_acquire);
  return atomic_load_explicit(&t->head, memory_order_acquire);
}

size_t trace_read(uint32_t cpu, uint64_t *pos, uint64_t end, struct trace_record *out, size_t n,
                  uint64_t *lost) {
  const struct arch_trace *t = atomic_load_explicit(&rings[cpu], memory_order_acquire);
  uint64_t head = atomic_load_explicit(&t->head, memory_order_acquire);
  uint64_t from = MAX(*pos, oldest_whole(t, head));
  size_t n_copied = 0;
  kassert(end <= head);
  for (uint64_t at = from; n_copied < n && at < end; at += RECORD) {
    memcpy(&out[n_copied++], t->records + (at & t->offset_mask), RECORD);
  }
  atomic_thread_fence(memory_order_acquire);
  uint64_t whole = oldest_whole(t, atomic_load_explicit(&t->head, memory_order_relaxed));
  size_t n_torn = whole > from ? MIN((whole - from) / RECORD, n_copied) : 0; /* [T1] */
  memmove(out, out + n_torn, (n_copied - n_torn) * RECORD);
  *lost = (from - *pos) / RECORD + n_torn;
  *pos = from + n_copied * RECORD;
  return n_copied - n_torn;
}

/* ---- the panic's view --------------------------------------------------------------------- */

static const struct trace_event_info *event_find(uint32_t number) {
  for (size_t i = 0; i < n_trace_events; i++) {
    if (trace_event_info[i].number == number) {
      return &trace_event_info[i];
    }
  }
  return NULL;
}

/* One argument; some events have fewer than two, and call the others zero. */
static void argument_print(const char *name, uint64_t value) {
  if (strcmp(name, "zero") != 0) {
    log_printf(" %s=0x%lx", name, value);
  }
}

static void record_print(const struct trace_record *r, uint64_t now) {
  const struct trace_event_info *e = event_find(r->event);
  uint64_t ago_us = (now - r->tsc) / (arch_tsc_hz() / 1000000 + 1);
  log_printf("    -%lu us thread %u ", ago_us, r->thread);
  if (e == NULL) {
    log_printf("event %u?\n", r->event);
    return;
  }
  log_printf("%s", e->name);
  argument_print(e->a, r->a);
  argument_print(e->b, r->b);
  log_printf("\n");
}

static void ring_print_last(uint32_t cpu, uint64_t now) {
  struct trace_record chunk[PRINTED_CHUNK];
  uint64_t lost, head = trace_head(cpu);
  uint64_t pos = head - MIN(head, (uint64_t)PRINTED_LAST * RECORD);
  log_printf("cpu %u, last events of %lu:\n", cpu, head / RECORD);
  for (size_t n; (n = trace_read(cpu, &pos, head, chunk, PRINTED_CHUNK, &lost)) > 0;) {
    for (size_t i = 0; i < n; i++) {
      record_print(&chunk[i], now);
    }
  }
}

void trace_print_last(void) {
  uint64_t now = arch_tsc();
  trace_mask = 0; /* printing must not write what is printed */
  for (uint32_t cpu = 0; cpu < MAX_CPUS; cpu++) {
    if (trace_ring_bytes(cpu) != 0) {
      ring_print_last(cpu, now);
    }
  }
}
