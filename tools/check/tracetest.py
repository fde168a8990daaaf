"""Tests of the reader of traces (part of toolstest): a made-up machine schedules at random and
keeps account of what every thread did; the reader must find the same from the events alone."""

import json
import os
import random
import tempfile
import unittest

import perfetto
import timeline
import tracestream
import tracesummary

KINDS = ("SWITCH", "WAKE", "MIGRATE", "THREAD", "NAME", "FAULT", "LOST")
HZ = 2000000000  # two ticks a nanosecond: the conversion shows
META = f"version 1\nrecord_bytes 32\ntsc_hz {HZ}\ncpus 2\nsyscall 1 yield\n" + "".join(
    f"event {number} {kind} a b\n" for number, kind in enumerate(KINDS))
BASE = 1 << 40
SECTION_RECORDS = 64
PREEMPT, YIELD, BLOCK, EXIT = range(4)


def number(value):
    """As user/bin/trace.c packs it."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def signed(value):
    """Numbers of 64 bits, of which the upper half counts as negative."""
    value = value - (1 << 64) if value >> 63 else value
    return number(value << 1 ^ value >> 63)


def ring_pack(records):
    out, before, last = bytearray(), 0, 0
    for ns, kind, thread, a, b in records:
        tsc = BASE + 2 * ns if kind != "LOST" else 0
        out.append(KINDS.index(kind) | 0x20 * (thread == last) | 0x40 * (not a) | 0x80 * (not b))
        out += signed((tsc - before) % (1 << 64)) + (number(thread) if thread != last else b"")
        out += (signed(a) if a else b"") + (signed(b) if b else b"")
        before, last = tsc, thread
    return bytes(out)


def stream(rings, threads="1 1 init\n"):
    """The bytes of a stream; rings: CPU -> list of (ns, kind, thread, a, b)."""
    out = bytearray(tracestream.HEAD)
    parts = [("meta", META.encode()), ("threads", threads.encode())]
    for cpu, records in rings.items():
        for at in range(0, len(records), SECTION_RECORDS):
            parts.append((f"cpu{cpu}", ring_pack(records[at:at + SECTION_RECORDS])))
    for name, data in parts + [("end", b"")]:
        out += f"section {name} {len(data)}\n".encode() + data
    return bytes(out)


def replay(rings):
    return timeline.Timeline(tracestream.load(stream(rings)))


class Machine:
    """A scheduler that does anything a real one may, and remembers who was in which state."""

    def __init__(self, seed, n_cpus=3):
        self.rng = random.Random(seed)
        self.now = 0
        self.rings = {cpu: [] for cpu in range(n_cpus)}
        self.current = dict.fromkeys(self.rings, 0)
        self.queue = {cpu: [] for cpu in self.rings}
        self.state, self.since, self.totals, self.switches = {}, {}, {}, {}
        self.woken_early, self.wakes = set(), 0
        for cpu in self.rings:
            self.note(cpu, "FAULT", 0, 0)

    def note(self, cpu, kind, a, b):
        self.rings[cpu].append((self.now, kind, self.current[cpu], a, b))

    def enter(self, tid, state):
        totals = self.totals.setdefault(tid, {})
        if tid in self.state:
            old = self.state[tid]
            totals[old] = totals.get(old, 0) + self.now - self.since[tid]
        self.state[tid], self.since[tid] = state, self.now

    def create(self, cpu):
        tid = len(self.state) + 10
        self.note(cpu, "THREAD", tid, tid)
        self.enter(tid, timeline.BLOCKED)

    def wake(self, cpu):
        blocked = [tid for tid, state in self.state.items() if state == timeline.BLOCKED]
        if blocked:
            self.wake_one(cpu, self.rng.choice(blocked))

    def wake_one(self, cpu, tid):
        target = self.rng.choice(list(self.rings))
        self.note(cpu, "WAKE", tid, target)
        self.enter(tid, timeline.RUNNABLE)
        self.queue[target].append(tid)
        self.wakes += 1

    def wake_early(self, cpu):
        """Another CPU is about to block its thread, which is woken before that is noted."""
        other = self.rng.choice(list(self.rings))
        tid = self.current[other]
        if other != cpu and tid and tid not in self.woken_early:
            self.note(cpu, "WAKE", tid, other)
            self.woken_early.add(tid)
            self.wakes += 1

    def switch(self, cpu):
        """The current thread goes, for any reason; the first that waits comes, or idle."""
        tid, why = self.current[cpu], self.rng.choice((PREEMPT, YIELD, BLOCK, BLOCK, EXIT))
        if tid in self.woken_early:
            why = BLOCK
        if tid and why in (PREEMPT, YIELD):
            self.queue[cpu].append(tid)
        if not tid and not self.queue[cpu]:
            return
        if tid in self.woken_early:
            self.woken_early.discard(tid)
            self.queue[cpu].append(tid)
            state = timeline.RUNNABLE
        else:
            state = {BLOCK: timeline.BLOCKED, EXIT: None}.get(why, timeline.RUNNABLE)
        following = self.queue[cpu].pop(0) if self.queue[cpu] else 0
        self.note(cpu, "SWITCH", following, why)
        if tid:
            self.enter(tid, state)
        self.current[cpu] = following
        if following:
            self.enter(following, timeline.RUNNING)
            self.switches[following] = self.switches.get(following, 0) + 1

    def steal(self, cpu):
        victim = self.rng.choice(list(self.rings))
        if victim != cpu and self.queue[victim]:
            tid = self.queue[victim].pop()
            self.note(cpu, "MIGRATE", tid, victim | cpu << 32)
            self.queue[cpu].append(tid)

    def run(self, n_steps):
        actions = (self.create, self.wake, self.wake, self.wake_early, self.switch, self.switch,
                   self.switch, self.steal)
        for _ in range(n_steps):
            self.now += self.rng.randrange(1, 1000)
            self.rng.choice(actions)(self.rng.choice(list(self.rings)))
        self.now += 1
        for cpu in self.rings:
            self.note(cpu, "FAULT", 0, 0)
        for tid in self.state:
            self.enter(tid, self.state[tid])
        return self


class ReplayTest(unittest.TestCase):
    """The made-up machine's own account against the reader's."""

    def test_totals(self):
        for seed in range(20):
            machine = Machine(seed).run(2000)
            lines = replay(machine.rings)
            self.assertEqual(lines.n_out_of_step, 0)
            unfinished = len(machine.woken_early)  # woken, and the trace ends before they block
            self.assertEqual(len(lines.wakes), machine.wakes - unfinished)
            found = {thread.tid: thread for thread in lines.threads}
            self.assertEqual(set(found), set(machine.state))
            for tid, totals in machine.totals.items():
                for state in (timeline.RUNNING, timeline.RUNNABLE, timeline.BLOCKED):
                    self.assertEqual(found[tid].total(state), totals.get(state, 0), (seed, tid))
                self.assertEqual(found[tid].n_switches, machine.switches.get(tid, 0))

    def invariants(self, lines):
        for slices in lines.slices.values():
            for one, other in zip(slices, slices[1:]):
                self.assertLessEqual(one.start, one.end)
                self.assertLessEqual(one.end, other.start)
        for thread in lines.threads:
            total = sum(map(thread.total, (timeline.RUNNING, timeline.RUNNABLE, timeline.BLOCKED)))
            self.assertEqual(total, thread.lifetime())
            for (_, _, end, _), (_, start, _, _) in zip(thread.states, thread.states[1:]):
                self.assertEqual(end, start)

    def test_invariants(self):
        for seed in range(20):
            self.invariants(replay(Machine(seed).run(2000).rings))

    def test_invariants_with_losses(self):
        """Any stretch of any ring may be missing."""
        for seed in range(20):
            machine, rng = Machine(seed).run(1000), random.Random(seed)
            for cpu, records in machine.rings.items():
                at = rng.randrange(len(records) - 100)
                cut = records[at:at + 100]
                records[at:at + 100] = [(cut[-1][0], "LOST", 0, len(cut), 0)]
                self.assertEqual(records[at][3], 100, cpu)
            lines = replay(machine.rings)
            self.assertEqual(sum(lines.trace.lost.values()), 300)
            self.invariants(lines)


class ViewTest(unittest.TestCase):
    """What is written for Perfetto, and the summary."""

    def written(self, rings, name="out.json"):
        with tempfile.TemporaryDirectory() as scratch:
            path = os.path.join(scratch, name)
            perfetto.write(replay(rings), path)
            opener = perfetto.gzip.open if name.endswith(".gz") else open
            with opener(path, "rt", encoding="utf-8") as file:
                return json.load(file)["traceEvents"]

    def test_arrows_have_two_ends(self):
        for seed in range(5):
            events = self.written(Machine(seed).run(1000).rings)
            begins = {e["id"]: e for e in events if e["ph"] == "s"}
            ends = {e["id"]: e for e in events if e["ph"] == "f"}
            self.assertGreater(len(begins), 50)
            self.assertEqual(set(begins), set(ends))
            slices = [e for e in events if e["ph"] == "X" and e["cat"] == "sched"]
            for end in list(begins.values()) + list(ends.values()):
                self.assertTrue(any(s["tid"] == end["tid"] and
                                    s["ts"] <= end["ts"] <= s["ts"] + s["dur"] + 1e-6
                                    for s in slices), end)

    def test_tracks_do_not_overlap(self):
        for name in ("out.json", "out.json.gz"):
            tracks = {}
            for e in self.written(Machine(3).run(1000).rings, name):
                if e["ph"] == "X":
                    tracks.setdefault((e["pid"], e["tid"]), []).append((e["ts"], e["dur"]))
            self.assertGreater(len(tracks), 5)
            for slices in tracks.values():
                slices.sort()
                for (ts, dur), (following, _) in zip(slices, slices[1:]):
                    self.assertLessEqual(ts + dur, following + 1e-6)

    def test_counters_are_never_negative(self):
        values = [e["args"]["value"] for e in self.written(Machine(4).run(1000).rings)
                  if e["ph"] == "C"]
        self.assertGreater(max(values), 0)
        self.assertGreaterEqual(min(values), 0)

    RINGS = {
        0: [(0, "THREAD", 0, 7, 7), (10, "NAME", 0, 7, int.from_bytes(b"longname", "little")),
            (20, "NAME", 0, 7 | 1 << 32, int.from_bytes(b"d\0\0\0\0\0\0\0", "little")),
            (100, "WAKE", 0, 7, 1), (150, "FAULT", 0, 0, 0), (9000, "FAULT", 0, 0, 0)],
        1: [(5, "FAULT", 0, 0, 0), (3100, "SWITCH", 0, 7, 0), (5100, "SWITCH", 7, 0, 3)],
    }

    def test_summary(self):
        text = tracesummary.text(replay(self.RINGS))
        self.assertIn("worst wake-up: longnamed 7 waited 3.0 us, woken on CPU 0", text)
        self.assertIn("CPU 1  idle preempted, longnamed 7 runs", text)
        row = next(line for line in text.splitlines() if line.startswith("  longnamed"))
        self.assertEqual(row.split()[1:6], ["7", "7", "0.002", "0.003", "0.000"])


    STARVED = {
        0: [(100, "WAKE", 0, 7, 1), (200, "WAKE", 0, 7, 1), (9000, "FAULT", 0, 0, 0)],
        1: [(5, "FAULT", 0, 0, 0), (110, "SWITCH", 0, 7, 0), (150, "SWITCH", 7, 8, 2),
            (9500, "FAULT", 8, 0, 0)],
    }

    def test_wake_without_end(self):
        """Who is still waiting when the trace ends has waited until then."""
        lines = replay(self.STARVED)
        text = tracesummary.text(lines)
        self.assertIn("worst wake-up: ? 7 waited 9.3 us, woken on CPU 0 at 0.000 ms, still waiting "
                      "for CPU 1 at 0.009 ms, where the trace ends", text)
        row = next(line for line in text.splitlines() if " 9.3 " in line)
        self.assertTrue(row.endswith("  9.3  still waiting"), row)
        self.assertEqual(text.count("  still waiting\n"), 1)
        with tempfile.TemporaryDirectory() as scratch:
            perfetto.write(lines, os.path.join(scratch, "out.json"))

    def test_wake_whose_end_is_lost(self):
        """It may have run where records are missing: then nothing is claimed."""
        for at in range(3, 5):
            rings = {cpu: list(records) for cpu, records in self.STARVED.items()}
            rings[1].insert(at, (0, "LOST", 0, 3, 0))
            self.assertEqual(replay(rings).worst().latency_ns(), 10, at)
        rings = {0: [*self.STARVED[0], (9600, "WAKE", 0, 9, 1), (9900, "FAULT", 0, 0, 0)],
                 1: [*self.STARVED[1][:3], (0, "LOST", 0, 3, 0), self.STARVED[1][3]]}
        self.assertEqual(replay(rings).worst().latency_ns(), 300)

    def test_wake_seen_without_switches(self):
        rings = {0: [(100, "WAKE", 0, 7, 1), (9000, "FAULT", 0, 0, 0)], 1: [(5, "FAULT", 0, 0, 0)]}
        self.assertIsNone(replay(rings).worst())


class StreamTest(unittest.TestCase):
    """Streams that are no streams are refused with the reason."""

    def test_every_cut(self):
        data = stream(ViewTest.RINGS)
        tracestream.load(data)
        for length in range(len(data)):
            with self.assertRaises(tracestream.Broken):
                tracestream.load(data[:length])

    def test_foreign_bytes(self):
        data = stream(ViewTest.RINGS)
        at = data.index(b"section cpu0")
        with self.assertRaisesRegex(tracestream.Broken, "something else wrote into it"):
            tracestream.load(data[:at] + b"hello\n" + data[at:])

    def test_numbers(self):
        for value in (0, 1, 63, 64, 127, 128, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
            self.assertEqual(tracestream.signed_read(signed(value), 0)[0], value)
            self.assertEqual(tracestream.number_read(number(value), 0)[0], value)

    def test_record_cut(self):
        data = stream({0: [(5, "FAULT", 300, 1 << 50, 7)]})
        cut = data.replace(b"cpu0 18", b"cpu0 17")
        self.assertNotEqual(cut, data)
        at = cut.index(b"section end")
        with self.assertRaisesRegex(tracestream.Broken, "a record of cpu0 breaks off"):
            tracestream.load(cut[:at - 1] + cut[at:])

    def test_lost_has_no_time(self):
        rings = {0: [(0, "LOST", 0, 9, 0), (50, "FAULT", 0, 1, 0), (0, "LOST", 0, 1, 0)],
                 1: [(60, "FAULT", 0, 2, 0)]}
        trace = tracestream.load(stream(rings))
        self.assertEqual([(e.ns, e.kind) for e in trace.events if e.cpu == 0],
                         [(0, "LOST"), (0, "FAULT"), (0, "LOST")])
        self.assertEqual((trace.duration_ns(), trace.lost), (10, {0: 10, 1: 0}))

    def test_clocks_that_differ(self):
        """A ring keeps its order even when its clock steps back."""
        rings = {0: [(100, "FAULT", 0, 1, 0), (90, "FAULT", 0, 2, 0)]}
        trace = tracestream.load(stream(rings))
        self.assertEqual([(e.ns, e.a) for e in trace.events], [(0, 1), (0, 2)])
