#!/usr/bin/env python3
"""Where the instructions of one operation went: what `make itrace` does.

Boots Cathode with one CPU that counts instructions (icount), runs CMD, and writes down every
instruction from the moment CMD first prints something, or TEXT with --after (the benchmark harness:
the name of a case, just before it begins), until SIZE of them are there. Prints, for each function
of the kernel and of CMD's program, how many of its own instructions one operation took.

An operation lasts from one call of the function ONCE to its next; without ONCE all counts are
totals. Operations differ: ONE is their mean, MIDDLE the one in the middle when they are ordered by
length (what only some do is not in it), and MOST what the largest one had.

Limits: other programs, servers too, lie at the same addresses and are shown under CMD's names; a
function that `ld` shows under several names is shown under one of them.
"""

import argparse
import bisect
import collections
import os
import re
import shlex
import sys
import tempfile
import time

import symbols
import tune_conf
import vm

BUILD = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "build")
LINE = re.compile(rb"Trace \d+: 0x[0-9a-f]+ \[[0-9a-f]+/([0-9a-f]+)/")
LINE_BYTES = 60  # about, in QEMU's log
KERNEL_HALF = 1 << 63
LIMIT_S = 300


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cmd", required=True, help="what the guest runs")
    add("--once", default="", metavar="FUNCTION", help="one call of it is one operation")
    add("--after", default="", metavar="TEXT", help="what CMD prints before it is recorded")
    add("--size", type=int, default=1000000, help="instructions (default %(default)s)")
    add("--rows", type=int, default=50, help="functions to show (default %(default)s)")
    add("--kernel", default=os.path.join(BUILD, "kernel.elf"))
    add("--image", default=os.path.join(BUILD, "initfs.img"))
    add("--mem", default="512", help="memory in MiB (default %(default)s)")
    add("--bootargs", default="", help="kernel arguments, name=value words")
    add("--out", default="", metavar="FILE", help="the function of each instruction; >: its first")
    return parser.parse_args()


def program_of(command):
    """The unstripped file of the command's program."""
    name = os.path.basename(shlex.split(command)[0])
    found = (os.path.join(BUILD, "user", folder, name) for folder in ("prog", "bin"))
    return next(filter(os.path.exists, found), None)


class Names:
    """Functions by address, of the kernel and one program."""

    def __init__(self, kernel, program):
        rows = symbols.functions(kernel) + (symbols.functions(program) if program else [])
        rows.sort()
        self.starts, self.names = [row[0] for row in rows], [row[1] for row in rows]

    def of(self, address):
        i = bisect.bisect_right(self.starts, address) - 1
        known = i >= 0 and (self.starts[i] ^ address) < KERNEL_HALF
        return ("kernel " if address >= KERNEL_HALF else "user   ") + (self.names[i] if known
                                                                        else "?")


class Recorder:
    """Switches the log on when the command says `after`, and ends the machine when it is full."""

    def __init__(self, config, size, after=""):
        self.path, self.full = config.exec_log, size * LINE_BYTES
        self.after, self.said = after.encode(), collections.defaultdict(bytes)
        self.machine = vm.Machine(config, lambda data: self.heard("out", data),
                                  lambda data: self.heard("err", data))
        self.on = False

    def heard(self, channel, data):
        self.said[channel] += data
        if not self.on and self.after in self.said[channel]:
            self.on = True
            self.machine.monitor("log exec,nochain")

    def run(self):
        """Answers nothing, or why there is no log."""
        until = time.monotonic() + LIMIT_S
        try:
            while self.machine.n_open and time.monotonic() < until:
                self.machine.pump(0.01)
                if self.on and os.path.getsize(self.path) >= self.full:
                    return ""
        finally:
            self.machine.kill()
        return "" if self.on else f"the command never printed {self.after.decode() or 'anything'!r}"


def addresses(path):
    with open(path, "rb") as file:
        for line in file:
            found = LINE.match(line)
            if found:
                yield int(found.group(1), 16)


def operations(calls, once):
    """Counters by function: one for each operation, or one of everything."""
    out, was = [collections.Counter()], ""
    for name, is_start in calls:
        if once and is_start and name.split()[1] == once:
            out.append(collections.Counter())
        out[-1][name] += 1
    return out[1:-1] if once else out


def report(ops, rows):
    total = sum(ops, collections.Counter())
    n = len(ops)
    middle = sorted(ops, key=lambda op: op.total())[n // 2]
    print(f"{'one':>10} {'middle':>10} {'most':>10}  function   ({n} operations)")
    for kind in ("kernel ", "user   "):
        part, part_middle = (sum(count for name, count in op.items() if name.startswith(kind))
                             for op in (total, middle))
        print(f"{part / n:10.1f} {part_middle:10} {'':>10}  {kind}all")
    for name, count in sorted(total.items(), key=lambda row: (-middle[row[0]], -row[1]))[:rows]:
        print(f"{count / n:10.1f} {middle[name]:10} {max(op[name] for op in ops):10}  {name}")


def main():
    args = arguments()
    names = Names(args.kernel, program_of(args.cmd))
    starts = set(names.starts)
    with tempfile.TemporaryDirectory(prefix="cathode-") as scratch:
        tune_conf.bootargs_check(args.bootargs)
        config = vm.Config(args.kernel, args.image, f"{args.bootargs} -- {args.cmd}".strip(),
                           mem=args.mem, icount=True)
        config.exec_log = os.path.join(scratch, "exec.log")
        why = Recorder(config, args.size, args.after).run()
        if why:
            sys.exit(f"itrace: {why}")
        calls = [(names.of(pc), pc in starts) for pc in addresses(config.exec_log)]
    if args.out:
        with open(args.out, "w", encoding="utf-8") as file:
            file.writelines(f"{'>' if is_start else ' '}{name}\n" for name, is_start in calls)
    ops = operations(calls, args.once)
    if not ops:
        sys.exit(f"itrace: {args.once} was not called twice in {len(calls)} instructions")
    report(ops, args.rows)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (vm.VmError, tune_conf.ConfError) as error:
        sys.exit(f"itrace: {error}")
