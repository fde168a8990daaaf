"""A trace in words: CPUs, threads, and the wake-up that waited longest, with what happened
meanwhile on the two CPUs that it concerns."""

import timeline

THREADS_SHOWN = 40
TIMELINE_SHOWN = 40
STILL = "still waiting"
COUNTED = (("SWITCH", "switches"), ("WAKE", "wakes"), ("MIGRATE", "migrations"),
           ("PREEMPT", "preempts"), ("IPI", "ipis"), ("TIMER", "timer"), ("FAULT", "faults"),
           ("SYSCALL", "syscalls"))


def table(head, rows):
    """Aligned columns; the first is text, the others numbers."""
    rows = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        yield "  " + "  ".join(cells).rstrip()


def ms(ns):
    return f"{ns / 1e6:.3f}"


def us(ns):
    return f"{ns / 1e3:.1f}"


def header(lines):
    trace = lines.trace
    n_lost = sum(trace.lost.values())
    yield (f"{len(trace.events)} events in {ms(trace.duration_ns())} ms on {trace.n_cpus} CPUs, "
           f"{n_lost} lost")
    for cpu, lost in trace.lost.items():
        if lost:
            yield f"  CPU {cpu} lost {lost}: times below are too small; a larger trace.kib helps"
    if lines.n_out_of_step:
        yield f"  {lines.n_out_of_step} records name another thread than was switched to"


def cpus(lines):
    head = ["CPU", "busy %"] + [title for _, title in COUNTED]
    whole = lines.trace.duration_ns() or 1
    rows = [[cpu, f"{100 * lines.busy_ns(cpu) / whole:.1f}"] +
            [lines.counts[cpu].get(kind, 0) for kind, _ in COUNTED] for cpu in lines.slices]
    yield from table(head, rows)


def worst_by_life(lines):
    """Thread -> the wake-up that it waited longest after."""
    worst = {}
    lives = {}
    for thread in lines.threads:
        lives.setdefault(thread.tid, []).append(thread)
    for wake in lines.waits():
        for thread in lives[wake.thread]:
            if thread.born <= wake.until_ns() <= thread.died:
                worst[thread] = max(worst.get(thread, wake), wake, key=timeline.Wake.latency_ns)
    return worst


def wake_cells(wake):
    """How long, and whether it was still so at the end."""
    if wake is None:
        return ["-", ""]
    return [us(wake.latency_ns()), STILL if wake.ran_ns is None else ""]


def threads(lines):
    head = ["thread", "id", "pid", "run ms", "wait ms", "blocked ms", "switches", "migrations",
            "faults", "worst wake us", ""]
    worst = worst_by_life(lines)
    order = sorted(lines.threads, key=lambda t: -t.total(timeline.RUNNING))
    rows = [[lines.trace.name(t.tid), t.tid, lines.trace.pid_of.get(t.tid, "?"),
             ms(t.total(timeline.RUNNING)), ms(t.total(timeline.RUNNABLE)),
             ms(t.total(timeline.BLOCKED)), t.n_switches, t.n_migrations, t.n_faults,
             *wake_cells(worst.get(t))] for t in order[:THREADS_SHOWN]]
    yield from table(head, rows)
    if len(order) > THREADS_SHOWN:
        yield f"  ... and {len(order) - THREADS_SHOWN} threads that ran less"


def describe(trace, event):
    """One event in words."""
    who = lambda tid: f"{trace.name(tid)} {tid}" if tid else "idle"
    if event.kind == "SWITCH":
        why = ("preempted", "yields", "blocks", "exits")
        return f"{who(event.thread)} {why[event.b] if event.b < 4 else '?'}, {who(event.a)} runs"
    if event.kind == "WAKE":
        return f"{who(event.thread)} wakes {who(event.a)} for CPU {event.b}"
    if event.kind in ("SYSCALL", "SYSCALL_EXIT"):
        name = trace.meta.syscalls.get(event.a, event.a)
        return f"{who(event.thread)} {name} {'begins' if event.kind == 'SYSCALL' else 'ends'}"
    a, b = trace.meta.arguments.get(event.kind, ("a", "b"))
    parts = [f"{name}={value:#x}" for name, value in ((a, event.a), (b, event.b)) if name != "zero"]
    return " ".join([who(event.thread), event.kind, *parts])


def worst_wake(lines):
    wake = lines.worst()
    if wake is None:
        yield "no thread was woken and ran"
        return
    trace = lines.trace
    name = f"{trace.name(wake.thread)} {wake.thread}"
    last_cpu = wake.wait_cpu if wake.ran_ns is None else wake.ran_cpu
    end = f"{STILL} for CPU" if wake.ran_ns is None else "running on CPU"
    yield (f"worst wake-up: {name} waited {us(wake.latency_ns())} us, woken on CPU {wake.cpu} at "
           f"{ms(wake.ns)} ms, {end} {last_cpu} at {ms(wake.until_ns())} ms"
           f"{', where the trace ends' if wake.ran_ns is None else ''}")
    cpus_shown = {wake.cpu, last_cpu}
    rows = [e for e in trace.events if wake.ns <= e.ns <= wake.until_ns() and e.cpu in cpus_shown]
    half = TIMELINE_SHOWN // 2
    hidden = max(0, len(rows) - 2 * half)
    for i, event in enumerate(rows):
        if not hidden or i < half or i >= len(rows) - half:
            yield f"  +{us(event.ns - wake.ns):>9} us  CPU {event.cpu}  {describe(trace, event)}"
        elif i == half:
            yield f"  ... {hidden} events ..."


def text(lines):
    out = []
    for part in (header, cpus, threads, worst_wake):
        out += [*part(lines), ""]
    return "\n".join(out)
