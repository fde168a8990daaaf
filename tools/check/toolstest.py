"""Tests of the tools: images built, overlaid, listed and corrupted; the log's records; the judge of
KVM; the TAP judge; the parser of C functions; the compile database; the readers of traces and of
profiles."""

import contextlib
import io
import os
import random
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [TOOLS, os.path.join(TOOLS, "check")]
# pylint: disable=wrong-import-position
import accel
import compdb
import hosttests
import mkinitfs
import stress
import test as guesttest
import tree
import vm
import profiletest
from tracetest import ReplayTest, StreamTest, ViewTest


def tree_write(top, files):
    for name, content in files.items():
        path = os.path.join(top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)


class ImageTest(unittest.TestCase):
    """mkinitfs: what goes in comes out, and nothing malformed is accepted."""

    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        top = self.scratch.name
        tree_write(f"{top}/one", {"bin/x": b"old", "bin/y": b"y" * 5000, "etc/empty": b""})
        tree_write(f"{top}/two", {"bin/x": b"new"})
        os.symlink("x", f"{top}/one/bin/link")
        self.trees = [f"{top}/one", f"{top}/two"]
        self.out = f"{top}/image"

    def build(self):
        mkinitfs.image_build(self.out, self.trees, b"boot", 7)
        return mkinitfs.bytes_of(self.out)

    def test_contents(self):
        image = mkinitfs.Image(self.build())
        mkinitfs.image_check(image)
        found = {path: bytes(image.content(number)) for path, number in image.walk()}
        self.assertEqual(found["/bin/x"], b"new")
        self.assertEqual(found["/bin/y"], b"y" * 5000)
        self.assertEqual(found["/bin/link"], b"x")
        self.assertEqual(found["/etc/empty"], b"")
        self.assertEqual(image.data[image.bootstrap_off:][:4], b"boot")

    def test_same_twice(self):
        self.assertEqual(self.build(), self.build())

    def test_truncated(self):
        data = self.build()
        for length in (0, 7, 4095, 4096, 4097, len(data) - 1):
            with self.assertRaises(mkinitfs.ImageError):
                mkinitfs.image_check(mkinitfs.Image(data[:length]))

    def test_corrupted(self):
        """Any byte of header and tables may change: a clean error or an image that is still one."""
        data, rng = self.build(), random.Random(1)
        for _ in range(3000):
            hostile = bytearray(data)
            for _ in range(rng.randrange(1, 4)):
                hostile[rng.randrange(0, 3 * 4096)] = rng.randrange(256)
            try:
                mkinitfs.image_check(mkinitfs.Image(bytes(hostile)))
            except mkinitfs.ImageError:
                pass

    def test_loop(self):
        data = bytearray(self.build())
        image = mkinitfs.Image(bytes(data))
        offset = image.inode(0)[2]
        data[offset:offset + 4] = (0).to_bytes(4, "little")
        with self.assertRaisesRegex(mkinitfs.ImageError, "directory loop"):
            mkinitfs.image_check(mkinitfs.Image(bytes(data)))

    def test_special_file(self):
        os.mkfifo(f"{self.trees[0]}/fifo")
        with self.assertRaisesRegex(mkinitfs.ImageError, "only files"):
            self.build()

    def test_command_says_why(self):
        run = subprocess.run([f"{TOOLS}/mkinitfs.py", "--check", "/dev/null"], text=True,
                             capture_output=True)
        self.assertEqual(run.returncode, 1)
        self.assertIn("shorter than its header", run.stderr)


class LogTest(unittest.TestCase):
    """Port 0xe9: records and text are told apart, however the bytes are cut."""

    STREAM = b"one\n\x1eboot ok\ntwo\x1eexit 7\nthree\n"

    def test_every_cut(self):
        for cut in range(len(self.STREAM) + 1):
            parser = vm.LogParser()
            plain = parser.feed(self.STREAM[:cut]) + parser.feed(self.STREAM[cut:])
            self.assertEqual(plain, b"one\ntwothree\n")
            self.assertEqual(parser.record("exit"), "7")
            self.assertEqual(parser.record("boot"), "ok")
            self.assertIsNone(parser.record("panic"))


class RefusalsTest(unittest.TestCase):
    """What the kernel says of boot arguments is told from the rest of its log."""

    STREAM = (b"cathode: booted\nboot argument: \"bogus=1\": no such name\n"
              b"boot argument: \"cpus=x\": not a valid value; it takes\n"
              b"boot argument:   cpus=1..64: CPUs to start\nboot argument: valid boot arguments:\n"
              b"boot argument:   cpus=1..64: CPUs to start\nboot argument:   mm.big=on|off: pages\n"
              b"boot argument: stress needs the debug build; there is none\npages: 4096\n")

    def test_every_cut(self):
        for cut in range(len(self.STREAM) + 1):
            found = vm.Refusals()
            lines = found.feed(self.STREAM[:cut]) + found.feed(self.STREAM[cut:])
            self.assertEqual("\n".join(lines).encode().splitlines(),
                             [self.STREAM.splitlines()[i] for i in (1, 2, 3, 7)])

    def test_words_are_the_kernels(self):
        for path, words in (("main.c", vm.Refusals.PREFIX), ("base/bootargs.c", vm.Refusals.LIST),
                            ("base/stress.c", vm.Refusals.PREFIX)):
            self.assertIn(b'"' + words, mkinitfs.bytes_of(f"{TOOLS}/../kernel/{path}"))


class AccelTest(unittest.TestCase):
    """The judge of the proof kernel's figures."""

    def records(self, **changed):
        took = {step: limit // 10 for step, limit in accel.LIMITS.items()}
        took.update(changed)
        return [("step", f"{step} {cycles}") for step, cycles in took.items()]

    def test_good(self):
        self.assertIsNone(accel.steps_judge(self.records()))

    def test_slow(self):
        self.assertIn("it crawls: stosb_page", accel.steps_judge(self.records(stosb_page=5898752)))

    def test_missing(self):
        self.assertIn("int3", accel.steps_judge(self.records()[:1]))


class TapTest(unittest.TestCase):
    """The judge of host tests refuses what is not a full, passed plan."""

    def test_good(self):
        self.assertEqual(hosttests.tap_judge("t", 0, "1..2\nok 1 - a\nok 2 - b\n"), 2)

    def test_bad(self):
        for status, text in ((0, ""), (0, "1..2\nok 1 - a\n"), (0, "ok 1\n"), (1, "1..1\nok 1\n"),
                             (0, "1..1\nnot ok 1\n"), (0, "1..1\nBail out! x\n"), (0, "1..0\n")):
            with self.assertRaises(hosttests.Broken, msg=text):
                hosttests.tap_judge("t", status, text)


class TallyTest(unittest.TestCase):
    """The judge of the guest's tests."""

    def problem(self, status, *lines):
        tally = guesttest.Tally()
        for line in lines:
            tally.feed(line)
        return tally.problem(status), tally.passed, tally.failed

    def test_judge(self):
        self.assertEqual(self.problem(0, "ok 1 - a", "  not ok 1", "1..1"), (None, 1, 0))
        self.assertEqual(self.problem(1, "ok 1", "not ok 2 - b", "1..2"), (None, 1, 1))
        self.assertEqual(self.problem(0, "ok 1 - a")[0], "no plan")
        self.assertEqual(self.problem(0, "1..2", "ok 1")[0], "planned 2 tests, ran 1")
        self.assertEqual(self.problem(3, "1..1", "ok 1")[0], "ended with status 3")
        self.assertEqual(self.problem(0, "1..0")[0], "planned no test at all")
        self.assertEqual(self.problem(0, "Bail out! x", "1..1", "ok 1")[0], "Bail out! x")


class StressTest(unittest.TestCase):
    """What make stress is asked for, and refuses."""

    def test_good(self):
        args = stress.arguments([])
        self.assertEqual([(n, stress.seconds_of(args, n)) for n in args.smp],
                         [(1, 60), (2, 60), (4, 60), (8, 60), (64, 20)])
        args = stress.arguments(["--smp=2,64", "--minutes=10", "--seed=7"])
        self.assertEqual([stress.seconds_of(args, n) for n in args.smp], [600, 600])
        self.assertEqual(stress.seconds_of(stress.arguments(["--minutes=0.001"]), 1), 1)

    def test_refused(self):
        for name, words in (("smp", ("abc", "0", "65", "1,,2", "-1", "", "2.5")),
                            ("minutes", ("nan", "inf", "-1", "0", "x", "", "1e9")),
                            ("seed", ("0", "-1", "x"))):
            for word in words:
                said = io.StringIO()
                with contextlib.redirect_stderr(said), self.assertRaises(SystemExit) as ended:
                    stress.arguments([f"--{name}={word}"])
                self.assertEqual(ended.exception.code, 2)
                self.assertIn(f"{name.upper()}={word}: ", said.getvalue())


class SourceTest(unittest.TestCase):
    """Reading C and commands."""

    TEXT = ("struct a {\n  int b;\n};\n\nstatic int x[] = {\n  1,\n};\n\n"
            "__attribute__((format(printf, 1, 2))) static inline bool\nfirst(const char *f,\n"
            "      int a) HOLDS(l) {\n  return true;\n}\n\n"
            "int second(void) {\n  if (x) {\n  }\n}\n")

    def test_functions(self):
        with tempfile.NamedTemporaryFile("w", suffix=".c") as file:
            file.write(self.TEXT)
            file.flush()
            found = [(f.name, f.first, f.last) for f in tree.functions(file.name)]
        self.assertEqual(found, [("first", 9, 13), ("second", 15, 18)])

    def test_compdb(self):
        found = compdb.entries("mkdir -p x && gcc -DA='b c' -c -o x/a.o a.c\nld -o y x/a.o\n")
        self.assertEqual([(e["file"], e["arguments"][1]) for e in found], [("a.c", "-DA=b c")])


# unittest finds them by being here
TRACE_TESTS = (ReplayTest, StreamTest, ViewTest)
ProfileTest, NamesTest = profiletest.ProfileTest, profiletest.NamesTest
PictureTest, PerfTest = profiletest.PictureTest, profiletest.PerfTest

if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-q"])
