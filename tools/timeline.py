"""What the events of a trace mean: who ran where and when, and who waited.

`Timeline(trace)` replays the events once. A CPU is always in one slice (a thread, or idle); a
thread is always in one state, from when it is first seen until it exits or the trace ends:

  blocked --WAKE--> runnable --SWITCH to it--> running --SWITCH away--> blocked, runnable or gone

So, for each thread: running + runnable + blocked = lifetime, and no two slices of a CPU overlap.
Where a CPU has lost records, its slice is cut at the last event before, and whoever ran is taken to
be runnable until it is seen again.
"""

RUNNING, RUNNABLE, BLOCKED = "running", "runnable", "blocked"
WHY_BLOCK, WHY_EXIT = 2, 3


class Slice:
    """One thread on one CPU for a while; `wake` is what it was woken by, if it had been blocked."""

    __slots__ = ("cpu", "thread", "start", "end", "wake")

    def __init__(self, cpu, thread, start, wake=None):
        self.cpu, self.thread, self.start, self.end, self.wake = cpu, thread, start, None, wake


class Wake:
    """A blocked thread was made runnable at `ns`, and got a CPU at `ran_ns` (None: never).

    `sent_ns` is earlier when the waker came while the thread was still about to block. `end_ns` is
    the trace's end for one that waited until then, on `wait_cpu`."""

    __slots__ = ("thread", "ns", "sent_ns", "cpu", "waker", "target", "ran_ns", "ran_cpu",
                 "end_ns", "wait_cpu")

    def __init__(self, event, ns=None):
        self.thread, self.target = event.a, event.b
        self.ns, self.sent_ns = event.ns if ns is None else ns, event.ns
        self.cpu, self.waker = event.cpu, event.thread
        self.ran_ns = self.ran_cpu = self.end_ns = self.wait_cpu = None

    def until_ns(self):
        return self.end_ns if self.ran_ns is None else self.ran_ns

    def latency_ns(self):
        """How long it waited, or has waited; not of one whose answer may be lost."""
        return self.until_ns() - self.ns


class Thread:
    """One life of a thread id. `states` are (state, start, end, cpu), each beginning where the one
    before it ends."""

    def __init__(self, tid, ns, state, cpu=None):
        self.tid, self.born, self.died = tid, ns, None
        self.state, self.since, self.cpu = state, ns, cpu
        self.states = []
        self.wake = None          # that it has not answered yet
        self.early_wake = None    # came before its own CPU noted that it blocks
        self.n_switches = self.n_migrations = self.n_faults = 0
        self.last_cpu = cpu

    def enter(self, state, ns, cpu=None):
        ns = max(ns, self.since)
        if ns > self.since:
            self.states.append((self.state, self.since, ns, self.cpu))
        self.state, self.since, self.cpu = state, ns, cpu

    def end(self, ns):
        self.enter(None, ns)
        self.died = self.since

    def total(self, state):
        return sum(end - start for s, start, end, _ in self.states if s == state)

    def lifetime(self):
        return self.died - self.born


class Timeline:
    """`slices` of each CPU, `threads` (every life), `wakes`, and `counts[cpu][kind]`."""

    def __init__(self, trace):
        self.trace = trace
        self.slices = {cpu: [] for cpu in range(trace.n_cpus)}
        self.running = {}          # CPU -> its Slice
        self.alive = {}            # thread id -> Thread
        self.threads, self.wakes = [], []
        self.counts = {cpu: {} for cpu in range(trace.n_cpus)}
        self.n_out_of_step = 0     # records whose thread is not who was switched to
        self.runnable_changes = []  # (ns, CPU, +1 or -1)
        self.last_ns = {}
        self.torn = set()          # CPUs whose last records are lost
        self.whole_ns = 0          # from here on no record is lost
        for event in trace.events:
            self.step(event)
        self.finish(trace.duration_ns())

    # ---- one event ----------------------------------------------------------------------------

    def step(self, event):
        counts = self.counts[event.cpu]
        counts[event.kind] = counts.get(event.kind, 0) + 1
        if event.kind == "LOST":
            self.cut(event.cpu)
            return
        self.cpu_check(event)
        self.last_ns[event.cpu] = event.ns
        if event.cpu in self.torn:
            self.torn.remove(event.cpu)
            self.whole_ns = max(self.whole_ns, event.ns)
        handler = getattr(self, "on_" + event.kind.lower(), None)
        if handler:
            handler(event)

    def cpu_check(self, event):
        """Who runs is what the record says; it may be the first that we hear of."""
        current = self.running.get(event.cpu)
        if current is None or current.thread != event.thread:
            self.n_out_of_step += current is not None
            self.leave(event.cpu, event.ns, RUNNABLE)
            self.take(event.cpu, event.thread, event.ns)

    def cut(self, cpu):
        """Records of this CPU are missing: its slice ends where it was last seen."""
        self.leave(cpu, self.last_ns.get(cpu, 0), RUNNABLE)
        self.torn.add(cpu)

    def on_switch(self, event):
        state = {WHY_BLOCK: BLOCKED, WHY_EXIT: None}.get(event.b, RUNNABLE)
        self.leave(event.cpu, event.ns, state)
        self.take(event.cpu, event.a, event.ns)

    def on_wake(self, event):
        thread = self.thread_get(event.a, event.ns, BLOCKED)
        if thread.state == RUNNING:
            thread.early_wake = event
        elif thread.state == BLOCKED:
            self.wake_begin(thread, Wake(event))
        else:
            self.queue(thread, event.ns, event.b)

    def on_migrate(self, event):
        thread = self.thread_get(event.a, event.ns, RUNNABLE)
        if thread.state == RUNNABLE:
            self.queue(thread, event.ns, event.b >> 32)

    def on_thread(self, event):
        old = self.alive.pop(event.a, None)
        if old and old.state != RUNNING:
            self.unqueue(old, event.ns)
            old.end(event.ns)
        elif old:
            self.alive[event.a] = old
        self.thread_get(event.a, event.ns, BLOCKED)

    def on_fault(self, event):
        if event.thread:
            self.thread_get(event.thread, event.ns, RUNNING).n_faults += 1

    # ---- states ---------------------------------------------------------------------------------

    def thread_get(self, tid, ns, state):
        thread = self.alive.get(tid)
        if thread is None:
            thread = self.alive[tid] = Thread(tid, ns, state)
            self.threads.append(thread)
        return thread

    def wake_begin(self, thread, wake):
        thread.wake = wake
        self.wakes.append(wake)
        self.queue(thread, wake.ns, wake.target)

    def queue(self, thread, ns, cpu):
        """Runnable, and counted as waiting on this CPU."""
        self.unqueue(thread, ns)
        thread.enter(RUNNABLE, ns, cpu)
        self.runnable_changes.append((ns, cpu, 1))

    def unqueue(self, thread, ns):
        if thread.state == RUNNABLE and thread.cpu is not None:
            self.runnable_changes.append((ns, thread.cpu, -1))

    def take(self, cpu, tid, ns):
        """The CPU runs this thread from now on."""
        wake = None
        if tid:
            thread = self.thread_get(tid, ns, RUNNABLE)
            if thread.state == RUNNING:
                self.leave(thread.cpu, ns, RUNNABLE)
            self.unqueue(thread, ns)
            wake, thread.wake = thread.wake, None
            if wake:
                wake.ran_ns, wake.ran_cpu = max(ns, wake.ns), cpu
            thread.n_migrations += thread.last_cpu not in (None, cpu)
            thread.n_switches += 1
            thread.last_cpu = cpu
            thread.enter(RUNNING, ns, cpu)
        self.running[cpu] = Slice(cpu, tid, ns, wake)

    def leave(self, cpu, ns, state):
        """The CPU's thread stops running and is `state`, None for gone."""
        current = self.running.pop(cpu, None)
        if current is None:
            return
        current.end = max(ns, current.start)
        self.slices[cpu].append(current)
        thread = self.alive.get(current.thread)
        if thread is None:
            return
        early, thread.early_wake = thread.early_wake, None
        if state is None:
            thread.end(ns)
            del self.alive[current.thread]
        elif state == RUNNABLE:
            self.queue(thread, ns, cpu)
        else:
            thread.enter(BLOCKED, ns)
            if early:
                self.wake_begin(thread, Wake(early, max(ns, early.ns)))

    def finish(self, ns):
        for cpu in list(self.running):
            self.leave(cpu, max(ns, self.last_ns.get(cpu, 0)), RUNNABLE)
        switches = any("SWITCH" in counts for counts in self.counts.values())
        for thread in self.alive.values():
            if thread.wake and switches and not self.torn and thread.wake.ns >= self.whole_ns:
                thread.wake.end_ns, thread.wake.wait_cpu = max(ns, thread.wake.ns), thread.cpu
            thread.end(ns)

    # ---- answers --------------------------------------------------------------------------------

    def answered(self):
        return [wake for wake in self.wakes if wake.ran_ns is not None]

    def waits(self):
        """The wake-ups that were answered, and those that still waited when the trace ended."""
        return [wake for wake in self.wakes if wake.until_ns() is not None]

    def worst(self):
        """The wake-up that waited longest for its CPU, or None."""
        return max(self.waits(), key=Wake.latency_ns, default=None)

    def busy_ns(self, cpu):
        return sum(s.end - s.start for s in self.slices[cpu] if s.thread)
