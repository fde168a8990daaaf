/* Waking an idle CPU, as a model for spin: wake_send() of wake.c against the loop of idle.c.
 *
 * CPU 0 polls for a while, or does not, and halts; two wakers push two threads each to its wake
 * list, which is lock-free, and interrupt it as wake_send() decides. Memory is x86's (TSO, SDM vol.
 * 3A 8.2): idle_state is written by CPU 0 alone, through a buffer of one store, which others see
 * when it is drained; a locked instruction waits until it is empty. What wakers write they write
 * by locked instructions.
 *
 * An interrupt is remembered until CPU 0 lets it in: in HLT, whose STI does not let it in before
 * the halt, and in the window of the polling loop.
 *
 * Claim: when nothing can go on any more, every thread that was pushed has run: CPU 0 does not
 * sleep on a list that is not empty.
 *
 * Each of these, defined, breaks the claim, which `make models` demands:
 * BREAK PLAIN_HALT      idle_state := HALTED is a plain store, not an exchange
 * BREAK LOOK_THEN_SAY   the last look at the list comes before idle_state := HALTED
 * BREAK SILENT_HALT     idle_state stays POLLING when the CPU halts
 */
#define N_WAKERS 2
#define N_PUSHES 2

#define BUSY 0
#define POLLING 1
#define HALTED 2

byte idle_state = BUSY;            /* as others see it */
chan buffer = [1] of { byte };     /* CPU 0's store to it */
byte n_list, n_waiting, n_run;     /* threads on the list, on the runqueue, done */
bool interrupt;                    /* pending at CPU 0 */

proctype Drain() {
end:
  do
  :: atomic { buffer ? idle_state }
  od
}

proctype Waker() {
  bool first;
  byte n = 0, seen;
  do
  :: n == N_PUSHES -> break
  :: else ->
     n++;
     atomic { first = (n_list == 0); n_list++ } /* compare-exchange */
     seen = idle_state;
     if
     :: first && seen != POLLING -> interrupt = true
     :: else
     fi
  od
}

inline list_drain() {
  atomic { n_waiting = n_waiting + n_list; n_list = 0 }
}

inline interrupt_take() {
  atomic { interrupt -> interrupt = false }
  list_drain()
}

#define HAS_WORK (n_waiting > 0 || n_list > 0)

inline idle_poll() {
  buffer ! POLLING;
  do
  :: HAS_WORK -> break
  :: interrupt_take()
  :: break /* long enough */
  od
}

active proctype Cpu() {
  do
  :: if
     :: idle_poll()
     :: skip /* idle_poll_us is 0 */
     fi;
#ifdef LOOK_THEN_SAY
     if
     :: HAS_WORK -> atomic { empty(buffer) -> idle_state = HALTED }
     :: else ->
        atomic { empty(buffer) -> idle_state = HALTED }
end_halted:
        interrupt_take()
     fi;
#else
#ifdef PLAIN_HALT
     buffer ! HALTED;
#else
#ifndef SILENT_HALT
     atomic { empty(buffer) -> idle_state = HALTED } /* exchange */
#endif
#endif
     if
     :: HAS_WORK
     :: else ->
end_halt:
        interrupt_take()
     fi;
#endif
     buffer ! BUSY;
     list_drain();
     atomic { n_run = n_run + n_waiting; n_waiting = 0 }
  od
}

init {
  atomic {
    run Drain();
    run Waker();
    run Waker()
  }
  timeout -> assert(n_run == N_WAKERS * N_PUSHES)
}
