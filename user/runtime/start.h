/* What exec hands to the new program beyond the kernel's start block: libc's and the runtime's own
 * state that must outlive the address space. Found through auxv AT_CATHODE_START; `block.size` says
 * how much of it is there (the kernel's own block ends before `ids`). */
#ifndef CATHODE_RUNTIME_START_H
#define CATHODE_RUNTIME_START_H

#include "abi/abi.h"

struct rt_ids {
  uint32_t uid, euid, gid, egid;
};

struct rt_start {
  struct start_block block;
  struct rt_ids ids;
  uint64_t ignored;   /* signal n is bit n - 1 */
  int32_t real_timer; /* descriptor of the real interval timer, FD_NONE: none */
  uint32_t zero;
  struct sig_control signals; /* mask and pending signals cross exec in it; inhibited */
};

#endif
