"""A trace as a file for ui.perfetto.dev, in the Chrome trace event format (JSON).

Tracks: one a CPU, whose slices are the threads that ran on it; one a thread, grouped by process,
whose slices are its states; counters of runnable threads, interrupts and faults. Arrows go from the
CPU slice of the waker to the CPU slice in which the woken thread first ran. System calls and faults
are marks on the thread's track. Times are microseconds with three decimals.
"""

import gzip
import json

import timeline

CPUS_PID = 1000000  # no process: ids of contexts end below 65536
COUNTED = (("IPI", "interrupts sent to CPUs"), ("FAULT", "page faults"))


def micros(ns):
    return ns / 1000


def track_name(kind, pid, tid, name, order):
    yield {"ph": "M", "name": f"{kind}_name", "pid": pid, "tid": tid, "args": {"name": name}}
    yield {"ph": "M", "name": f"{kind}_sort_index", "pid": pid, "tid": tid,
           "args": {"sort_index": order}}


def cpu_track(cpu):
    return {"pid": CPUS_PID, "tid": CPUS_PID + cpu}


def thread_label(trace, tid):
    return f"{trace.name(tid)} {tid}" if tid else "idle"


def tracks(lines):
    trace = lines.trace
    yield from track_name("process", CPUS_PID, CPUS_PID, "CPUs", -1)
    for cpu in lines.slices:
        yield from track_name("thread", CPUS_PID, CPUS_PID + cpu, f"CPU {cpu}", cpu)
    threads = sorted({thread.tid for thread in lines.threads})
    pids = {tid: trace.pid_of.get(tid, tid) for tid in threads}
    for pid in sorted(set(pids.values())):
        yield from track_name("process", pid, pid, trace.name_of.get(pid, "?"), pid)
    for tid in threads:
        yield from track_name("thread", pids[tid], tid, thread_label(trace, tid), tid)


def cpu_slices(lines):
    for cpu, slices in lines.slices.items():
        for s in slices:
            yield {"ph": "X", "cat": "sched", "name": thread_label(lines.trace, s.thread),
                   "ts": micros(s.start), "dur": micros(s.end - s.start), **cpu_track(cpu),
                   "args": {"thread": s.thread}}


def thread_states(lines):
    for thread in lines.threads:
        pid = lines.trace.pid_of.get(thread.tid, thread.tid)
        for state, start, end, cpu in thread.states:
            where = f" on CPU {cpu}" if state == timeline.RUNNING else ""
            yield {"ph": "X", "cat": "state", "name": state + where, "pid": pid,
                   "tid": thread.tid, "ts": micros(start), "dur": micros(end - start)}


def wake_arrows(lines):
    """Both ends of each, or none: a wake-up that was not answered in the trace has no arrow."""
    for number, wake in enumerate(lines.answered(), 1):
        both = {"cat": "wake", "name": "wake-up", "id": number}
        yield {"ph": "s", "ts": micros(wake.sent_ns), **cpu_track(wake.cpu), **both,
               "args": {"thread": wake.thread, "waker": wake.waker}}
        yield {"ph": "f", "bp": "e", "ts": micros(wake.ran_ns), **cpu_track(wake.ran_cpu), **both,
               "args": {"latency_us": micros(wake.latency_ns())}}


def marks(lines):
    trace = lines.trace
    for event in trace.events:
        if not event.thread or event.kind not in ("SYSCALL", "SYSCALL_EXIT", "FAULT"):
            continue
        names = trace.meta.arguments.get(event.kind, ("a", "b"))
        name = event.kind.lower()
        if event.kind != "FAULT":
            suffix = " ends" if event.kind == "SYSCALL_EXIT" else ""
            name = trace.meta.syscalls.get(event.a, f"call {event.a}") + suffix
        yield {"ph": "i", "s": "t", "cat": event.kind.lower(), "name": name,
               "ts": micros(event.ns), "pid": trace.pid_of.get(event.thread, event.thread),
               "tid": event.thread, "args": dict(zip(names, (hex(event.a), hex(event.b))))}


def counter(name, ns, cpu, value):
    return {"ph": "C", "name": f"{name}, CPU {cpu}", "pid": CPUS_PID, "ts": micros(ns),
            "args": {"value": value}}


def counters(lines):
    waiting = dict.fromkeys(lines.slices, 0)
    for ns, cpu, change in sorted(lines.runnable_changes, key=lambda row: row[0]):
        if cpu in waiting:
            waiting[cpu] += change
            yield counter("threads waiting", ns, cpu, waiting[cpu])
    seen = {}
    titles = dict(COUNTED)
    for event in lines.trace.events:
        if event.kind in titles:
            cpu = event.a if event.kind == "IPI" else event.cpu
            seen[event.kind, cpu] = seen.get((event.kind, cpu), 0) + 1
            yield counter(titles[event.kind], event.ns, cpu, seen[event.kind, cpu])


def events(lines):
    for part in (tracks, cpu_slices, thread_states, wake_arrows, marks, counters):
        yield from part(lines)


def write(lines, path):
    """The file; compressed when its name ends in .gz, which Perfetto reads as well."""
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "wt", encoding="utf-8") as file:
        file.write('{"displayTimeUnit":"ns","traceEvents":[\n')
        first = True
        for event in events(lines):
            file.write(("" if first else ",\n") + json.dumps(event, separators=(",", ":")))
            first = False
        file.write("\n]}\n")
