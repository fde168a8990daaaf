/* Sleeping and waking, as a model for spin: the park word [S1], [S2], and on_cpu [S3] of sched.h.
 *
 * One thread waits for a condition in a loop of sched_park(). Two wakers on CPUs of their own call
 * sched_unpark() once each: one after it has made the condition true, one for no reason, whose
 * token may be left over. Afterwards their CPUs may run the thread, too.
 *
 * Memory is x86's (TSO, SDM vol. 3A 8.2): a plain store goes through its CPU's buffer, in order,
 * and is seen by others when Drain() takes it out; a locked instruction waits until the buffer is
 * empty. No CPU loads what it has buffered itself, which is asserted.
 *
 * Claims: no stack is used by two CPUs; the thread is queued once, and only while it does not run;
 * when nothing can go on any more, the thread has seen its condition: no wake-up was lost.
 *
 * Left out: the runqueue locks, which no two CPUs of the model contend for (no stealing), and
 * deadlines, which are wakers like the one without a reason.
 *
 * Each of these, defined, breaks a claim, which `make models` demands:
 * BREAK PLAIN_TOKEN     a token is spent by a plain store
 * BREAK LOOK_FIRST      a waker that sees a token leaves without a locked instruction
 * BREAK IGNORE_ON_CPU   a waker queues a thread that has not been switched from yet
 * BREAK EARLY_ON_CPU    on_cpu is cleared before the switch
 * BREAK BLIND_UNPARK    a waker stores RUNNING and queues the thread, parked or not
 */
#define N_CPUS 3
#define RUNNING 0
#define TOKEN 1
#define PARKED 2

#define PARK 0
#define ON_CPU 1
#define CONDITION 2

byte memory[3];
chan buffer[N_CPUS] = [2] of { byte, byte }; /* variable, value */

byte cpu;               /* thread.cpu; who writes it owns the thread at that moment */
bool in_list[N_CPUS];   /* the thread is on this CPU's wake list */
bool queued[N_CPUS];    /* ... on its runqueue */
byte n_stack_users = 1; /* CPUs that use its stack */
bool finished;
chan go = [0] of { byte }; /* a CPU switches to the thread */
bool busy[N_CPUS];         /* with the thread or a waker */

proctype Drain(byte c) {
  byte at, value;
end:
  do
  :: atomic { buffer[c] ? at, value -> memory[at] = value }
  od
}

#define FENCED(c) (empty(buffer[c]))
#define LOAD(c, at, to) atomic { assert(!(buffer[c] ?? [at, _])); to = memory[at] }
#define STORE(c, at, value) buffer[c] ! at, value

/* ---- waking: wake.c ---- */

inline may_queue() {
  assert(!(queued[0] || queued[1] || queued[2] || in_list[0] || in_list[1] || in_list[2]))
}

inline wake_place(self) {
  LOAD(self, ON_CPU, seen);
#ifdef IGNORE_ON_CPU
  seen = 0;
#endif
  if
  :: seen && cpu != self -> atomic { may_queue(); in_list[cpu] = true }
  :: else ->
     select(target : 0 .. N_CPUS - 1);
     atomic {
       may_queue();
       cpu = target;
       if
       :: target == self -> queued[target] = true
       :: else -> in_list[target] = true
       fi
     }
  fi
}

inline unpark(self, won) {
  won = false;
  LOAD(self, PARK, seen);
#ifdef LOOK_FIRST
  if
  :: seen == TOKEN -> goto woken
  :: else
  fi;
#endif
#ifdef BLIND_UNPARK
  STORE(self, PARK, RUNNING);
  won = true;
#else
  atomic {
    FENCED(self);
    if
    :: memory[PARK] == PARKED -> memory[PARK] = RUNNING; won = true
    :: else -> memory[PARK] = TOKEN
    fi
  }
#endif
}

proctype Waker(byte self; bool has_reason) {
  byte seen, target;
  bool won;
  if
  :: has_reason -> STORE(self, CONDITION, 1)
  :: else
  fi;
  unpark(self, won);
  if
  :: won -> wake_place(self)
  :: else
  fi;
woken:
  busy[self] = false
}

/* ---- switching: core.c ---- */

/* What a CPU does that has nothing better. */
proctype Idle(byte self) {
end:
  do
  :: atomic { !busy[self] && in_list[self] -> in_list[self] = false; queued[self] = true }
  :: atomic {
       !busy[self] && queued[self] && FENCED(self) -> /* switch_to(): exchange */
       queued[self] = false;
       busy[self] = true;
       memory[ON_CPU] = 1;
       assert(cpu == self)
     }
     n_stack_users++;
     assert(n_stack_users == 1);
     go ! self
  od
}

/* schedule(WHY_PARK), up to the end of finish_switch() on the idle thread's stack. It finds itself
 * on the wake list if it was woken before it could leave. */
inline schedule(self) {
  if
  :: atomic { in_list[self] -> in_list[self] = false }
  :: atomic {
       !in_list[self] ->
#ifdef EARLY_ON_CPU
       STORE(self, ON_CPU, 0)
#endif
     }
     n_stack_users--;
#ifndef EARLY_ON_CPU
     STORE(self, ON_CPU, 0);
#endif
     atomic { busy[self] = false; self = N_CPUS }
     go ? self
  fi
}

proctype Thread() {
  byte self = 0, seen;
  bool parked;
  do
  :: LOAD(self, CONDITION, seen);
     if
     :: seen -> break
     :: else
     fi;
     atomic {
       FENCED(self);
       parked = memory[PARK] == RUNNING;
       if
       :: parked -> memory[PARK] = PARKED
       :: else
       fi
     }
     if
     :: parked -> schedule(self)
     :: else ->
#ifdef PLAIN_TOKEN
        STORE(self, PARK, RUNNING)
#else
        atomic { FENCED(self); memory[PARK] = RUNNING }
#endif
     fi
  od;
  finished = true
}

init {
  atomic {
    memory[PARK] = RUNNING;
    memory[ON_CPU] = 1;
    busy[0] = true;
    busy[1] = true;
    busy[2] = true;
    run Drain(0);
    run Drain(1);
    run Drain(2);
    run Idle(0);
    run Idle(1);
    run Idle(2);
    run Thread();
    run Waker(1, false);
    run Waker(2, true)
  }
  timeout -> assert(finished)
}
