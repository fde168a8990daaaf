"""Stacks of a profile: the guest's stream, addresses into names, folded stacks, sums.

`Profile` is what the guest's `profile` writes (user/bin/profile.c). `Symbols` names addresses of
one ELF file. `fold()` answers {("program", "outer", ..., "inner"): samples}: frames of the kernel
end in `_[k]`, as flame graphs have it.

Programs are compiled without frame pointers, unless they ask for them: what the kernel found by
them is then nonsense behind the first address. A caller is believed only when the instruction
before its address is a call, and one that names its target must name the function below.
"""

import bisect
import os
import struct

import symbols

HEAD = "cathode-profile 1"
NAME_MOST = 16       # bytes of a process's name in a sample
TEXT_BEHIND = 65536  # an address so far behind the last symbol has no name
KERNEL_BASE = 0xffffffff80000000
KERNEL_MARK = "_[k]"
CALL_INDIRECT_BYTES = range(2, 8)
PT_LOAD = 1


class Broken(Exception):
    """This is no profile, or only a part of one."""


class Stack:
    """One stack that was seen `count` times; addresses innermost first."""

    def __init__(self, count, name, kernel, user):
        self.count, self.name, self.kernel, self.user = count, name, kernel, user


class Profile:
    """A whole stream."""

    def __init__(self, text):
        lines = text.splitlines()
        if not lines or lines[0] != HEAD:
            raise Broken(f"not a profile: it does not begin with '{HEAD}'")
        if lines[-1] != "end":
            raise Broken("the profile breaks off")
        self.values = {"hz": None, "samples": None, "lost": None}
        self.stacks = []
        for number, line in enumerate(lines[1:-1], 2):
            try:
                self.line_take(line)
            except (ValueError, KeyError) as error:
                raise Broken(f"line {number} is no stack: {line[:60]!r}") from error
        if None in self.values.values() or self.values["samples"] != self.total():
            raise Broken(f"{self.total()} samples, where {self.values['samples']} were counted")

    def line_take(self, line):
        words = line.split(" ")
        if len(words) == 2:
            if words[0] not in self.values:
                raise KeyError(words[0])
            self.values[words[0]] = int(words[1])
            return
        addresses = [int(word, 16) for word in words[3:]]
        n_kernel = int(words[2])
        if n_kernel > len(addresses):
            raise ValueError(line)
        self.stacks.append(Stack(int(words[0]), words[1], addresses[:n_kernel],
                                 addresses[n_kernel:]))

    def total(self):
        return sum(stack.count for stack in self.stacks)


class Symbols:
    """Functions of an ELF file, and the bytes of its text."""

    def __init__(self, path):
        rows = symbols.functions(path)
        self.addresses = [address for address, _ in rows]
        self.names = [name.partition(".")[0] for _, name in rows]  # parts and labels too
        with open(path, "rb") as file:
            self.data = file.read()
        self.segments = list(segments_read(self.data))

    def name(self, address):
        """The function that holds the address, or None."""
        at = bisect.bisect_right(self.addresses, address) - 1
        if at < 0 or (at == len(self.names) - 1 and address - self.addresses[at] > TEXT_BEHIND):
            return None
        return self.names[at]

    def bytes_before(self, address, n):
        for start, offset, size in self.segments:
            if start + n <= address <= start + size:
                return self.data[offset + address - start - n:offset + address - start]
        return b""

    def call_before(self, address):
        """(is there a call right before the address, the function that it names or None)"""
        code = self.bytes_before(address, 5)
        if len(code) == 5 and code[0] == 0xe8:
            target = address + struct.unpack("<i", code[1:])[0]
            return True, self.name(target)
        for n in CALL_INDIRECT_BYTES:
            code = self.bytes_before(address, n)
            if len(code) == n and code[0] == 0xff and code[1] >> 3 & 7 == 2:
                return True, None
        return False, None


def segments_read(data):
    """(address, offset, size) of what an ELF64 file loads."""
    table, = struct.unpack_from("<Q", data, 32)
    entry_bytes, n = struct.unpack_from("<HH", data, 54)
    for i in range(n):
        kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", data,
                                                               table + i * entry_bytes)
        if kind == PT_LOAD:
            yield address, offset, size


class Namer:
    """Names for the addresses of all programs: the kernel's, and files of one directory."""

    def __init__(self, kernel, programs):
        self.kernel = Symbols(kernel)
        self.programs = programs
        self.known = {}

    def program(self, name):
        """The symbols of a process's program, by its name; None when there is no such file."""
        if name not in self.known:
            path = os.path.join(self.programs, name)
            if not os.path.isfile(path) and len(name) >= NAME_MOST - 1:  # it was cut
                longer = [entry for entry in sorted(os.listdir(self.programs))
                          if entry.startswith(name)]
                path = os.path.join(self.programs, longer[0]) if longer else path
            self.known[name] = Symbols(path) if os.path.isfile(path) else None
        return self.known[name]

    def kernel_frames(self, stack):
        """Names from inside out; return addresses lie behind their call."""
        for depth, address in enumerate(stack.kernel):
            name = self.kernel.name(address - (depth > 0)) if address >= KERNEL_BASE else None
            yield (name or f"{address:#x}") + KERNEL_MARK

    def user_frames(self, stack):
        found = self.program(stack.name)
        below = None
        for depth, address in enumerate(stack.user):
            name = found.name(address - (depth > 0)) if found else None
            if depth == 0:
                yield name or f"{address:#x}"
            else:
                is_call, target = found.call_before(address) if found else (False, None)
                if not is_call or name is None or (target is not None and target != below):
                    return
                yield name
            below = name


def fold(profile, namer):
    """{frames from outside in, the program first: samples}"""
    folded = {}
    for stack in profile.stacks:
        inner = list(namer.kernel_frames(stack)) + list(namer.user_frames(stack))
        frames = (stack.name, *reversed(inner))
        folded[frames] = folded.get(frames, 0) + stack.count
    return folded


def folded_text(folded):
    """One line a stack: what other tools for flame graphs read."""
    return "".join(f"{';'.join(frames)} {count}\n" for frames, count in sorted(folded.items()))


def sums(folded):
    """{function: (samples in itself, samples in it and what it called)}; the idle CPU left out."""
    table = {}
    for frames, count in folded.items():
        if frames[0] == "idle":
            continue
        for name in set(frames[1:]):
            own, all_of = table.get(name, (0, 0))
            table[name] = (own + count * (name == frames[-1]), all_of + count)
    return table
