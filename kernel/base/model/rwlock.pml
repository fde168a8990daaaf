/* Readers with a slot each against writers, as a model for spin: lock.h's rw_lock_shared() and
 * rw_lock_exclusive().
 *
 * Two CPUs read, each a few times; two write, each once or twice. A waiting writer's bit is left
 * out: it is fairness only. Memory is x86's (TSO, SDM vol. 3A 8.2): a slot is written by its CPU
 * alone, through a buffer of one store, which others see when it is drained; locked instructions
 * wait until it is empty. All other words are written by locked instructions, or by the writer that
 * holds the lock.
 *
 * Claim: who writes is alone, and nobody waits for ever.
 *
 * Each of these, defined, breaks the claim, which `make models` demands:
 * BREAK PLAIN_SLOT      the slot is a plain store, not an exchange
 * BREAK LOOK_THEN_SAY   the reader looks for a writer before its slot says so
 * BREAK ENTER_FIRST     the reader enters itself in `cpus` before its slot says so
 * BREAK WAIT_THEN_CLEAR the writer empties `cpus` after it has waited for the slots
 * BREAK NO_WAIT         the writer does not look at the slots
 */
#define N_READERS 2
#define N_WRITERS 2
#define N_READS 2
#define N_WRITES 2

byte counted;                  /* readers in the lock's word */
bool writer;                   /* its writer's bit */
bool entered[N_READERS];       /* the lock's `cpus` */
bool slot[N_READERS];          /* as others see it */
byte reading, writing;         /* for the claim */

chan buffers[N_READERS] = [1] of { bool };

proctype Drain(byte r) {
end:
  do
  :: atomic { buffers[r] ? slot[r] }
  od
}

inline slot_say(r) {
#ifdef PLAIN_SLOT
  buffers[r] ! true
#else
  atomic { empty(buffers[r]) -> slot[r] = true }
#endif
}

inline enter(r) {
  if
  :: !entered[r] -> atomic { empty(buffers[r]) -> entered[r] = true }
  :: else
  fi
}

inline read_something() {
  reading++;
  assert(writing == 0);
  reading--
}

proctype Reader(byte r) {
  byte n = 0;
  bool seen;
  do
  :: n == N_READS -> break
  :: else ->
     n++;
#ifdef LOOK_THEN_SAY
     seen = writer;
     slot_say(r);
     enter(r);
#else
#ifdef ENTER_FIRST
     enter(r);
     slot_say(r);
#else
     slot_say(r);
     enter(r);
#endif
     seen = writer;
#endif
     if
     :: !seen ->
        read_something();
        buffers[r] ! false
     :: else ->
        buffers[r] ! false;
        atomic { empty(buffers[r]) && !writer -> counted++ }
        read_something();
        atomic { empty(buffers[r]) -> counted-- }
     fi
  od
}

proctype Writer() {
  byte n = 0, r;
  bool saw[N_READERS];
  do
  :: n == N_WRITES -> break
  :: else ->
     n++;
     atomic { counted == 0 && !writer -> writer = true }
#ifndef NO_WAIT
     atomic {
       for (r : 0 .. N_READERS - 1) {
         saw[r] = entered[r];
#ifndef WAIT_THEN_CLEAR
         entered[r] = false
#endif
       }
     }
     for (r : 0 .. N_READERS - 1) {
       !saw[r] || !slot[r]
     }
#ifdef WAIT_THEN_CLEAR
     atomic {
       for (r : 0 .. N_READERS - 1) {
         entered[r] = false
       }
     }
#endif
#endif
     writing++;
     assert(writing == 1 && reading == 0);
     writing--;
     writer = false
  od
}

init {
  byte i;
  atomic {
    for (i : 0 .. N_READERS - 1) {
      run Drain(i);
      run Reader(i)
    }
    for (i : 0 .. N_WRITERS - 1) {
      run Writer()
    }
  }
}
