/* Between signal.c, which delivers, and sigcalls.c, which has libc's calls. */
#ifndef CATHODE_POSIX_SIGNAL_H
#define CATHODE_POSIX_SIGNAL_H

#include <stdint.h>

/* What libc hands to rt_sigaction. */
struct k_sigaction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)(void);
  uint64_t mask;
};

static inline uint64_t signal_bit(unsigned sig) {
  return 1ull << (sig - 1);
}

/* Read the action, and with `act` change it. Fails as the kernel does. */
[[nodiscard]] int64_t signal_set_action(unsigned sig, const struct k_sigaction *act,
                                        struct k_sigaction *old);

/* Around a fork, by the thread that forks, and in the child: so that the child's actions are whole
 * and its lock is free. */
void signal_fork_begin(void);
void signal_fork_end(void);

/* In the parent of a vfork, whose child has left: its actions again. */
void signal_vfork_end(void);

/* While sigtimedwait() runs, threads are diverted for these, too, whatever their action. */
[[nodiscard]] int64_t signal_wait_begin(uint64_t set);
void signal_wait_end(uint64_t set);

#endif
