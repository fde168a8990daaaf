"""Tests of the profiler's host side (part of toolstest): streams whole and broken, names, callers
that are believed and not, folding, sums, the flame graph, perf's list of symbols."""

import os
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as xml

import flamegraph
import perf
import profiler
import stacks

# outer calls middle, which calls somebody by a pointer, then inner. Where they return to:
ASSEMBLY = """
.globl outer, middle, inner
outer:  call middle
        ret
middle: call *%rax
        call inner
        ret
inner:  nop
        ret
"""
IN_OUTER, IN_MIDDLE_POINTER, IN_MIDDLE = 5, 2, 7  # bytes from the function's begin
K = stacks.KERNEL_MARK


def stream(*lines, samples=None):
    total = sum(int(line.split()[0]) for line in lines) if samples is None else samples
    return "\n".join([stacks.HEAD, "hz 1000", f"samples {total}", "lost 0", *lines, "end", ""])


class ProfileTest(unittest.TestCase):
    """The stream of the guest."""

    def test_whole(self):
        found = stacks.Profile(stream("3 bench 2 ffffffff80000010 ffffffff80000020 401000",
                                      "4 idle 1 ffffffff80000010"))
        self.assertEqual([(s.count, s.name, len(s.kernel), len(s.user)) for s in found.stacks],
                         [(3, "bench", 2, 1), (4, "idle", 1, 0)])
        self.assertEqual(found.values, {"hz": 1000, "samples": 7, "lost": 0})

    def test_broken(self):
        whole = stream("3 bench 0 401000")
        for text in ("", "hello\nend\n", whole[:-5], whole.replace("401000", "4g"),
                     stream("3 bench 2 401000"), stream("3 bench 0 1", samples=4),
                     whole.replace("hz 1000", "hertz 1000"), whole.replace("lost 0\n", "")):
            with self.assertRaises(stacks.Broken, msg=repr(text)):
                stacks.Profile(text)


class NamesTest(unittest.TestCase):
    """Addresses of a real program become names."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        top = cls.scratch.name
        for name, base in (("kernel", "0xffffffff80100000"), ("program_of_long_name", "0x400000")):
            source, elf = os.path.join(top, name + ".s"), os.path.join(top, name)
            with open(source, "w", encoding="utf-8") as file:
                file.write(ASSEMBLY)
            subprocess.run(["as", "-o", elf + ".o", source], check=True)
            subprocess.run(["ld", "-Ttext", base, "-e", "outer", "-o", elf, elf + ".o"],
                           check=True)
        cls.namer = stacks.Namer(os.path.join(top, "kernel"), top)
        cls.at = dict((name, address) for address, name in
                      stacks.symbols.functions(os.path.join(top, "program_of_long_name")))

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def fold(self, name, kernel, user):
        profile = stacks.Profile(stream(" ".join(
            ["2", name, str(len(kernel)), *(f"{a:x}" for a in (*kernel, *user))])))
        return stacks.fold(profile, self.namer)

    def test_callers(self):
        at, name = self.at, "program_of_long"  # as the kernel cuts it
        for behind in (IN_MIDDLE, IN_MIDDLE_POINTER):
            user = [at["inner"] + 1, at["middle"] + behind, at["outer"] + IN_OUTER]
            self.assertEqual(self.fold(name, [], user), {(name, "outer", "middle", "inner"): 2})

    def test_nonsense_is_not_believed(self):
        at, name = self.at, "program_of_long"
        for caller in (at["inner"] + 1, at["outer"] + IN_OUTER, at["middle"], 0x7fff0000, 8):
            found = self.fold(name, [], [at["inner"], caller])
            self.assertEqual(found, {(name, "inner"): 2}, hex(caller))

    def test_kernel_and_unknown(self):
        kernel = 0xffffffff80100000
        self.assertEqual(self.fold("gone", [kernel, kernel + IN_OUTER], [0x1234]),
                         {("gone", "0x1234", "outer" + K, "outer" + K): 2})


class PictureTest(unittest.TestCase):
    """What is drawn and printed."""

    FOLDED = {("bench", "main", "work"): 60, ("bench", "main", "read", "copy" + K): 30,
              ("idle", "halt" + K): 10}

    def test_sums(self):
        self.assertEqual(stacks.sums(self.FOLDED),
                         {"main": (0, 90), "work": (60, 60), "read": (0, 30),
                          "copy" + K: (30, 30)})

    def test_folded(self):
        self.assertIn("bench;main;work 60\n", stacks.folded_text(self.FOLDED))

    def test_svg(self):
        text = flamegraph.svg(self.FOLDED, "a <b> & 'c'")
        root = xml.fromstring(text)
        self.assertIn("a <b> & 'c'", "".join(root.itertext()))
        widths = {g[0].text: float(g[1].get("width"))
                  for g in root.iter("{http://www.w3.org/2000/svg}g")}
        whole = widths["all: 100 samples, 100.0 %"]
        self.assertAlmostEqual(widths["work: 60 samples, 60.0 %"] / whole, 0.6, 3)
        self.assertAlmostEqual(widths[f"copy{K}: 30 samples, 30.0 %"] / whole, 0.3, 3)
        self.assertNotIn("href", text)

    def test_table(self):
        profile = stacks.Profile(stream("100 bench 0 1"))
        lines = profiler.table_text(profile, self.FOLDED).splitlines()
        self.assertIn("10.0 % idle", lines[0])
        self.assertEqual(lines[3].split(), ["60.0%", "60.0%", "work"])

    def test_too_deep_to_draw_is_left_out(self):
        text = flamegraph.svg({("a",): 1000000, ("b",): 1}, "t")
        self.assertNotIn("b: 1 samples", text)


class PerfTest(unittest.TestCase):
    """perf's list of symbols."""

    def test_kallsyms(self):
        with tempfile.TemporaryDirectory() as top:
            elf = os.path.join(top, "elf")
            with open(elf + ".s", "w", encoding="utf-8") as file:
                file.write(ASSEMBLY)
            subprocess.run(["as", "-o", elf + ".o", elf + ".s"], check=True)
            subprocess.run(["ld", "-Ttext", "0x400000", "-e", "outer", "-o", elf, elf + ".o"],
                           check=True)
            self.assertIn("0000000000400000 t outer\n", perf.kallsyms_text(elf))
