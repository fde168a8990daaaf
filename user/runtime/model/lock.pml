/* The runtime's lock, as a model for spin: lock.h's rt_lock_take() and rt_lock_drop() over futexes.
 *
 * Three threads take the lock, each twice. One may be interrupted, once, in its sleep. All stores are locked, or
 * made by who has the lock; futexes go through a lock of the kernel's.
 *
 * Claim: one has it at a time, and nobody sleeps for ever.
 *
 * Each of these, defined, breaks the claim, which `make models` demands:
 * BREAK NO_SECOND_WAKE  a lock that nobody slept for becomes free, and nobody is told
 * BREAK FREE_ANYWAY     it becomes free, although one who was woken before may have taken it
 * BREAK TAKE_AS_HELD    who slept does not say that others may sleep
 */
#define N_THREADS 3
#define N_ROUNDS 2

#define FREE 0
#define HELD 1
#define WAITED 2
#define PASSED 3

byte word = FREE;
chan sleepers = [N_THREADS] of { byte }; /* the futex's queue, first in, first out */
bool told[N_THREADS];                    /* taken off the queue by a waker */
byte inside;                             /* for the claim */

#ifdef TAKE_AS_HELD
#define TAKEN HELD
#else
#define TAKEN WAITED
#endif

/* told: by a waker. Interrupted: off the queue by itself, unless a waker was faster. */
inline futex_wait(expected) {
  woken = false;
  if
  :: atomic { word == expected -> sleepers ! self };
     if
     :: atomic { told[self] -> told[self] = false; woken = true }
     :: atomic { self == 0 && !interrupted && sleepers ?? [eval(self)] ->
          sleepers ?? eval(self); interrupted = true }
     fi
  :: word != expected
  fi
}

inline futex_wake() {
  atomic {
    n_woken = 0;
    if
    :: nempty(sleepers) -> sleepers ? who; told[who] = true; n_woken = 1
    :: empty(sleepers)
    fi
  }
}

proctype Thread(byte self) {
  byte round = 0, seen, who, n_woken;
  bool woken, has, interrupted;
  do
  :: round == N_ROUNDS -> break
  :: else ->
     round++;
     woken = false;
     atomic { has = (word == FREE); if :: has -> word = HELD :: else fi };
     do
     :: has -> break
     :: else ->
        seen = word;
        if
        :: seen == FREE || (seen == PASSED && woken) ->
           atomic { if :: word == seen -> word = TAKEN; has = true :: else fi }
        :: seen == HELD ->
           atomic { if :: word == HELD -> word = WAITED :: else -> seen = FREE fi };
           if
           :: seen == HELD -> futex_wait(WAITED)
           :: else
           fi
        :: seen == WAITED || (seen == PASSED && !woken) -> futex_wait(seen)
        fi
     od;
     inside++;
     assert(inside == 1);
     inside--;
     atomic { has = false; woken = false; seen = 0; who = 0; n_woken = 0 };
     atomic { if :: word == HELD -> word = FREE; seen = HELD :: else -> seen = WAITED fi };
     if
     :: seen == WAITED ->
        word = PASSED;
        futex_wake();
        if
        :: n_woken == 0 ->
#ifdef FREE_ANYWAY
           word = FREE; seen = FREE;
#else
           atomic { if :: word == PASSED -> word = FREE; seen = FREE :: else fi };
#endif
#ifndef NO_SECOND_WAKE
           if
           :: seen == FREE -> futex_wake()
           :: else
           fi
#endif
        :: else
        fi
     :: else
     fi
  od
}

init {
  byte i;
  atomic {
    for (i : 0 .. N_THREADS - 1) {
      run Thread(i)
    }
  }
}
