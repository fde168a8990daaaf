"""Tests of what a sweep is given: by make, by the command line, and by the files of one that was
begun. Part of tunetest.py."""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import unittest

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, TOOLS)
# pylint: disable=wrong-import-position
import tune
import tune_design
import tune_plan
import tune_samples


class SamplesTest(unittest.TestCase):
    """Records, and what is refused of them: each message names file and line."""

    TEXT = "# smp\t2\nworkload\tw\tt\nERROR\tp0\tw\t0\twhy\nsample\tp0\tw\t0\ta=1\t1.0\tp99_ns=7\n"
    SAMPLE = "sample\tp1\tw\t0\ta=2\t1.0\tp99_ns=7"
    PLANNED = {("p0", "w", 0): {"a": 1}, ("p1", "w", 0): {"a": 2}}

    def test_good(self):
        sweep = tune_samples.parse(self.TEXT + self.SAMPLE[:-1])
        self.assertEqual(sweep.done(), {("p0", "w", 0)})
        self.assertEqual((sweep.errors, sweep.stamps), ({}, {"smp": "2"}))
        sweep = tune_samples.parse(f"{self.TEXT}{self.SAMPLE}\n", self.PLANNED)
        self.assertEqual(sweep.done(), set(self.PLANNED))

    def refused(self, line, words):
        with self.assertRaisesRegex(tune_samples.Broken, rf"^f:5: .*{words}"):
            tune_samples.parse(f"{self.TEXT}{line}\n", self.PLANNED, "f")

    def test_broken(self):
        self.refused("hello", "unknown record")
        self.refused("# smp", "fields are missing")
        for n_fields in range(1, 7):
            self.refused("\t".join(self.SAMPLE.split("\t")[:n_fields]), "fields are missing")
        self.refused(self.SAMPLE.replace("\t0\t", "\tx\t"), "int")
        self.refused(self.TEXT.splitlines()[-1], "stands above")

    def test_metrics(self):
        for value in ("nan", "inf", "-inf", "-7", "0", "1e999"):
            self.refused(self.SAMPLE.replace("ns=7", f"ns={value}"), "p99_ns=.* cannot be")
        self.refused(self.SAMPLE.replace("p99_ns", "p98_ns"), "p98_ns")
        self.refused(self.SAMPLE.replace("7", "seven"), "seven")
        self.refused(self.SAMPLE + "\tp99_ns=8", "each name once")

    def test_not_as_planned(self):
        self.refused(self.SAMPLE.replace("a=2", "a=3"), "other settings")
        self.refused(self.SAMPLE.replace("a=2", "-"), "other settings")
        for old, new in (("p1", "p2"), ("p1", "x"), ("w\t0", "w\t1"), ("\tw", "\tv")):
            self.refused(self.SAMPLE.replace(old, new), "no such sample")
        self.refused("ERROR\tp2\tw\t0\twhy", "no such sample")


class PlanTest(unittest.TestCase):
    """plan.txt is read as it was written; a line that is not whole or not true is named."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name
        self.path = os.path.join(self.folder, "plan.txt")
        design = tune_design.design_make({"a": [1, 2], "b": [0, 5]}, 2)
        head = {"seed": 1, "ms": 300, "blocks": 1, "levels": design.levels,
                "crossed": design.crossed, "points": design.points}
        order = tune_design.order_make(len(design.points), ["w"], 1, 1)
        self.plan = tune_plan.Plan(head, tune_design.plan_lines(design, order))
        tune_plan.write(self.folder, self.plan)

    def test_good(self):
        plan = tune_plan.load(self.folder)
        self.assertEqual(vars(plan), vars(self.plan))
        self.assertEqual(plan.settings["p0", "w", 0], {"a": 1, "b": 0})

    def refused(self, line, old, new):
        """That the file is refused when `old`, which stands in `line`, is replaced."""
        tune_plan.write(self.folder, self.plan)
        with open(self.path, encoding="utf-8") as file:
            lines = file.readlines()
        self.assertIn(old, lines[line - 1])
        lines[line - 1] = lines[line - 1].replace(old, new)
        with open(self.path, "w", encoding="latin-1") as file:
            file.writelines(lines)
        with self.assertRaisesRegex(tune_samples.Broken, f"^{self.path}:{line}: "):
            tune_plan.load(self.folder)

    def test_head(self):
        points = repr(self.plan.head["points"])
        for line, old, new in ((1, "seed", "sead"), (1, "1", "one"), (2, "300", "-300"),
                               (3, "1", "[1, 2"), (4, "[1, 2]", "[1]"), (4, "[1, 2]", "7"),
                               (4, "'a'", "7"), (5, "'a'", "'z'"), (6, points, "5"),
                               (6, points, "[]"), (6, points, "[5]"), (6, points, "[{'a': 1}]"),
                               (6, "'a': 2", "'a': 3"), (6, "[{'a': 1", "[{'a': 2")):
            self.refused(line, old, new)

    def test_lines(self):
        first, second = self.plan.lines[:2]
        for old, new in (("p", "q"), ("p", "p9"), (" w 0", ""), ("w 0", "w x"), ("a=", "a"),
                         ("b=", "c="), ("w", "\xff"), (first, "hello\n"), (first, "\n")):
            self.refused(7, old, new)
        self.refused(8, second, first)


class OptionsTest(unittest.TestCase):
    """An option out of its range is refused before anything is done, and the range is told."""

    def test_good(self):
        args = tune.arguments(["--weight=0", "--minutes=0.5", "--seed=0", "--", "--smp", "2"])
        self.assertEqual((args.weight, args.minutes, args.seed), (0, 0.5, 0))
        self.assertEqual(args.runner, ["--smp", "2"])

    def test_refused(self):
        tries = {"weight": ("5", "-1", "nan", "inf", "-inf", "x", ""), "ms": ("0", "1e3", "-5"),
                 "minutes": ("inf", "nan", "-inf", "0", "-3", "99999"), "blocks": ("0", "2.5"),
                 "seed": ("-1", "x", "9" * 30)}
        for name, texts in tries.items():
            for text in texts:
                said = io.StringIO()
                with contextlib.redirect_stderr(said), self.assertRaises(SystemExit) as refusal:
                    tune.arguments([f"--{name}={text}"])
                self.assertEqual(refusal.exception.code, 2)
                self.assertRegex(said.getvalue(), rf"--{name}: '{text}' is not .* from [\d.]+ to")


class MakeTest(unittest.TestCase):
    """What make hands on: `make tune` and `make stress` share names, not defaults."""

    def commands(self, *words):
        """What `make words` would run; targets that it makes by another make are left out."""
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith(("MAKE", "MFLAGS"))}
        return subprocess.run(["make", "-n", "MAKE=true", *words], text=True, env=environment,
                              capture_output=True, timeout=60).stdout

    def test_defaults(self):
        words = self.commands("tune")
        self.assertIn("tools/tune.py", words)
        self.assertNotRegex(words, "--(minutes|seed|weight)")
        self.assertNotRegex(self.commands("stress"), r"--(minutes|seed)\b")

    def test_given(self):
        given = "MINUTES=7", "SEED=3"
        self.assertIn("--minutes=7 --seed=3 --weight=-1 ",
                      self.commands("tune", *given, "WEIGHT=-1"))
        self.assertIn("--seed='3' --minutes='7' ", self.commands("stress", *given))
