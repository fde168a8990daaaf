/* debug: the machine's byte channels. `debug:console` (input and output), `debug:stderr`,
 * `debug:log`. Console input comes by interrupt into a small ring; what nobody reads in time is
 * lost when that is full. */
#include "arch/upcall.h"
#include "scheme/scheme.h"

#define INPUT_SIZE 1024u
#define OUTPUT_CHUNK 16u /* a 16550's FIFO: 1.4 ms at 115200 baud */

static struct spinlock input_lock = SPINLOCK(CONSOLE);
static char input[INPUT_SIZE]; /* [input_lock] */
static uint32_t input_head, input_tail;
static struct waitq input_waitq;

static bool input_is_ready(void *arg) {
  (void)arg;
  return __atomic_load_n(&input_head, __ATOMIC_ACQUIRE) !=
         __atomic_load_n(&input_tail, __ATOMIC_ACQUIRE);
}

static void input_poll(void) {
  spin_lock(&input_lock);
  for (int byte;
       input_tail - input_head < INPUT_SIZE && (byte = arch_port_read(ARCH_PORT_CONSOLE)) >= 0;) {
    input[input_tail % INPUT_SIZE] = (char)byte;
    __atomic_store_n(&input_tail, input_tail + 1, __ATOMIC_RELEASE);
  }
  spin_unlock(&input_lock);
}

void upcall_irq_serial(void) {
  input_poll();
  waitq_wake(&input_waitq);
}

static size_t input_take(char *out, size_t len) {
  size_t n = 0;
  spin_lock(&input_lock);
  while (n < len && input_head != input_tail) {
    out[n++] = input[input_head++ % INPUT_SIZE];
  }
  spin_unlock(&input_lock);
  return n;
}

static int64_t debug_read(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  (void)offset;
  char chunk[OUTPUT_CHUNK];
  if (f->id != ARCH_PORT_CONSOLE) {
    return 0;
  }
  size_t n;
  while ((n = input_take(chunk, MIN(len, sizeof(chunk)))) == 0 && len > 0) {
    enum abi_error e = file_is_nonblock(f)
                           ? ABI_EAGAIN
                           : wait_until(&input_waitq, input_is_ready, NULL, NO_DEADLINE);
    if (e != OK) {
      return -(int64_t)e;
    }
  }
  upcall_irq_serial(); /* the device may hold more than fitted */
  enum abi_error e = user_copy_out(buf, chunk, n);
  return e == OK ? (int64_t)n : -(int64_t)e;
}

static int64_t debug_write(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  (void)offset;
  char chunk[OUTPUT_CHUNK];
  for (size_t done = 0; done < len;) {
    size_t n = MIN(len - done, sizeof(chunk));
    enum abi_error e = user_copy_in(chunk, uaddr_add(buf, done), n);
    if (e != OK) {
      return done > 0 ? (int64_t)done : -(int64_t)e;
    }
    arch_port_write((enum arch_port)f->id, chunk, n);
    done += n;
    sched_point();
  }
  return (int64_t)len;
}

static uint32_t debug_poll(struct file *f, uint32_t events) {
  uint32_t ready =
      POLL_ABI_OUT | (f->id == ARCH_PORT_CONSOLE && input_is_ready(NULL) ? POLL_ABI_IN : 0);
  return ready & events;
}

static struct waitq *debug_waitq(struct file *f) {
  (void)f;
  return &input_waitq;
}

static int64_t debug_call(struct file *f, const struct file_call *c) {
  if (c->op == OP_STAT) {
    return stat_out(c, S_ABI_IFCHR | 0666, f->id + 1, 0);
  }
  return -ABI_ENOTTY;
}

static const struct file_ops port_ops = {.read = debug_read,
                                         .write = debug_write,
                                         .poll = debug_poll,
                                         .waitq = debug_waitq,
                                         .call = debug_call};

static int64_t debug_open(struct file *dir, const char *path, size_t len, uint32_t flags,
                          uint32_t mode, struct file **out) {
  (void)dir;
  (void)mode;
  static const char *const names[] = {"console", "stderr", "log"};
  for (uint32_t i = 0; i < ARRAY_LEN(names); i++) {
    if (name_is(path, len, names[i])) {
      *out = file_create(&port_ops, flags, NULL, i);
      return *out != NULL ? 0 : -ABI_ENOMEM;
    }
  }
  return -ABI_ENOENT;
}

void debug_scheme_init(void) {
  static const struct file_ops root_ops = {.open = debug_open};
  waitq_init(&input_waitq);
  scheme_add_kernel("debug", &root_ops);
}
