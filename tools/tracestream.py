"""The stream that the guest's `trace` writes: sections of text, and records of each CPU.

`load()` answers a Trace: the records of all CPUs in order of time, in nanoseconds since the first,
with names for events, system calls and threads. Names and clock come from the guest's own meta
section; only the shape of the stream and of a packed record (user/bin/trace.c) is known here.
"""

import re

HEAD = b"cathode-trace 1\n"
SECTION = re.compile(rb"section ([a-z0-9]+) (\d+)\n")
SAME_THREAD, A_ZERO, B_ZERO, EVENT = 0x20, 0x40, 0x80, 0x1f
NEEDED = ("tsc_hz", "cpus")


class Broken(Exception):
    """This is no trace, or only a part of one."""


class Event:
    """One record. `kind` is the event's name; `thread` is who ran on `cpu`, 0 for idle."""

    __slots__ = ("ns", "cpu", "kind", "thread", "a", "b")

    def __init__(self, ns, cpu, kind, thread, a, b):
        self.ns, self.cpu, self.kind, self.thread, self.a, self.b = ns, cpu, kind, thread, a, b

    def __repr__(self):
        return f"{self.ns} cpu{self.cpu} {self.kind} thread={self.thread} a={self.a} b={self.b}"


class Meta:
    """The meta section: `values` by name, the events and their arguments, system calls."""

    def __init__(self, text):
        self.values, self.events, self.arguments, self.syscalls = {}, {}, {}, {}
        for line in text.splitlines():
            word, _, rest = line.partition(" ")
            if word == "event":
                number, name, a, b = rest.split()
                self.events[int(number)] = name
                self.arguments[name] = (a, b)
            elif word == "syscall":
                number, name = rest.split()
                self.syscalls[int(number)] = name
            else:
                self.values[word] = rest
        missing = [name for name in NEEDED if not self.values.get(name, "").isdigit()]
        if missing or self.hz() == 0:
            raise Broken(f"the meta section does not say {', '.join(missing) or 'tsc_hz'}")

    def hz(self):
        return int(self.values["tsc_hz"])


class Trace:
    """All events in order of time, and who the threads are."""

    def __init__(self, meta, n_cpus, events, lost, threads):
        self.meta, self.n_cpus, self.events, self.lost = meta, n_cpus, events, lost
        self.pid_of, self.name_of = {}, {}   # thread -> pid, pid -> name
        for tid, pid, name in threads:
            self.pid_of[tid] = pid
            self.name_of[pid] = name
        names_gather(self)

    def duration_ns(self):
        return self.events[-1].ns if self.events else 0

    def name(self, tid):
        if tid == 0:
            return "idle"
        return self.name_of.get(self.pid_of.get(tid), "?")


def names_gather(trace):
    """THREAD and NAME events; the last name of a process is the one that it is called by."""
    for event in trace.events:
        if event.kind == "THREAD":
            trace.pid_of[event.a] = event.b
        elif event.kind == "NAME":
            pid, part = event.a & 0xffffffff, event.a >> 32
            text = event.b.to_bytes(8, "little").split(b"\0")[0].decode("utf-8", "replace")
            before = trace.name_of.get(pid, "") if part else ""
            trace.name_of[pid] = before[:8 * part] + text


def sections_read(data):
    """(name, bytes) of each section; Broken when the last one is not the end."""
    if not data.startswith(HEAD):
        raise Broken("not a trace: the stream does not begin with " + HEAD.decode().strip())
    at = len(HEAD)
    while True:
        found = SECTION.match(data, at)
        if not found:
            raise Broken(f"the trace breaks off, or something else wrote into it, at byte {at}")
        name, length = found.group(1).decode(), int(found.group(2))
        if found.end() + length > len(data):
            raise Broken(f"section {name} breaks off")
        yield name, data[found.end():found.end() + length]
        if name == "end":
            return
        at = found.end() + length


def threads_read(text):
    for line in text.splitlines():
        words = line.split(" ", 2)
        if len(words) >= 2 and words[0].isdigit() and words[1].isdigit():
            yield int(words[0]), int(words[1]), words[2] if len(words) == 3 else ""


def number_read(data, at):
    """(number, where it ends): 7 bits a byte, lowest first, bit 7 on all but the last."""
    byte = data[at]
    value, shift = byte & 0x7f, 0
    while byte & 0x80:
        at, shift = at + 1, shift + 7
        byte = data[at]
        value |= (byte & 0x7f) << shift
    return value, at + 1


def signed_read(data, at):
    """The same for numbers of both signs, as 64 bits."""
    value, at = number_read(data, at)
    return (value >> 1 ^ -(value & 1)) & 0xffffffffffffffff, at


def records_read(meta, cpu, data):
    """(tsc, Event) of each record of one section, the time still to be filled in."""
    tsc = thread = at = 0
    kinds = [meta.events.get(number, f"EVENT_{number}") for number in range(EVENT + 1)]
    while at < len(data):
        head = data[at]
        a = b = 0
        step, at = signed_read(data, at + 1)
        tsc = (tsc + step) & 0xffffffffffffffff
        if not head & SAME_THREAD:
            thread, at = number_read(data, at)
        if not head & A_ZERO:
            a, at = signed_read(data, at)
        if not head & B_ZERO:
            b, at = signed_read(data, at)
        yield tsc, Event(0, cpu, kinds[head & EVENT], thread, a, b)


def times_fill(records):
    """LOST has no time of its own: it gets that of the record behind it."""
    out, following = [], max((tsc for tsc, _ in records), default=0)
    for tsc, event in reversed(records):
        following = tsc or following
        out.append((following, event))
    return reversed(out)


def merge(hz, per_cpu):
    """All events in order of time. Within a CPU the order of its ring stays, whatever its clock."""
    tagged = []
    for records in per_cpu.values():
        last = 0
        for index, (tsc, event) in enumerate(times_fill(records)):
            last = max(last, tsc)
            tagged.append((last, event.cpu, index, event))
    tagged.sort(key=lambda row: row[:3])
    base = tagged[0][0] if tagged else 0
    for tsc, _, _, event in tagged:
        event.ns = (tsc - base) * 1000000000 // hz
    return [row[3] for row in tagged]


def load(data):
    meta, threads, per_cpu = None, [], {}
    for name, content in sections_read(data):
        if name == "meta":
            meta = Meta(content.decode("utf-8", "replace"))
        elif name == "threads":
            threads += threads_read(content.decode("utf-8", "replace"))
        elif name.startswith("cpu") and meta:
            ring = per_cpu.setdefault(int(name[3:]), [])
            try:
                ring.extend(records_read(meta, int(name[3:]), content))
            except IndexError:
                raise Broken(f"a record of {name} breaks off") from None
    if meta is None:
        raise Broken("the trace has no meta section")
    events = merge(meta.hz(), per_cpu)
    lost = {cpu: sum(event.a for _, event in records if event.kind == "LOST")
            for cpu, records in per_cpu.items()}
    n_cpus = max([int(meta.values["cpus"]), *(cpu + 1 for cpu in per_cpu)])
    return Trace(meta, n_cpus, events, lost, threads)
