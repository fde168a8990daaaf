/* Telling CPUs that translations have gone, as a model for spin: change_tell() of shootdown.c
 * against arch_space_rest(), _resume(), _enter() of mmu.c and the slots of asid.h.
 *
 * CPU 0 runs a thread of a space, rests, and comes back, or loads another space and comes back to
 * what its TLB kept under the first one's tag. Two changers, in turn, take something away from the
 * tables, twice each; some changes free a table as well. Memory is x86's (TSO, SDM vol. 3A 8.2):
 * what CPU 0 writes plainly waits in a buffer of one store.
 *
 * The TLB is one number: how many changes the tables had seen when the oldest translation that is
 * still cached was read; NONE when nothing is.
 *
 * Claims: what CPU 0 uses is as new as the last change that has returned; and what its hardware may
 * walk on speculation, also at rest, is as new as the last freed table.
 *
 * Each of these, defined, breaks a claim, which `make models` demands:
 * BREAK PLAIN_RETURN    rests := false is a plain store, not an exchange
 * BREAK LOOK_THEN_SAY   who comes back reads the generation before rests := false
 * BREAK LOOK_THEN_COUNT a changer looks for CPUs before it counts the generation
 * BREAK REST_FREED      CPUs at rest are not told of tables that go
 * BREAK NO_LOOK         who comes back does not look at the generation
 * BREAK LATE_BIT        the space's bit is set after the generation was read
 */
#define N_CHANGES 2
#define NONE 100

byte tables;            /* changes made */
byte generation;        /* counted */
byte returned, freed;   /* changes that CPU 0 may not contradict: when using, when walking */
bool in_mask = true;    /* the space's mask has CPU 0 */
bool rests;             /* as others see it */
chan buffer = [1] of { bool };

bool loaded = true, resting; /* as CPU 0 sees itself */
byte cached = NONE, slot;

bool asked, asked_tables;
byte asked_generation;
bool lock;

proctype Drain() {
end:
  do
  :: atomic { buffer ? rests }
  od
}

proctype Changer() {
  byte n, g;
  bool tell, with_tables;
  do
  :: n == N_CHANGES -> break
  :: else ->
     n++;
     atomic { !lock -> lock = true };
     if
     :: with_tables = true
     :: with_tables = false
     fi;
     tables++;
#ifdef LOOK_THEN_COUNT
     tell = in_mask;
     if
     :: with_tables
     :: else -> tell = (tell && !rests)
     fi;
     atomic { generation++; g = generation };
#else
     atomic { generation++; g = generation };
     tell = in_mask;
     if
#ifndef REST_FREED
     :: with_tables
#endif
     :: else -> tell = (tell && !rests)
     fi;
#endif
     if
     :: tell ->
        atomic { asked_generation = g; asked_tables = with_tables; asked = true };
        !asked
     :: else
     fi;
     atomic {
       returned = tables;
       freed = (with_tables -> tables : freed);
       lock = false
     }
  od
}

/* An interrupt, taken between two steps of CPU 0; the kernel runs with interrupts off. */
inline serve() {
  atomic { asked ->
    if
    :: !loaded
    :: loaded && resting && asked_tables -> loaded = false; in_mask = false
    :: loaded && resting && !asked_tables
    :: loaded && !resting && slot >= asked_generation
    :: loaded && !resting && slot < asked_generation -> cached = NONE; slot = asked_generation
    fi;
    asked = false
  }
}

inline catch_up() {
  byte seen = generation;
#ifdef LATE_BIT
  atomic { empty(buffer) -> in_mask = true };
#endif
#ifndef NO_LOOK
  if
  :: seen != slot -> slot = seen; cached = NONE
  :: else
  fi
#endif
}

inline resume() {
#ifdef LOOK_THEN_SAY
  byte early = generation;
  atomic { empty(buffer) -> rests = false };
  if
  :: early != slot -> slot = early; cached = NONE
  :: else
  fi
#else
#ifdef PLAIN_RETURN
  buffer ! false;
#else
  atomic { empty(buffer) -> rests = false }; /* exchange */
#endif
  catch_up()
#endif
}

inline enter() {
  buffer ! false;
#ifndef LATE_BIT
  atomic { empty(buffer) -> in_mask = true };
#endif
  catch_up();
  loaded = true
}

active proctype Cpu() {
end:
  do
  :: serve()
  :: atomic { loaded && cached == NONE -> cached = tables } /* also on speculation */
  :: atomic { loaded && !resting && cached != NONE -> assert(cached >= returned) }
  :: loaded && !resting -> buffer ! true; resting = true
  :: atomic { loaded && cached != NONE -> assert(cached >= freed) } /* speculation */
  :: loaded && resting -> resume(); resting = false
  :: loaded -> in_mask = false; loaded = false /* another space; the tag keeps what it has */
  :: !loaded -> enter(); resting = false
  od
}

init {
  atomic {
    run Drain();
    run Changer();
    run Changer()
  }
}
