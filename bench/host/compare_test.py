#!/usr/bin/env python3
"""Tests of comparisons on made-up boots: statistics against brute force and simulation, the driver
with a runner that breaks, table, pictures, JSON, page, and `make diff` with and without a planted
change. Prints TAP."""

import html.parser
import io
import json
import math
import os
import random
import stat
import statistics
import sys
import tempfile
import xml.etree.ElementTree as xml
from contextlib import redirect_stderr, redirect_stdout

import bench
import boots
import compare
import compare_plot
import diff
import estimate
import figures
import google
import host_test
import profiles
import ratios
import reference
import report
import results
import scaling

estimate.DRAWS = 100
CASES = [f"group{i % 4}.case{i}" for i in range(20)]
HEAD = ("# accel\ttcg\n# icount\t{icount}\n# times\temulated\n# host_cpu\tExample CPU\n"
        "# commit\t0123456789ab\n# date\t2000-01-01\n# unit\t{unit}\n"
        "# guest.system\t{system} 1\n# guest.cpus\t2\n# guest.tsc_hz\t1000000000\n")

# Answers as the system that it is told to boot, and writes down how it was called.
RUNNER = """#!{python}
import sys
if "--machine" in sys.argv:
    print("accel=tcg\\nverdict=asked for\\ntimes=emulated\\nicount={icount}")
    print("commit=0123456789ab\\nhost_cpu=X")
    sys.exit(0)
linux = "--image" in sys.argv
with open({calls!r}, "a") as file:
    file.write(("linux " if linux else "cathode ") + "|".join(sys.argv[1:]) + "\\n")
with open({calls!r}) as file:
    number = len(file.readlines())
value = 20 if linux else 10
print("# guest.system\\t" + ("Linux 6" if linux else "Cathode 1"))
print("# guest.cpus\\t1\\n# guest.tsc_hz\\t1000000000\\n# unit\\tinstructions")
for name, params in (("fork.rss", ("rss_mib=1", "rss_mib=64")), ("pf.scale.threads", ("cpus=1",
                     "cpus=2")), ("syscall.null", ("-",)), ("cal.loop", ("-",))):
    print("case\\t%s\\tinstructions\\tx" % name)
    for param in params:
        for k in range(7):
            print("sample\\t%s\\t%s\\t10\\t%d.%d" % (name, param, value, k))
print("case\\ttimer.wake\\tns\\tx")
for k in range(7):
    print("sample\\ttimer.wake\\t-\\t10\\t%d" % (1000 + k))
print("case\\tscheme.rtt\\tinstructions\\tx")
print("absent\\tscheme.rtt\\t-\\tLinux has no schemes" if linux
      else "sample\\tscheme.rtt\\t-\\t1\\t5.0")
sys.exit({status} if number == {at} else 0)
"""


def boots_made(rng, base, n_boots=5, between=0.02, within=0.02, slow=None, n=15):
    """Cathode in several boots; slow is {case: factor}."""
    runs = []
    for _ in range(n_boots):
        lines = [HEAD.format(icount=0, unit="ns", system="Cathode")]
        for case in CASES:
            boot = math.log(base) + rng.gauss(0, between)
            lines.append(f"case\t{case}\tns\tx\n")
            for _ in range(n):
                value = (slow or {}).get(case, 1) * math.exp(boot + rng.gauss(0, within))
                lines.append(f"sample\t{case}\t-\t10\t{value:.3f}\n")
        runs.append(results.parse("".join(lines).splitlines(True)))
    return boots.Boots({boots.CATHODE: runs})


def normal_boots(rng, n_boots, n, between, within):
    return [[math.exp(boot + rng.gauss(0, within)) for _ in range(n)]
            for boot in (rng.gauss(3, between) for _ in range(n_boots))]


# ---- statistics ---------------------------------------------------------------------------------


def test_student():
    """Against printed tables of Student's t."""
    known = ((1, 12.7062), (2, 4.3027), (4, 2.7764), (10, 2.2281), (120, 1.9799))
    for freedom, quantile in known:
        assert abs(estimate.t_quantile(0.975, freedom) - quantile) < 2e-4, freedom
    assert abs(estimate.t_tail(0, 5) - 0.5) < 1e-12 and estimate.t_tail(50, 30) < 1e-20


def test_resampled_medians():
    """The median drawn at one stroke is distributed as that of a resample."""
    rng = random.Random(1)
    for n in (1, 2, 5, 8, 31):
        values = sorted(rng.gauss(0, 1) for _ in range(n))
        quick = [estimate.median_drawn(rng, values) for _ in range(8000)]
        brute = [statistics.median(rng.choices(values, k=n)) for _ in range(8000)]
        for p in (0.1, 0.5, 0.9):
            a, b = (sorted(draws)[int(p * 8000)] for draws in (quick, brute))
            between = sum(min(a, b) <= v <= max(a, b) for v in values) - 1
            assert between <= 1, (n, p, a, b)
        assert abs(statistics.fmean(quick) - statistics.fmean(brute)) < 0.05, n


def test_coverage():
    """The 95 % interval of a true ratio of 1 includes 1 in at least 93 % of comparisons, whether
    boots differ or not."""
    rng = random.Random(2)
    for n_boots, between, within in ((5, 0.03, 0.03), (5, 0, 0.05), (3, 0.05, 0.01), (2, 0.02, 0)):
        hits = 0
        for _ in range(60):
            a, b = (estimate.Side(normal_boots(rng, n_boots, 11, between, within)) for _ in "ab")
            hits += estimate.ratio(a, b).includes_one
        assert hits >= 0.93 * 60, (n_boots, between, within, hits)


def test_ratio_by_hand():
    a = estimate.Side([[10.9, 11, 11.1], [12.2, 12, 11.9], [13, 12.9, 13.1]])
    b = estimate.Side([[23, 24, 25], [24, 24, 24], [24.1, 24, 23.9]])
    ratio = estimate.ratio(a, b)
    assert abs(math.exp(ratio.value) - 12 / 24) < 1e-9, math.exp(ratio.value)
    assert ratio.low < ratio.value < ratio.high and ratio.boots_vary and not ratio.includes_one
    same = estimate.ratio(estimate.Side([[5.0] * 9] * 3), estimate.Side([[5.0] * 9] * 3))
    assert same.includes_one and same.p == 1.0 and same.low == same.high == 0
    off = estimate.ratio(estimate.Side([[5.0] * 9] * 3), estimate.Side([[6.0] * 9] * 3))
    assert not off.includes_one and off.p == 0.0
    assert not estimate.ratio(estimate.Side([[5.0] * 9]), b).boots_vary


def test_boots_count():
    """More samples of the same boots do not make up for boots that differ."""
    rng = random.Random(3)
    few = estimate.Side(normal_boots(rng, 4, 11, 0.1, 0.01))
    many = estimate.Side(normal_boots(rng, 4, 1101, 0.1, 0.01))
    assert many.error > 0.2 * few.error


def test_oddities():
    rng = random.Random(4)
    calm = [[100 + rng.gauss(0, 1) for _ in range(31)] for _ in range(40)]
    assert sum(estimate.drift([boot]) for boot in calm) <= 2
    assert sum(map(estimate.two_modes, calm)) <= 1
    assert sum(map(estimate.outliers, calm)) <= 3
    sloped = [100 + 0.5 * k + rng.gauss(0, 1) for k in range(31)]
    assert estimate.drift([sloped])
    halves = [rng.choice((100, 120)) + rng.gauss(0, 1) for _ in range(31)]
    assert estimate.two_modes(halves)
    assert estimate.outliers(calm[0][:-1] + [200]) == estimate.outliers(calm[0][:-1]) + 1
    assert not estimate.two_modes([5.0] * 31) and not estimate.drift([[5.0] * 31])
    assert not estimate.two_modes(calm[0][:-1] + [200]), "an outlier is no mode"


# ---- the driver ---------------------------------------------------------------------------------


def run_compare(*options, icount=1, status=0, at=0):
    """compare.py with a made-up runner: (status, output, {file: bytes}, calls)."""
    with tempfile.TemporaryDirectory() as folder:
        calls = os.path.join(folder, "calls")
        bench.RUNNER = os.path.join(folder, "runner")
        with open(bench.RUNNER, "w", encoding="utf-8") as file:
            file.write(RUNNER.format(python=sys.executable, icount=icount, calls=calls,
                                     status=status, at=at))
        os.chmod(bench.RUNNER, stat.S_IRWXU)
        profiles.ITRACE = "true"  # what misses a goal is not looked at in a guest
        sys.argv = ["compare.py", "--results", folder, *options]
        out = io.StringIO()
        with redirect_stdout(out), redirect_stderr(out):
            answer = compare.main()
        latest, files = os.path.join(folder, "latest"), {}
        for name in sorted(os.listdir(latest)) if os.path.exists(latest) else []:
            with open(os.path.join(latest, name), "rb") as file:
                files[name] = file.read()
        with open(calls, encoding="utf-8") as file:
            return answer, out.getvalue(), files, file.read().splitlines()


def test_interleaved():
    status, text, files, calls = run_compare("--rounds", "2", "--only", "f*", "--linux-args",
                                             "mitigations=auto", "--", "--smp", "1", "--icount")
    assert status == 0, text
    assert [call.split()[0] for call in calls] == ["cathode", "linux"] * 2
    assert all("--smp|1|--icount" in call for call in calls), calls
    assert all("|--cmd|/bin/bench '--only=f*' --unit=instructions" in call for call in calls)
    assert "mitigations=auto" in calls[1] and "mitigations" not in calls[0]
    for word in ("boot 4 of 4: Linux, round 2", "Linux boot line: mitigations=auto",
                 "scheme.rtt: Linux has no schemes", "Noise floor, cal.loop"):
        assert word in text, (word, text)
    line = next(l for l in text.splitlines() if l.startswith("syscall.null"))
    assert abs(float(line.split()[3]) - 10.3 / 20.3) < 1e-3, line
    line = next(l for l in text.splitlines() if l.startswith("timer.wake"))
    assert ratios.SAME in line, line
    for name in ("machine.txt", "cathode-02.tsv", "linux-01.tsv", "compare.txt", "ratios.tsv",
                 "summary.tsv", "cathode.json", "linux.json", "ratio.svg", "fork-rss.png",
                 "fault-cpus.svg", "wake-cdf.svg", "latency.png", "cdf.png"):
        assert name in files, (name, sorted(files))
    assert b"linux.guest.system: Linux 6" in files["machine.txt"]


def test_pictures_say_where():
    _, _, files, _ = run_compare("--rounds", "2")
    for name in ("ratio.svg", "fork-rss.svg", "fault-cpus.svg", "wake-cdf.svg"):
        words = "".join(xml.fromstring(files[name]).itertext())
        for word in ("0123456789ab", "accelerator tcg", "Linux"):
            assert word in words, (name, word, words)
    assert "virtual time" in "".join(xml.fromstring(files["wake-cdf.svg"]).itertext())


def test_alone():
    status, text, files, calls = run_compare("--alone", "--rounds", "3")
    assert status == 0 and len(calls) == 3 and "Linux" not in text, text
    assert "cathode-03.tsv" in files and "linux.json" not in files and "summary.txt" in files


def test_default_line_is_for_linux():
    _, text, _, calls = run_compare("--rounds", "1")
    assert "mitigations=off" in calls[1] and "init_on_alloc=0" in text
    assert "ONE BOOT" in text


def test_broken_boot():
    status, text, files, calls = run_compare("--rounds", "3", status=125, at=3)
    assert status == 125 and len(calls) == 3 and "not complete" in text, text
    assert "compare.txt" in files
    status, _, _, calls = run_compare("--rounds", "3", status=1, at=3)
    assert status == 1 and len(calls) == 6, "a case that fails does not end the comparison"


# ---- what is written ----------------------------------------------------------------------------


def run_of_both():
    rng = random.Random(6)
    run, other = boots_made(rng, 100), boots_made(rng, 200)
    return boots.Boots({boots.CATHODE: run.runs[boots.CATHODE],
                        boots.LINUX: other.runs[boots.CATHODE]})


def test_google_layout():
    run = run_of_both()
    made = json.loads(json.dumps(google.document(run, boots.CATHODE), allow_nan=False))
    assert {"date", "num_cpus", "mhz_per_cpu", "library_build_type"} <= set(made["context"])
    assert len(made["benchmarks"]) == len(CASES) * (5 + 4)
    for entry in made["benchmarks"]:
        assert {"name", "run_name", "run_type", "iterations", "real_time", "cpu_time",
                "time_unit", "threads", "repetitions"} <= set(entry), entry
    middle = next(e for e in made["benchmarks"] if e["name"] == CASES[0] + "_median")
    assert middle["run_type"] == "aggregate" and 80 < middle["real_time"] < 120


class Page(html.parser.HTMLParser):
    """Collects tags and what they refer to."""

    def __init__(self):
        super().__init__()
        self.open, self.references = [], []

    def handle_starttag(self, tag, attrs):
        self.references += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


def test_page():
    with tempfile.TemporaryDirectory() as folder:
        run = run_of_both()
        run.folder = folder
        compare_plot.draw_all(run)
        text = report.page(run)
    page = Page()
    page.feed(text)
    assert not page.open and page.references
    assert all(reference.startswith("data:") for reference in page.references)
    assert all(f"<td>{case}</td>" in text for case in CASES)


def test_tsv_is_whole():
    run = run_of_both()
    for lines, fields in ((ratios.ratios_tsv(run), ratios.RATIO_FIELDS),
                          (ratios.summary_tsv(run), ratios.SUMMARY_FIELDS)):
        rows = [line.split("\t") for line in lines]
        assert all(len(row) == len(fields) for row in rows) and len(rows) > len(CASES)


def test_gaps_are_grouped():
    lines = list(ratios.grouped({("x", "n=1"): "a", ("x", "n=2"): "a", ("x", "n=4"): "b",
                                 ("y", "-"): "a"}))
    assert lines == ["  x n=1, 2: a", "  x n=4: b", "  y: a"], lines


# ---- diff ---------------------------------------------------------------------------------------


def verdicts(a, b):
    return {change.title: change.verdict for change in diff.changes(a, b, boots.CATHODE)}


def test_no_change_no_difference():
    """Twenty pairs of runs of the same thing: at most 1 in 20 shows any difference at all."""
    rng = random.Random(7)
    wrong = 0
    for _ in range(20):
        found = verdicts(boots_made(rng, 100, n=7), boots_made(rng, 100, n=7))
        wrong += any(verdict in (diff.BETTER, diff.WORSE) for verdict in found.values())
    assert wrong <= 1, wrong


def test_planted_change():
    rng = random.Random(8)
    slow = {CASES[3]: 1.25, CASES[9]: 0.75}
    found = verdicts(boots_made(rng, 100), boots_made(rng, 100, slow=slow))
    assert found[CASES[3]] == diff.WORSE and found[CASES[9]] == diff.BETTER, found
    told = [verdict for verdict in found.values() if verdict in (diff.BETTER, diff.WORSE)]
    assert len(told) == 2, found


def test_one_boot_is_unclear():
    rng = random.Random(9)
    found = verdicts(boots_made(rng, 100, n_boots=1), boots_made(rng, 150, n_boots=5))
    assert set(found.values()) == {diff.UNCLEAR}


def boot_text(boot):
    lines = [f"# {key}\t{value}\n" for key, value in boot.stamps.items()]
    for series in boot.series:
        lines.append(f"case\t{series.name}\tns\tx\n")
        lines += [f"sample\t{series.name}\t-\t10\t{v}\n" for v in series.values]
    return "".join(lines)


def run_write(folder, run):
    os.makedirs(folder)
    for number, boot in enumerate(run.runs[boots.CATHODE], 1):
        with open(os.path.join(folder, f"cathode-{number:02}.tsv"), "w", encoding="utf-8") as file:
            file.write(boot_text(boot))


def test_diff_program():
    rng = random.Random(10)
    with tempfile.TemporaryDirectory() as folder:
        a, b = (os.path.join(folder, name) for name in "ab")
        run_write(a, boots_made(rng, 100))
        run_write(b, boots_made(rng, 100, slow={CASES[5]: 1.3}))
        answers = []
        for pair in ((a, b), (a, a), (a, folder)):
            out = io.StringIO()
            with redirect_stdout(out), redirect_stderr(out):
                answers.append((diff.main(list(pair)), out.getvalue()))
    assert [status for status, _ in answers] == [1, 0, 2], answers
    assert "1 worse, 19 none found" in answers[0][1], answers[0][1]


# ---- the README's figures -----------------------------------------------------------------------

README = """# X

The run `results/made/`: long ago.

| operation | case | nanoseconds |
|---|---|---:|
| an op | `group0.case0` | 1 |
| none | `no.such` | 2 |

| other | case |
| x | `group1.case1` |
"""


def figures_of(run):
    return lambda name: figures.Figures(name, run)


def test_figures():
    run = run_of_both()
    out, faults = figures.corrected(README.splitlines(), figures_of(run))
    assert [number for number, _ in faults] == [3, 5, 6, 7, 8], faults
    assert "5 of Cathode and 5 of Linux" in out[2] and "accelerator tcg" in out[2], out[2]
    assert out[4] == figures.HEAD_LINES[0] and out[-1][:3] == "| x"
    assert figures.ROW.match(out[6])["words"] == "an op" and out[6].count("|") == 6, out[6]
    again, faults = figures.corrected(out, figures_of(run))
    assert again == out and faults == [(8, "the run has no such case")]
    assert figures.corrected(["no table"], figures_of(run))[1]


def test_figures_need_a_comparison():
    lines = README.splitlines()
    alone = boots.Boots({boots.CATHODE: run_of_both().runs[boots.CATHODE]})
    assert (3, "results/made is no comparison of both systems") in figures.corrected(
        lines, figures_of(alone))[1]
    assert "of which run?" in figures.corrected(lines[4:], figures_of(alone))[1][0][1]


def test_figures_ratio():
    """A changed ratio is a fault by itself, and so is a changed stamp."""
    run = run_of_both()
    out = figures.corrected(README.splitlines(), figures_of(run))[0]
    ratio = out[6].split("|")[-2].strip().split(" ")[0]
    assert abs(float(ratio) - 0.5) < 0.05, out[6]
    for number, old, new in ((6, ratio, "0.1"), (2, "QEMU", "KVM")):
        changed = [*out[:number], out[number].replace(old, new), *out[number + 1:]]
        faults = figures.corrected(changed, figures_of(run))[1]
        assert (number + 1) in [line for line, _ in faults], faults


# ---- the reference ------------------------------------------------------------------------------


def reference_made(folder, *argv):
    """reference.py with results/ in a folder: (status, what it said)."""
    reference.RESULTS = folder
    sys.argv = ["reference.py", *argv]
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        return reference.main(), out.getvalue()


def test_reference():
    with tempfile.TemporaryDirectory() as folder:
        run, readme = run_of_both(), os.path.join(folder, "README.md")
        for name in ("new", "alone", "reference"):
            run_write(os.path.join(folder, name), run)
        with open(os.path.join(folder, "new", "linux-01.tsv"), "w", encoding="utf-8") as file:
            file.write(boot_text(run.runs[boots.LINUX][0]))
        for name in reference.RUNS[reference.EXACT][1]:
            for suffix in ("png", "svg"):
                open(os.path.join(folder, "new", f"{name}.{suffix}"), "w", encoding="utf-8").close()
        with open(readme, "w", encoding="utf-8") as file:
            text = README.replace("made", "reference")
            file.write(text.replace("| none | `no.such` | 2 |\n", ""))
        status, said = reference_made(folder, f"--of=reference={folder}/alone", readme)
        assert status == 1 and "no comparison" in said, said
        assert not os.path.exists(os.path.join(folder, "reference", "linux-01.tsv"))
        status, said = reference_made(folder, f"--of=reference={folder}/new", readme)
        assert status == 0, said
        assert not figures.faults_of(readme, folder)
        assert "ratio.png" in os.listdir(os.path.join(folder, "reference"))
        os.remove(os.path.join(folder, "new", "ratio.png"))
        assert reference_made(folder, f"--of=reference={folder}/new", readme)[0] == 1


# ---- scaling ------------------------------------------------------------------------------------


def boot_of(system, costs):
    lines = [HEAD.format(icount=0, unit="ns", system=system)]
    for (name, cpus), value in costs.items():
        lines += [f"case\t{name}\tns\tx\n"] + [f"sample\t{name}\tcpus={cpus}\t9\t{value}\n"] * 5
    return results.parse("".join(lines).splitlines(True))


def test_scaling():
    """Of faults that take 300 ns more on two CPUs, 200 are the floor's: two thirds."""
    costs = {("pf.scale.threads", 1): 1000, ("pf.scale.threads", 2): 1300,
             ("cal.trap.scale.threads", 1): 400, ("cal.trap.scale.threads", 2): 600,
             ("mmap.scale.threads", 1): 50, ("mmap.scale.threads", 2): 50,
             ("pf.scale.processes", 1): 1000, ("pf.scale.processes", 2): 1010}
    run = boots.Boots({boots.CATHODE: [boot_of("Cathode", costs)] * 2})
    found = {row[0]: row[1:] for row in scaling.rows(run)}
    assert found["pf.scale.threads"] == ("2", "1.30 µs", "1.30", "2.17", "67 %"), found
    assert found["cal.trap.scale.threads"] == ("2", "600 ns", "1.50", "", ""), found
    assert found["pf.scale.processes"][3:] == ("", ""), "its floor was not measured"
    assert not list(scaling.lines(run_of_both()))
    both = boots.Boots({**run.runs, boots.LINUX: [boot_of("Linux", {})] * 2})
    assert scaling.rows(both)[0][-4:] == ("-", "-", "", "")


def main():
    return host_test.run_all({name: test for name, test in globals().items()
                              if name.startswith("test_")})


if __name__ == "__main__":
    sys.exit(main())
