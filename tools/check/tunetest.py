"""Tests of the sweep of scheduler parameters: its design, its statistics on samples with a planted
effect and with none, its pictures, sched.conf, guests that die or fall silent, and the workloads
themselves on this host."""

import contextlib
import io
import math
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import types
import unittest
import xml.etree.ElementTree as xml

sys.dont_write_bytecode = True
TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, TOOLS)
# pylint: disable=wrong-import-position
import tune
import tune_analysis
import tune_conf
import tune_design
import tune_plot
import tune_report
import tune_samples
import tune_stats
from tuneinputtest import MakeTest, OptionsTest, PlanTest, SamplesTest

LEVELS = {"slice_us": [3000, 1000], "steal": [1, 0], "alone": [5, 9]}
WORKLOADS = ["cyclic", "mixed"]
MACHINE = {"accel": "tcg", "icount": "0", "times": "emulated", "commit": "0123456789ab",
           "host_cpu": "Example_CPU {1} & 'more'", "guest.cpus": "2", "date": "2000-01-01",
           "guest.system": "Cathode 1"}
RUNNER = """#!{python}
import os, signal, sys, time
if "--machine" in sys.argv:
    print("accel=tcg\\nicount=0\\nsmp={smp}\\nsched=defaults\\ncommit=0123456789ab\\nhost_cpu=X")
    sys.exit(0)
with open(os.path.join(sys.argv[sys.argv.index("--add") + 1], "etc/tune.plan")) as file:
    lines = [line.split() for line in file]
print("# guest.cpus\\t2\\nworkload\\tcyclic\\ttext", flush=True)
for number, (point, workload, block, *settings) in enumerate(lines):
    if number == {stop_at}:
        if {interrupts}:
            os.kill(os.getppid(), signal.SIGTERM)
        print("sample\\tp0\\tcyc", end="", flush=True)
        time.sleep({sleep_s})
        sys.exit({status})
    print("begin", point, workload, block, sep="\\t")
    print("sample", point, workload, block, ",".join(settings), "1.0",
          "throughput_per_s=%d.5" % (100 + number), "p99_ns=5%d" % number, sep="\\t", flush=True)
print("end\\t1\\t0")
"""


def sweep_made(design, blocks, effect, seed, noise=0.1):
    """A Sweep with log-normal noise; effect(settings, workload, metric) is planted."""
    rng, sweep = random.Random(seed), tune_samples.Sweep()
    sweep.stamps = MACHINE
    for block in range(blocks):
        drift = rng.gauss(0, 0.3)
        for index, settings in enumerate(design.points):
            for workload in WORKLOADS:
                metrics = {metric: 1e6 * math.exp(drift + effect(settings, workload, metric)
                                                  + rng.gauss(0, noise))
                           for metric in tune_analysis.OBJECTIVES}
                key = (f"p{index}", workload, block)
                sweep.samples[key] = tune_samples.Sample(*key, settings, metrics)
    return sweep


def planted(settings, workload, metric):
    """35 % less p99 latency of cyclic with the short slice."""
    short = settings["slice_us"] == 1000
    return math.log(0.65) if short and workload == "cyclic" and metric == "p99_ns" else 0


def nothing(*_):
    return 0


def plan_made(*words):
    """(the plan that `make tune` makes with these options, what it said)."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        return tune.plan_make(tune.arguments(words), {}), said.getvalue()


def analysis_made(effect, blocks=8, seed=1):
    design = tune_design.design_make(LEVELS, 4)
    sweep = sweep_made(design, blocks, effect, seed)
    return tune_analysis.Analysis(sweep, design.levels, design.points), sweep


class ConfTest(unittest.TestCase):
    """sched.conf is read as it is written, and a bad line is named."""

    def test_good(self):
        text = "# why\nslice_us=1000  # short\n\n steal = 0\n"
        self.assertEqual(tune_conf.parse(text), {"slice_us": 1000, "steal": 0})
        self.assertEqual(tune_conf.boot_words({"a": 1, "b": 2}), "sched.a=1 sched.b=2")

    def test_bad(self):
        for line in ("slice_us", "slice_us=", "=1", "a=1 b=2", "a=-1", "a=1x", "A=1", "a=1\na=2"):
            with self.assertRaisesRegex(tune_conf.ConfError, r"f:\d: "):
                tune_conf.parse(line, "f")
        with self.assertRaisesRegex(tune_conf.ConfError, "SCHED=/nowhere"):
            tune_conf.load("/nowhere")

    def test_table(self):
        """What the kernel would refuse is refused before it boots, with the place and the range."""
        known = "there are slice_us, .*, idle_poll_us"
        takes = "slice_us takes 100 to 1000000 us$"
        for text, says in (("bonus=1\nbogus=1", "^{}:2: there is no parameter bogus; " + known),
                           ("\nslice_us=99", "^{}:2: slice_us=99: " + takes),
                           ("handoff=2", "^{}:1: handoff=2: handoff takes 0 to 1$"),
                           ("slice_us=18446744073709551716", takes)):
            with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
                file.write(text)
                file.flush()
                with self.assertRaisesRegex(tune_conf.ConfError, says.format(file.name)):
                    tune_conf.load(file.name)
        ends = [(name, end) for name, row in tune_conf.table().items() for end in row[:2]]
        tune_conf.bootargs_check(" ".join(f"sched.{name}={end}" for name, end in ends))

    def test_bootargs(self):
        for words in ("", "-- sched.bonus=99", "x=1 sched.slice_us=0x3e8  sched.bonus=007 -- ls"):
            tune_conf.bootargs_check(words)
        for words, says in (("sched.slice_us=99", "takes 100 to"), ("sched.x=1", "no parameter"),
                            ("a=1 sched.bonus", "not a number"), ("sched.bonus=+", "not a number"),
                            ("sched.bonus=", "not a number")):
            with self.assertRaisesRegex(tune_conf.ConfError, f"^BOOTARGS: .*{says}"):
                tune_conf.bootargs_check(words)

    def test_stamp(self):
        self.assertEqual(tune_conf.stamp("x=1 sched.a=2 sched.b=3 -- sched.c=4"), "a=2 b=3")
        self.assertEqual(tune_conf.stamp("-- sched"), "defaults")
        self.assertEqual(tune_conf.stamp("-- sched.a=1"), "defaults")
        self.assertEqual(tune_conf.stamp("sched.a=2 sched.b=0x10 sched.a=3"), "a=3 b=16")


class DesignTest(unittest.TestCase):
    """What is measured, and in which order."""

    PARAMS = [tune_design.Param("a", 10, 1, 100), tune_design.Param("b", 1, 0, 1),
              tune_design.Param("new", 0, 0, 10000), tune_design.Param("fixed", 3, 3, 3)]

    def test_levels(self):
        grid = {"a": [5, 200, 20], "gone": [1, 2], "b": [0, 1]}
        levels, notes = tune_design.levels_choose(self.PARAMS, grid)
        self.assertEqual(levels, {"a": [10, 5, 20], "b": [1, 0], "new": [0, 100]})
        self.assertTrue(any("gone" in note for note in notes) and any("200" in n for n in notes))

    def test_asked(self):
        asked = tune_design.levels_asked(self.PARAMS, ["a=5,20", "b", "new"], {"b": [0]})
        self.assertEqual(asked, {"a": [10, 5, 20], "b": [1, 0], "new": [0, 100]})
        for word in ("nope=1", "nope", "a=", "a=x", "a=0", "a=10", "fixed"):
            with self.assertRaises(tune_design.DesignError, msg=word):
                tune_design.levels_asked(self.PARAMS, [word], {})

    def test_points(self):
        design = tune_design.design_make(LEVELS, 4)
        self.assertEqual(design.crossed, ["slice_us", "steal"])
        self.assertEqual(design.points[0], {"slice_us": 3000, "steal": 1, "alone": 5})
        contexts = [(p["slice_us"], p["steal"]) for p in design.points if p["alone"] == 9]
        self.assertEqual(sorted(contexts), [(1000, 1), (3000, 0), (3000, 1)])
        self.assertEqual(len({tuple(point.items()) for point in design.points}), 4 + 3)

    def test_blocks(self):
        """Of 66 comparisons that with the fewest pairs, 3 a block, can tell by 12."""
        design = tune_design.design_make({"a": [0, *range(1, 32)], "b": [0, 1], "c": [0, 1]}, 4)
        self.assertEqual(len(design.changes()), 33)
        self.assertEqual(tune_stats.pairs_needed(2 * 33), 12)
        self.assertEqual(design.blocks_least(2), 12 // 3)
        self.assertEqual(tune_design.blocks_count(100, 10, 12), 12)
        self.assertEqual(tune_design.blocks_count(200, 10, 12), 20)

    def test_order(self):
        order = tune_design.order_make(5, WORKLOADS, 3, 42)
        self.assertEqual(order, tune_design.order_make(5, WORKLOADS, 3, 42))
        self.assertNotEqual(order, tune_design.order_make(5, WORKLOADS, 3, 43))
        for block in range(3):
            pairs = order[10 * block:10 * block + 10]
            self.assertEqual({entry[0] for entry in pairs}, {block})
            self.assertEqual(len({entry[1:] for entry in pairs}), 10)

    def test_sweep_conf(self):
        workloads, grid = tune_design.conf_read(tune.SWEEP_CONF)
        self.assertTrue(workloads and grid)


class StatsTest(unittest.TestCase):
    """Against tables and by simulation with fixed seeds."""

    def test_signed_rank(self):
        self.assertEqual(tune_stats.signed_rank_p([1, 2, 3, 4, 5]), 2 / 32)
        self.assertEqual(tune_stats.signed_rank_p([1, -2, 3, -4, 5, -6]), 0.84375)
        self.assertEqual(tune_stats.signed_rank_p([0, 0]), 1)
        exact = tune_stats.rank_sum_p(2000, 100)
        most, tune_stats.EXACT_MOST = tune_stats.EXACT_MOST, 10
        normal = tune_stats.rank_sum_p(2000, 100)
        tune_stats.EXACT_MOST = most
        self.assertAlmostEqual(exact, normal, 3)

    def test_ranks(self):
        """Critical values of the table of the signed rank test, two-sided 5 %."""
        table = {6: 0, 8: 3, 10: 8, 15: 25, 20: 52, 25: 89}
        for n, critical in table.items():
            self.assertEqual(tune_stats.interval_rank(n), critical + 1, n)

    def test_holm(self):
        self.assertEqual(tune_stats.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])

    def test_visible(self):
        """What is said to be seen rather than missed is, and little less is not."""
        rng = random.Random(8)
        for n, n_comparisons in ((18, 210), (16, 14)):
            p = tune_stats.ALPHA / n_comparisons
            shift, seen = tune_stats.visible(n, p), {0.6: 0, 1: 0}
            for part in seen:
                for _ in range(300):
                    values = [rng.gauss(part * shift, 1) for _ in range(n)]
                    seen[part] += tune_stats.signed_rank_p(values) <= p
            self.assertTrue(seen[0.6] < 100 and 150 <= seen[1] < 220, (n, seen))
        self.assertEqual(tune_stats.visible(12, tune_stats.ALPHA / 210), math.inf)

    def test_coverage(self):
        rng, covered = random.Random(5), 0
        for _ in range(600):
            c = tune_stats.compare([0.2 + rng.gauss(0, 1) * rng.choice((1, 4)) for _ in range(12)])
            covered += c.low <= 0.2 <= c.high
        self.assertGreaterEqual(covered, 0.94 * 600)

    def test_spread(self):
        rng = random.Random(6)
        groups = [[10 * g + rng.gauss(0, 2) for _ in range(5)] for g in range(300)]
        self.assertAlmostEqual(tune_stats.spread(groups), 2, delta=0.3)
        self.assertIsNone(tune_stats.spread([[1], [2]]))


class AnalysisTest(unittest.TestCase):
    """A planted effect is found, and none where there is none."""

    def test_planted_effect(self):
        analysis, _ = analysis_made(planted)
        found = [e for e in analysis.effects() if e.verdict == "matters"]
        self.assertEqual([(e.name, e.objective) for e in found],
                         [("slice_us", ("cyclic", "p99_ns"))])
        c = found[0].comparison
        self.assertTrue(c.low < math.log(0.65) < c.high < -0.3)
        self.assertEqual(analysis.choose()[0], {"slice_us": 1000})
        self.assertAlmostEqual(analysis.noise()["cyclic", "p99_ns"], 0.32, delta=0.15)

    def test_choice_in_steps(self):
        """What is good only together with what was chosen before is found."""
        def together(settings, workload, metric):
            if settings["slice_us"] == 3000 or metric != "p99_ns":
                return 0.3 if settings["steal"] == 0 and metric == "p99_ns" else 0
            return -1.5 if settings["steal"] == 0 else -1
        analysis, _ = analysis_made(together)
        self.assertEqual(analysis.choose()[0], {"slice_us": 1000, "steal": 0})

    def test_null_parameter(self):
        """Forty sweeps of nothing: at 5 % a family, two are expected to see something."""
        seen = 0
        for seed in range(40):
            analysis, _ = analysis_made(nothing, seed=seed)
            seen += any(e.verdict == "matters" for e in analysis.effects())
        self.assertLessEqual(seen, 5)

    def test_few(self):
        analysis, _ = analysis_made(planted, blocks=1)
        self.assertEqual({e.verdict for e in analysis.effects()}, {"few"})

    def test_incomplete(self):
        """Half a sweep is analysed as far as it goes."""
        analysis, sweep = analysis_made(planted)
        for key in random.Random(3).sample(sorted(sweep.samples), len(sweep.samples) // 2):
            del sweep.samples[key]
        half = tune_analysis.Analysis(sweep, analysis.levels, analysis.points)
        text = tune_report.statement(half, sweep, "machine")
        self.assertIn("slice_us", text)

    def test_front(self):
        places = {"a": (1, 1), "b": (2, 2), "c": (1, 2), "d": (0, 3)}
        self.assertEqual(tune_analysis.front_of(places), {"a", "b"})

    def test_words(self):
        shown = [tune_analysis.percent(math.log(v)) for v in (0.65, 1.12, 1.034, 1, 0.9999)]
        self.assertEqual(shown, ["-35 %", "+12 %", "+3.4 %", "0 %", "0 %"])
        analysis, sweep = analysis_made(planted)
        text = tune_report.statement(analysis, sweep, "machine")
        self.assertRegex(text, r"cyclic +p99 latency +-3\d % \[-\d+, -\d+\] +from 3000 to 1000")
        self.assertRegex(text, r"steal\n    within noise")
        conf = tune_report.sched_conf(analysis, "machine", "x")
        self.assertEqual(tune_conf.parse(conf), {"slice_us": 1000})
        analysis, _ = analysis_made(nothing)
        self.assertEqual(tune_conf.parse(tune_report.sched_conf(analysis, "m", "x")), {})

    def pictures(self, analysis, sweep):
        """{name: bytes} of those that are drawn."""
        with tempfile.TemporaryDirectory() as folder:
            paths, out = tune_plot.draw_all(analysis, ["slice_us", "steal"], sweep, folder), {}
            for path in paths:
                with open(path, "rb") as file:
                    out[os.path.basename(path)] = file.read()
        return out

    def test_pictures(self):
        """One of each crossed pair, a sheet of each crossed one with what varied alone."""
        pictures = self.pictures(*analysis_made(planted))
        names = ("heat-slice_us-steal", "heat-slice_us", "heat-steal", "pareto")
        self.assertEqual(set(pictures), {f"{n}.{kind}" for n in names for kind in ("svg", "png")})
        for name, data in pictures.items():
            if name.endswith(".png"):
                self.assertTrue(data.startswith(b"\x89PNG") and len(data) > 5000)
            else:
                self.assertIn("0123456789ab", "".join(xml.fromstring(data).itertext()))
        words = " ".join(xml.fromstring(pictures["heat-steal.svg"]).itertext())
        self.assertIn("alone: p99 latency", words)

    def test_pictures_partial(self):
        """A sweep that was cut short is drawn as far as it came."""
        analysis, sweep = analysis_made(planted, blocks=1)
        for key in [key for key in sweep.samples if key[0] != "p0" and key[1] == "mixed"]:
            del sweep.samples[key]
        cut = tune_analysis.Analysis(sweep, analysis.levels, analysis.points)
        self.assertEqual(set(self.pictures(cut, sweep)), {
            f"{name}.{kind}" for name in ("heat-slice_us-steal", "pareto")
            for kind in ("svg", "png")})

    def test_pictures_flat(self):
        """Settings that are all alike, as counted instructions can be, have an axis, too."""
        design = tune_design.design_make(LEVELS, 4)
        sweep = sweep_made(design, 2, nothing, 1, noise=0)
        flat = tune_analysis.Analysis(sweep, design.levels, design.points)
        self.assertIn("pareto.png", self.pictures(flat, sweep))


class PowerTest(unittest.TestCase):
    """The plans that are made unless told otherwise can tell what they are for."""

    def analysis(self, plan, effect):
        """Of a sweep with noise of 5 %."""
        design = tune_design.Design(*(plan.head[key] for key in ("levels", "crossed", "points")))
        sweep = sweep_made(design, plan.head["blocks"], effect, 1, noise=0.05)
        return tune_analysis.Analysis(sweep, design.levels, design.points), sweep

    def test_default(self):
        """Of one that varies alone, 20 % in one load is seen; the plan takes about ten minutes."""
        def effect(settings, workload, metric):
            changed = settings[name] == levels[name][1]
            return math.log(1.2) if changed and (workload, metric) == ("mixed", "p99_ns") else 0
        plan, _ = plan_made()
        seconds = len(plan.lines) * tune.sample_seconds(plan.head["ms"])
        self.assertTrue(500 < seconds < 720, seconds)
        levels = plan.head["levels"]
        for name in [n for n in levels if n not in plan.head["crossed"]][::6]:
            analysis, _ = self.analysis(plan, effect)
            effects = analysis.effects()
            self.assertNotIn("few", {e.verdict for e in effects + analysis.score_effects()})
            self.assertEqual([(e.name, e.after, e.objective) for e in effects
                              if e.verdict == "matters"],
                             [(name, levels[name][1], ("mixed", "p99_ns"))])

    def test_quick(self):
        """It can tell of two parameters, and says that it tells nothing of the others."""
        plan, said = plan_made("--quick")
        self.assertIn("slice_us and wake_policy, two values each; nothing is said of ", said)
        analysis, sweep = self.analysis(plan, nothing)
        self.assertEqual({e.verdict for e in analysis.effects()}, {"noise"})
        sweep.stamps = {**MACHINE, "param.slice_us": "3000", "param.bonus": "10"}
        text = tune_report.statement(analysis, sweep, "machine")
        self.assertIn("Not varied, so nothing is said of 1 parameter\n    bonus\n", text)
        self.assertRegex(text, r"mixed +p99 latency +\d\d? % +16 pairs show \+\d")

    def test_short(self):
        plan, said = plan_made("--minutes=1", "--param=slice_us", "--param=bonus", "--ms=500")
        self.assertGreater(plan.head["blocks"], tune_design.BLOCKS_LEAST)
        self.assertIn("they take longer than 1 minute", said)


class DriverTest(unittest.TestCase):
    """tune.py with a runner that answers as a guest would, dies, or falls silent."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder, self.was = scratch.name, (tune.PROGRAM, tune.bench.RUNNER, tune.STALL_S,
                                               tune.arguments)
        self.addCleanup(self.restore)
        tune.PROGRAM = tune.bench.RUNNER = os.path.join(self.folder, "runner")
        tune.kernel_of = lambda runner: __file__

    def restore(self):
        tune.PROGRAM, tune.bench.RUNNER, tune.STALL_S, tune.arguments = self.was
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    def run_tune(self, stop_at=-1, status=0, sleep_s=0, smp=2, interrupts=False, **options):
        """(status, what was said, the sweep's folder)."""
        with open(tune.bench.RUNNER, "w", encoding="utf-8") as file:
            file.write(RUNNER.format(python=sys.executable, stop_at=stop_at, status=status,
                                     sleep_s=sleep_s, smp=smp, interrupts=interrupts))
        os.chmod(tune.bench.RUNNER, stat.S_IRWXU)
        tune.file_id = lambda path: "same"
        args = types.SimpleNamespace(**{
            "quick": False, "param": ["slice_us=1000,3000"], "workload": ["cyclic"], "blocks": 3,
            "minutes": None, "ms": 1, "seed": 4, "weight": 0.5, "results": self.folder,
            "resume": "", "report": "", "runner": [], **options})
        tune.arguments = lambda: args
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            answer = tune.main()
        made = [name for name in os.listdir(self.folder) if name.startswith("tune-")]
        return answer, said.getvalue(), os.path.join(self.folder, made[0]) if made else None

    def test_progress(self):
        """What differs from the base, and how long it takes."""
        progress = tune.Progress(0, 60, 2, {"a": 1, "b": 2})
        fields = "sample\tp1\tmixed\t0\ta=1,b=3\t1.0\tn=9\tp99_ns=5".split("\t")
        self.assertEqual(progress.line(fields, progress.left_s(0)),
                         "[   0/60] 2:00 left  mixed, b=3: p99_ns=5")

    def samples(self, folder):
        return len(tune_samples.load(os.path.join(folder, "samples.tsv")).samples)

    def test_whole(self):
        status, said, folder = self.run_tune()
        self.assertEqual((status, self.samples(folder)), (0, 6), said)
        self.assertTrue({"plan.txt", "samples.tsv", "statement.txt", "sched.conf", "pareto.png"}
                        <= set(os.listdir(folder)))

    def test_death_and_resume(self):
        status, said, folder = self.run_tune(stop_at=4, status=125)
        self.assertEqual((status, self.samples(folder)), (125, 4), said)
        self.assertIn("4 samples are kept", said)
        self.assertIn("status 125, while taking: p", said)
        path = os.path.join(folder, "samples.tsv")
        with open(path, "a", encoding="utf-8") as file:
            file.write("sample\tp0\tcyclic\t2\tsl")  # as a cut-off write leaves it
        status, said, _ = self.run_tune(resume=folder, smp=4)
        self.assertEqual(status, 1)
        self.assertIn("begun with smp 2, now it is 4", said)
        status, said, _ = self.run_tune(resume=folder)
        self.assertEqual((status, self.samples(folder)), (0, 6), said)
        self.assertIn("2 of 6 samples to take", said)
        status, said, _ = self.run_tune(resume=folder)
        self.assertEqual(status, 0)
        self.assertIn("there already", said)

    def test_silence(self):
        tune.STALL_S = 0.3
        status, said, folder = self.run_tune(stop_at=2, sleep_s=30)
        self.assertEqual(status, 124, said)
        self.assertLessEqual(self.samples(folder), 2)
        self.assertIn("nothing came from the guest", said)

    def test_interrupted(self):
        status, said, folder = self.run_tune(stop_at=3, sleep_s=30, interrupts=True)
        self.assertEqual(status, 130, said)
        self.assertLessEqual(self.samples(folder), 3)
        self.assertIn("make tune RESUME=", said)
        status, said, _ = self.run_tune(resume=folder)
        self.assertEqual((status, self.samples(folder)), (0, 6), said)

    def test_unknown_parameter(self):
        status, said, folder = self.run_tune(param=["nowhere=1,2"])
        self.assertEqual((status, folder), (1, None))
        self.assertIn("no such parameter", said)


class WorkloadTest(unittest.TestCase):
    """The guest's program on this host: every workload does what it should."""

    PROGRAM = "build/bench/linux/tune"

    def run_plan(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".plan") as plan:
            plan.write(text)
            plan.flush()
            return subprocess.run([self.PROGRAM, f"--plan={plan.name}", "--ms=60"], text=True,
                                  capture_output=True, timeout=60)

    def test_all(self):
        workloads, _ = tune_design.conf_read(tune.SWEEP_CONF)
        run = self.run_plan("".join(f"p0 {name} 0\n" for name in workloads))
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        sweep = tune_samples.parse(run.stdout)
        self.assertEqual(set(sweep.workloads), set(workloads))
        self.assertEqual(len(sweep.samples), len(workloads))
        self.assertTrue(all(set(sample.metrics) & set(tune_analysis.OBJECTIVES)
                            for sample in sweep.samples.values()))

    def test_refused(self):
        for text, words in (("p0 nowhere 0\n", "no workload"), ("p0 cyclic\n", ":1: a line is"),
                            ("p0 cyclic 0 x=1\n", "no such parameter"), ("p0 cyclic 0", "whole")):
            run = self.run_plan(text)
            self.assertEqual((run.returncode, run.stdout), (2, ""), run.stderr)
            self.assertIn(words, run.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-q"])
