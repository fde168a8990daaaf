/* Floating point and vector registers: what a system call keeps and what it does not, what an
 * interrupt must keep, and that nobody sees another's. All threads share one CPU, so that each runs
 * in the registers of the one before. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <fenv.h>
#include <stdatomic.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "abi/abi.h"
#include "native.h"
#include "runtime/syscall.h"
#include "threads.h"

enum { HOGS = 3, REGS = 16, ROUNDS = 200, HOG_MS = 150, PAGES = 64, PAGE = 4096 };
enum { MXCSR_MASKED = 0x1f80, MXCSR_DOWN = 0x2000, MXCSR_DIVIDED = 4, FCW_INIT = 0x37f };
enum { FCW_UP_SINGLE = 0x87f }; /* round up, 24 bits of precision */

static bool has_avx;

/* ---- reading and writing the registers ------------------------------------------------------ */

struct vectors {
  _Alignas(32) uint64_t of[REGS][4];
};

static void vectors_fill(struct vectors *v, uint64_t seed) {
  for (int reg = 0; reg < REGS; reg++) {
    for (int part = 0; part < 4; part++) {
      v->of[reg][part] = seed + (uint64_t)(reg * 4 + part);
    }
  }
}

#define EACH_REG(insn)                                                                             \
  insn(0) insn(1) insn(2) insn(3) insn(4) insn(5) insn(6) insn(7) insn(8) insn(9) insn(10)         \
      insn(11) insn(12) insn(13) insn(14) insn(15)
#define AVX_LOAD(n) "vmovups 32*" #n "(%[in]), %%ymm" #n "\n\t"
#define AVX_STORE(n) "vmovups %%ymm" #n ", 32*" #n "(%[out])\n\t"
#define SSE_LOAD(n) "movups 32*" #n "(%[in]), %%xmm" #n "\n\t"
#define SSE_STORE(n) "movups %%xmm" #n ", 32*" #n "(%[out])\n\t"
#define ALL_LOST                                                                                   \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",         \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory", "cc"

/* The registers hold `in` until *stop is not 0, without a call; what they hold then goes to out. */
#define HOLD_WAY "1: pause\n\tcmpl $0, (%[stop])\n\tje 1b\n\t"
/* Writes a byte to each of PAGES pages, which faults. */
#define TOUCH_WAY                                                                                  \
  "mov %[pages], %%rax\n\t1: movb $1, (%%rax)\n\tadd $4096, %%rax\n\tcmp %[end], %%rax\n\tjb "     \
  "1b\n\t"

#define WITH_VECTORS(load, way, store, in_, out_, ...)                                             \
  __asm__ volatile(EACH_REG(load) way EACH_REG(store)                                              \
                   :                                                                               \
                   : [in] "r"(in_), [out] "r"(out_), __VA_ARGS__                                   \
                   : "rax", ALL_LOST)

static void vectors_hold(const struct vectors *in, struct vectors *out,
                         const volatile uint32_t *stop) {
  if (has_avx) {
    WITH_VECTORS(AVX_LOAD, HOLD_WAY, AVX_STORE, in, out, [stop] "r"(stop));
  } else {
    WITH_VECTORS(SSE_LOAD, HOLD_WAY, SSE_STORE, in, out, [stop] "r"(stop));
  }
}

static void vectors_touch(const struct vectors *in, struct vectors *out, char *pages) {
  if (has_avx) {
    WITH_VECTORS(AVX_LOAD, TOUCH_WAY, AVX_STORE, in,
                 out, [pages] "r"(pages), [end] "r"(pages + PAGES * PAGE));
  } else {
    WITH_VECTORS(SSE_LOAD, TOUCH_WAY, SSE_STORE, in,
                 out, [pages] "r"(pages), [end] "r"(pages + PAGES * PAGE));
  }
}

/* What the registers hold right after a call that let others run. */
static void vectors_after_yield(const struct vectors *in, struct vectors *out) {
  register uint64_t nr __asm__("rax") = SYS_NR_yield;
  if (has_avx) {
    __asm__ volatile(EACH_REG(AVX_LOAD) "syscall\n\t" EACH_REG(AVX_STORE)
                     : "+r"(nr)
                     : [in] "r"(in), [out] "r"(out)
                     : "rcx", "r11", "rdi", "rsi", "rdx", "r8", "r9", "r10", ALL_LOST);
  } else {
    __asm__ volatile(EACH_REG(SSE_LOAD) "syscall\n\t" EACH_REG(SSE_STORE)
                     : "+r"(nr)
                     : [in] "r"(in), [out] "r"(out)
                     : "rcx", "r11", "rdi", "rsi", "rdx", "r8", "r9", "r10", ALL_LOST);
  }
}

static bool vectors_same(const struct vectors *a, const struct vectors *b) {
  bool same = true;
  for (int reg = 0; reg < REGS; reg++) {
    same = same && memcmp(a->of[reg], b->of[reg], has_avx ? 32 : 16) == 0;
  }
  return same;
}

struct controls {
  uint32_t mxcsr, fcw;
};

static struct controls controls_get(void) {
  struct controls c = {0};
  __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(c.mxcsr), "+m"(c.fcw));
  return c;
}

static void controls_set(struct controls c) {
  __asm__ volatile("ldmxcsr %0\n\tfldcw %1" ::"m"(c.mxcsr), "m"(c.fcw));
}

static bool controls_are(struct controls c) {
  struct controls now = controls_get();
  return now.mxcsr == c.mxcsr && now.fcw == c.fcw;
}

/* No exception is raised, no register in use (SDM vol. 1, figure 8-9). */
static bool x87_is_clean(void) {
  struct {
    uint32_t control, status, tags, rest[4];
  } environment;
  __asm__ volatile("fnstenv %0\n\tfldenv %0" : "=m"(environment));
  return (environment.status & 0xffff) == 0 && (environment.tags & 0xffff) == 0xffff;
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* Keeps its control words over calls in which another, with other words, runs. */
static void *words_keep(void *arg) {
  struct controls mine = *(struct controls *)arg;
  uintptr_t kept = 0;
  thread_pin(0);
  controls_set(mine);
  for (int i = 0; i < ROUNDS; i++) {
    sys_yield();
    kept += controls_are(mine);
  }
  return (void *)kept;
}

static void test_words(void) {
  static struct controls words[HOGS] = {{MXCSR_MASKED | MXCSR_DOWN, FCW_INIT},
                                        {MXCSR_MASKED | MXCSR_DIVIDED, FCW_UP_SINGLE},
                                        {MXCSR_MASKED, FCW_INIT}};
  pthread_t threads[HOGS];
  uintptr_t kept = 0;
  for (int i = 0; i < HOGS; i++) {
    threads[i] = thread_start(0, words_keep, &words[i]);
  }
  for (int i = 0; i < HOGS; i++) {
    void *answer;
    pthread_join(threads[i], &answer);
    kept += (uintptr_t)answer;
  }
  is(kept, HOGS * ROUNDS, "control words are kept over calls");
}

/* Raises an exception in x87 alone before each call, and sees it after; or none, and sees none. */
static void *flags_keep(void *raises) {
  static const float zero = 0;
  uintptr_t kept = 0;
  thread_pin(0);
  feclearexcept(FE_ALL_EXCEPT);
  for (int i = 0; i < ROUNDS; i++) {
    if (raises != NULL) {
      feclearexcept(FE_ALL_EXCEPT);
      __asm__ volatile("fld1\n\tfdivs %0\n\tfstp %%st(0)" ::"m"(zero) : "st");
    }
    sys_yield();
    kept += fetestexcept(FE_ALL_EXCEPT) == (raises != NULL ? FE_DIVBYZERO : 0);
  }
  return (void *)kept;
}

static void test_flags(void) {
  void *with, *without;
  pthread_t one = thread_start(0, flags_keep, (void *)flags_keep);
  pthread_t other = thread_start(0, flags_keep, NULL);
  pthread_join(one, &with);
  pthread_join(other, &without);
  is((uintptr_t)with, ROUNDS, "an exception that x87 has raised stays raised over calls");
  is((uintptr_t)without, ROUNDS, "and is nobody else's");
}

/* Leaves what it must not: all of the x87 stack in use, or all of it by MMX. */
static void *x87_litter(void *mmx) {
  thread_pin(0);
  for (int i = 0; i < ROUNDS; i++) {
    if (mmx != NULL) {
      __asm__ volatile("pcmpeqd %%mm0, %%mm0\n\tpcmpeqd %%mm7, %%mm7" ::: "memory");
    } else {
      __asm__ volatile("fld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1" ::: "memory");
    }
    sys_yield();
    __asm__ volatile("fninit" ::: "memory");
  }
  return NULL;
}

static void *x87_count(void *arg) {
  uintptr_t right = 0;
  (void)arg;
  thread_pin(0);
  for (int i = 0; i < ROUNDS; i++) {
    volatile long double a = i, b = 3, c = 2;
    right += a * b + c * (b + a / c) == 4.0L * i + 6.0L;
    __asm__ volatile("fninit");
    sys_yield();
    right += x87_is_clean();
  }
  return (void *)right;
}

static void test_litter(void) {
  void *right;
  pthread_t one = thread_start(0, x87_litter, NULL);
  pthread_t two = thread_start(0, x87_litter, (void *)x87_litter);
  pthread_t counter = thread_start(0, x87_count, NULL);
  pthread_join(counter, &right);
  pthread_join(one, NULL);
  pthread_join(two, NULL);
  is((uintptr_t)right, 2 * ROUNDS, "a full x87 stack is its thread's own trouble");
}

/* ---- interrupts and faults ------------------------------------------------------------------ */

static volatile uint32_t stop;
static _Atomic uint32_t n_ready;

static void *hog(void *seed) {
  struct vectors in, out;
  struct controls words = {MXCSR_MASKED | MXCSR_DOWN, FCW_UP_SINGLE};
  long double stack = (long double)(uintptr_t)seed + 0.5L;
  thread_pin(0);
  controls_set(words);
  vectors_fill(&in, (uint64_t)(uintptr_t)seed << 32);
  atomic_fetch_add(&n_ready, 1);
  __asm__ volatile("fldt %0" ::"m"(stack) : "st");
  vectors_hold(&in, &out, &stop);
  long double left;
  __asm__ volatile("fstpt %0" : "=m"(left)::"memory");
  bool good = vectors_same(&in, &out) && left == stack && controls_are(words);
  return (void *)(uintptr_t)good;
}

static void test_hogs(void) {
  pthread_t threads[HOGS];
  uintptr_t good = 0;
  for (uintptr_t i = 0; i < HOGS; i++) {
    threads[i] = thread_start(0, hog, (void *)(i + 1));
  }
  while (atomic_load(&n_ready) < HOGS) {
    sleep_ms(1);
  }
  sleep_ms(HOG_MS); /* many slices for each */
  stop = 1;
  for (int i = 0; i < HOGS; i++) {
    void *answer;
    pthread_join(threads[i], &answer);
    good += (uintptr_t)answer;
  }
  is(good, HOGS, "threads that lose their CPU have all their registers when they go on");
}

static void test_faults(void) {
  struct vectors in, out;
  char *pages =
      mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  vectors_fill(&in, 7ull << 32);
  vectors_touch(&in, &out, pages);
  ok(pages != MAP_FAILED && vectors_same(&in, &out), "page faults keep all registers");
  munmap(pages, PAGES * PAGE);
}

/* Faults that a server answers: the thread waits, others run. */
static void test_faults_that_wait(void) {
  struct vectors in, out;
  char path[] = "/tmp/vectors.XXXXXX";
  int fd = mkstemp(path);
  bool good = fd >= 0 && ftruncate(fd, PAGES * PAGE) == 0;
  char *pages = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  good = good && pages != MAP_FAILED;
  vectors_fill(&in, 9ull << 32);
  if (good) {
    vectors_touch(&in, &out, pages);
  }
  ok(good && vectors_same(&in, &out), "and so do those that a server answers");
  munmap(pages, PAGES * PAGE);
  close(fd);
  unlink(path);
}

/* ---- secrets -------------------------------------------------------------------------------- */

#define SECRET 0x5ec2e75ec2e70000ull
#define SECRET_MASK 0xffffffffffff0000ull

static bool is_secret(const struct vectors *v) {
  bool found = false;
  for (int i = 0; i < REGS * 4; i++) {
    found = found || (v->of[i / 4][i % 4] & SECRET_MASK) == SECRET;
  }
  return found;
}

/* MMX registers are the mantissas of x87's, and stay when those are empty. */
#define MMX_EACH(insn) insn(0) insn(1) insn(2) insn(3) insn(4) insn(5) insn(6) insn(7)
#define MMX_LOAD(n) "movq (%0), %%mm" #n "\n\t"
#define MMX_STORE(n) "movq %%mm" #n ", 8*" #n "(%0)\n\t"

static void mmx_fill(uint64_t value) {
  __asm__ volatile(MMX_EACH(MMX_LOAD) "emms" ::"r"(&value) : "memory");
}

static bool mmx_is_secret(void) {
  uint64_t seen[8];
  bool found = false;
  __asm__ volatile(MMX_EACH(MMX_STORE) "emms" ::"r"(seen) : "memory");
  for (int i = 0; i < 8; i++) {
    found = found || (seen[i] & SECRET_MASK) == SECRET;
  }
  return found;
}

/* Has the secret in its registers at each call until it is ended. */
_Noreturn static void secret_keep(void) {
  struct vectors secret, seen;
  vectors_fill(&secret, SECRET);
  for (;;) {
    mmx_fill(SECRET);
    vectors_after_yield(&secret, &seen);
  }
}

static void test_secrets(void) {
  struct vectors nothing = {0}, seen = {0};
  bool found = false, found_mmx = false;
  thread_pin(0);
  pid_t child = fork();
  if (child == 0) {
    secret_keep();
  }
  for (int i = 0; i < 10 * ROUNDS; i++) {
    vectors_after_yield(&nothing, &seen);
    found = found || is_secret(&seen);
    found_mmx = found_mmx || mmx_is_secret();
  }
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  ok(!found, "no process sees what another had in its registers");
  ok(!found_mmx, "nor in those of MMX");
}

/* What a program leaves in its registers when it starts another. */
static void test_secrets_exec(const char *program) {
  pid_t child = fork();
  if (child == 0) {
    mmx_fill(SECRET);
    execl(program, program, "look", NULL);
    _exit(2);
  }
  int status = -1;
  waitpid(child, &status, 0);
  is(status, 0, "nor does the program that it starts");
}

/* ---- what starts ---------------------------------------------------------------------------- */

static void *words_tell(void *arg) {
  *(struct controls *)arg = controls_get();
  return NULL;
}

static int start_tell(void) {
  struct controls words = controls_get();
  return words.mxcsr != MXCSR_MASKED || words.fcw != FCW_INIT || !x87_is_clean();
}

static void test_starts(const char *program) {
  struct controls mine = {MXCSR_MASKED | MXCSR_DOWN, FCW_UP_SINGLE}, seen = {0};
  struct controls before = controls_get();
  controls_set(mine);
  pthread_join(thread_start(0, words_tell, &seen), NULL);
  ok(seen.mxcsr == mine.mxcsr && seen.fcw == mine.fcw, "a thread inherits the control words");
  pid_t child = fork();
  if (child == 0) {
    _exit(!controls_are(mine));
  }
  int status = -1;
  waitpid(child, &status, 0);
  is(status, 0, "so does the child of a fork");
  child = fork();
  if (child == 0) {
    execl(program, program, "start", NULL);
    _exit(2);
  }
  waitpid(child, &status, 0);
  is(status, 0, "a program starts with those of the ABI");
  controls_set(before);
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "look") == 0) {
    return mmx_is_secret();
  }
  if (argc > 1) {
    return start_tell();
  }
  has_avx = __builtin_cpu_supports("avx");
  test_words();
  test_flags();
  test_litter();
  test_hogs();
  test_faults();
  test_faults_that_wait();
  test_secrets();
  test_secrets_exec((const char *)getauxval(AT_EXECFN));
  test_starts((const char *)getauxval(AT_EXECFN));
  return tap_done();
}
