#!/usr/bin/env python3
"""Tests of the host side on made-up records: reading, statistics, table, plots, broken runs.

Prints TAP. The statistics are compared with what the C program says of samples that it took itself
when its path is given: host_test.py build/bench/linux/bench
"""

import io
import os
import stat
import subprocess
import sys
import tempfile
import traceback
import xml.etree.ElementTree as xml
from contextlib import redirect_stderr, redirect_stdout

import bench
import plot
import results
import table

RECORDS = """\
# accel\ttcg
# times\temulated
# icount\t0
# host_cpu\tExample_CPU @ 2^4 {GHz} & 'more'
# commit\t0123456789ab
# date\t2000-01-01 00:00:00
# unit\tns
# guest.system\tCathode 1
# guest.cpus\t2
case\tcal.syscall\tns\ta system call
sample\tcal.syscall\t-\t100\t50.000
sample\tcal.syscall\t-\t100\t40.000
sample\tcal.syscall\t-\t100\t60.000
case\tfork.exit\tns\tfork
sample\tfork.exit\t-\t2\t20000.000
sample\tfork.exit\t-\t2\t20000.000
case\tfork.rss\tns\tfork with memory
sample\tfork.rss\trss_mib=1\t2\t30000.000
sample\tfork.rss\trss_mib=64\t2\t900000.000
case\tcal.ipi\tns\tan interrupt
absent\tcal.ipi\t-\tthis machine has one CPU
"""
FAILING = RECORDS + "ERROR\tpf.cow\t-\t3 of 4 operations took effect\n"

RUNNER = """#!{python}
import sys
if "--machine" in sys.argv:
    print("accel=tcg\\nverdict=asked for\\ntimes=emulated\\nicount={icount}")
    print("commit=0123456789ab\\nhost_cpu=X")
    sys.exit(0)
with open({argv!r}, "w") as file:
    file.write("\\n".join(sys.argv[1:]))
sys.stdout.write({records!r})
sys.exit({status})
"""


def counted(text):
    """The same records as of a run that counts instructions."""
    return text.replace("unit\tns", "unit\tinstructions").replace("\tns\t", "\tinstructions\t")


def parsed(text):
    return results.parse(text.splitlines(True))


def test_reading():
    run = parsed(FAILING)
    assert [s.title for s in run.series] == ["cal.syscall", "fork.exit", "fork.rss 1 MiB",
                                             "fork.rss 64 MiB"]
    assert run.floor == 50 and run.emulated and run.system == "Cathode"
    assert run.missing == [("cal.ipi", "-", "this machine has one CPU")]
    assert run.errors[0][0] == "pf.cow"


def test_broken_records():
    for line in ("sample\tx\t-\t1", "sample\tx\t-\t1\tmuch", "hello", "summary\tx\t-\t3"):
        try:
            parsed(RECORDS + line + "\n")
        except results.Broken as error:
            assert "line 22" in str(error), error
        else:
            raise AssertionError(f"{line!r} was accepted")


def test_statistics():
    series = results.Series("x", "-")
    series.ordered = series.values = [10.0, 20.0, 30.0, 40.0, 50.0]
    assert series.median == 30 and abs(series.quantile(0.95) - 48) < 1e-9
    ranks = {1: 1, 5: 1, 6: 1, 9: 2, 11: 2, 20: 6, 31: 10, 50: 18, 100: 40}
    assert all(results.median_rank(n) == k for n, k in ranks.items())


def test_quantities():
    shown = [results.quantity(v, "ns") for v in (0.5, 99.94, 1000, 12345, 2.5e6, 3e9)]
    assert shown == ["0.50 ns", "99.9 ns", "1.00 µs", "12.3 µs", "2.50 ms", "3.00 s"], shown
    assert results.quantity(251000, "instructions") == "251,000"


def test_table():
    text = table.text(parsed(FAILING))
    assert "EMULATED TIMES" in text and "FAILED" in text and "one CPU" in text
    line = next(l for l in text.splitlines() if l.startswith("fork.exit"))
    assert line.split()[1:3] == ["20.0", "µs"] and line.endswith(" 400"), line
    exact = table.text(parsed(counted(RECORDS)))
    assert "EMULATED" not in exact and "exact" in exact
    rows = [line.split("\t") for line in table.tsv(parsed(RECORDS))]
    assert all(len(row) == len(table.TSV_FIELDS) for row in rows) and len(rows) == 5


def test_times_among_instructions():
    """A case that sleeps is a time also in a run that counts instructions."""
    run = parsed(counted(RECORDS) + "case\ttimer.wake\tns\tlateness\n"
                 "sample\ttimer.wake\t-\t1\t4321.0\n")
    assert [s.name for s in run.odd] == ["timer.wake"] and not parsed(RECORDS).odd
    lines = table.text(run).splitlines()
    line = next(l for l in lines if l.startswith("timer.wake "))
    assert line.split()[1:3] == ["4.32", "µs"] and line.endswith(" -"), line
    assert any(l.startswith("timer.wake: virtual time") for l in lines)
    row = [r for r in table.tsv(run) if r.startswith("timer.wake")][0].split("\t")
    assert row[2] == "ns" and row[-1] == "-", row
    with tempfile.TemporaryDirectory() as folder:
        plot.draw_all(run, folder)
        words = {name: "".join(xml.parse(os.path.join(folder, name + ".svg")).getroot().itertext())
                 for name in ("latency", "cdf")}
    assert "timer.wake" not in words["latency"], "a time on an axis of instructions"
    assert "4.32 µs of virtual time" in words["cdf"], words["cdf"]


def test_plots():
    with tempfile.TemporaryDirectory() as folder:
        for records in (RECORDS, counted(RECORDS)):
            paths = plot.draw_all(parsed(records), folder)
            assert len(paths) == 6
        for path in paths:
            with open(path, "rb") as file:
                data = file.read()
            if path.endswith(".png"):
                assert data.startswith(b"\x89PNG") and len(data) > 5000, path
            else:
                words = "".join(xml.fromstring(data).itertext())
                assert "0123456789ab" in words and "2^4 {GHz} and 'more'" in words, words
                assert "fork.rss 64 MiB" in words or "fork-rss" in path, words


def test_no_plots_of_nothing():
    with tempfile.TemporaryDirectory() as folder:
        assert plot.draw_all(parsed("# unit\tns\n"), folder) == []


def run_bench(records, status, *options, icount=0):
    """bench.py with a runner that prints records: (status, output, files, runner's argv)."""
    with tempfile.TemporaryDirectory() as folder:
        bench.RUNNER = os.path.join(folder, "runner")
        argv_path = os.path.join(folder, "argv")
        with open(bench.RUNNER, "w", encoding="utf-8") as file:
            file.write(RUNNER.format(python=sys.executable, records=records, status=status,
                                     icount=icount, argv=argv_path))
        os.chmod(bench.RUNNER, stat.S_IRWXU)
        sys.argv = ["bench.py", "--results", folder, *options]
        out = io.StringIO()
        with redirect_stdout(out), redirect_stderr(out):
            answer = bench.main()
        latest = os.path.join(folder, "latest")
        files = sorted(os.listdir(latest)) if os.path.exists(latest) else []
        with open(argv_path, encoding="utf-8") as file:
            return answer, out.getvalue(), files, file.read().split("\n")


def test_good_run():
    status, text, files, argv = run_bench(RECORDS, 0, "--quick", "--only", "fork.*", "--",
                                          "--smp", "4")
    assert status == 0, text
    assert files == ["cdf.png", "cdf.svg", "fork-rss.png", "fork-rss.svg", "latency.png",
                     "latency.svg", "machine.txt", "samples.tsv", "summary.tsv", "summary.txt"]
    assert argv[-1] == "/bin/bench '--only=fork.*' --quick" and "4" in argv, argv


def test_icount_run():
    _, _, _, argv = run_bench(RECORDS, 0, icount=1)
    assert "--unit=instructions" in argv[-1], argv


def test_broken_run():
    status, text, files, _ = run_bench(RECORDS, 125)
    assert status == 125 and "not complete" in text and "summary.txt" in files, text
    status, text, files, _ = run_bench("", 123)
    assert status == 123 and "nothing was measured" in text and not files, text
    status, text, _, _ = run_bench("garbage\n", 0)
    assert status == 1 and "is no record" in text, text


def test_same_statistics_as_program():
    program = sys.argv[1]
    done = subprocess.run([program, "--quick", "--only=cal.*"], capture_output=True, text=True,
                          check=True)
    run = parsed(done.stdout)
    assert run.guest and len(run.guest) == len(run.series)
    for series in run.series:
        pairs = zip(series.summary(), run.guest[series.name, series.param])
        # samples are printed with three decimals
        assert all(abs(ours - theirs) < 0.002 for ours, theirs in pairs), series.name


def run_all(tests):
    """Runs {name: test}, prints TAP, answers the exit status."""
    failed = 0
    print(f"1..{len(tests)}")
    for number, (name, test) in enumerate(tests.items(), 1):
        try:
            test()
            print(f"ok {number} - {name[5:]}")
        except Exception:  # a test may fail in any way; each is a line of the plan
            failed += 1
            print(f"not ok {number} - {name[5:]}")
            print("\n".join("# " + line for line in traceback.format_exc().splitlines()))
    return 1 if failed else 0


def main():
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    if len(sys.argv) < 2:
        tests.remove(("test_same_statistics_as_program", test_same_statistics_as_program))
    tests.sort(key=lambda entry: "program" not in entry[0])  # others change sys.argv
    return run_all(dict(tests))


if __name__ == "__main__":
    sys.exit(main())
