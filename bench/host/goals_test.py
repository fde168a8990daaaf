#!/usr/bin/env python3
"""Tests of goals: planted hits, misses and cases on the border; what the tables, the page and the
driver make of them. Prints TAP. That bench/goals.conf speaks of cases that there are is tested when
the benchmark's path is given: goals_test.py build/bench/linux/bench
"""

import os
import re
import stat
import subprocess
import sys
import tempfile

import bench
import boots
import compare_test
import goals
import host_test
import profiles
import ratios
import report
import results

# Cathode's medians by boot; Linux has 1000 in each.
HIT, MISS = [90, 90, 90], [400, 400, 400]
ON_BORDER = [280, 310, 330]    # around 300: the goal of a system call, 0.3, is in the interval
UNDER_BORDER = [270, 295, 330]


def boot_of(system, medians, number, unit, cpus):
    lines = [f"# icount\t1\n# unit\t{unit}\n# guest.system\t{system} 1\n# guest.cpus\t{cpus}\n"]
    for (name, param), values in medians.items():
        lines.append(f"case\t{name}\t{unit}\tx\n")
        lines += [f"sample\t{name}\t{param}\t10\t{values[number]}\n"] * 5
    return results.parse("".join(lines).splitlines(True))


def run_of(cathode, unit="instructions", cpus=1):
    """Three boots of each; cathode is {(case, parameter): medians}."""
    linux = {key: [1000] * 3 for key in cathode}
    return boots.Boots({
        system: [boot_of(name, medians, number, unit, cpus) for number in range(3)]
        for system, name, medians in ((boots.CATHODE, "Cathode", cathode),
                                      (boots.LINUX, "Linux", linux))})


PLANTED = {("syscall.null", "-"): HIT, ("file.read", "bytes=1"): MISS, ("file.read", "bytes=65536"):
           [900, 900, 900], ("signal.deliver", "-"): ON_BORDER, ("open.close", "-"): UNDER_BORDER,
           ("storm.groups.threads", "-"): MISS}


def verdicts(run):
    return {key: (verdict.missed, verdict.unsure) for key, verdict in
            goals.verdicts(run, goals.load()).items()}


def test_verdicts():
    assert verdicts(run_of(PLANTED)) == {
        ("syscall.null", "-"): (False, False), ("file.read", "bytes=1"): (True, False),
        ("file.read", "bytes=65536"): (True, False), ("signal.deliver", "-"): (True, True),
        ("open.close", "-"): (False, True)}


def test_exactly_the_goal_is_a_hit():
    found = goals.verdicts(run_of({("syscall.null", "-"): [500] * 3}),
                           goals.Goals("[goal x]\ncases = *\nmost = 0.5001\nreason = x"))
    assert not found[("syscall.null", "-")].missed


def test_only_instructions_on_one_cpu():
    assert not verdicts(run_of(PLANTED, unit="ns"))
    assert not verdicts(run_of(PLANTED, cpus=2))
    for run in (run_of(PLANTED, unit="ns"), run_of(PLANTED, cpus=2)):
        assert "goal" not in ratios.text(run) and "goal" not in report.page(run)


def test_first_pattern_counts():
    table = goals.load()
    most = {param: table.of("fork.rss", f"rss_mib={param}").most for param in (64, 256, 1024)}
    assert most == {64: 0.1, 256: 0.001, 1024: 0.001}, most
    known = {"fork.exit": 0.1, "sh.true": 0.1, "ctx.yield.crowd": 0.25, "pipe.pass": 0.25,
             "futex.rtt.1cpu": 0.25, "thread.create": 0.25, "pf.cow": 0.2, "mmap.munmap": 0.2,
             "poll.fds": 0.3, "file.write": 0.3}
    assert {name: table.of(name, "-").most for name in known} == known
    assert all(table.of(name, "-") is None for name in
               ("cal.loop", "mem.copy", "storm.request", "timer.wake", "sched.wake", "scheme.rtt"))


def test_worst_parameter_first():
    misses = goals.missed(goals.verdicts(run_of(PLANTED), goals.load()))
    assert list(misses) == ["file.read", "signal.deliver"]
    assert [miss.row.param for miss in misses["file.read"]] == ["bytes=65536", "bytes=1"]


def test_table_says_it():
    text = ratios.text(run_of(PLANTED))
    cells = {line.split()[0]: line for line in text.partition("Misses its goal")[0].splitlines()
             if "." in line}
    assert cells["file.read"].endswith("0.3 MISSED") and cells["syscall.null"].endswith("0.3")
    assert cells["signal.deliver"].endswith("0.3 ~ MISSED")
    assert cells["open.close"].endswith("0.3 ~") and not cells["storm.groups.threads"].endswith("~")
    assert "Goals: 2 of 5 cases with a goal reach it" in text
    section = text.partition("Misses its goal")[2]
    assert "file.read 1 bytes: 0.4 (0.4 to 0.4), goal 0.3\n" in section
    assert re.search(r"signal.deliver: 0.31 \(.*\), goal 0.3, which the interval includes", section)
    assert "open.close" not in section and "syscall.null" not in section
    rows = [line.split("\t")[-2:] for line in ratios.ratios_tsv(run_of(PLANTED))]
    assert rows[1:4] == [["0.3", "no"], ["0.3", "yes"], ["0.3", "yes"]] and rows[-1] == ["-", "-"]


def test_why():
    table = goals.Goals("[case a]\nonce = f\nwhy = one\n  two.\n[case b]\nonce = g")
    assert goals.why_words(table, "a") == "one two."
    assert "Not explained" in goals.why_words(table, "b") == goals.why_words(table, "c")


# ---- the committed table ------------------------------------------------------------------------


def test_conf_knows_the_cases_of_program():
    """Every case and pattern is one of the program's; every case with a goal can be profiled."""
    listed = subprocess.run([sys.argv[1], "--list"], capture_output=True, text=True, check=True)
    table, names = goals.load(), {line.split()[0] for line in listed.stdout.splitlines()}
    assert set(table.cases) <= names, set(table.cases) - names
    for goal in table.goals:
        assert goal.reason and 0 < goal.most < 1
        for pattern in goal.patterns:
            assert any(goals.pattern_matches(pattern.partition(":")[0], name, "-")
                       for name in names), pattern
    judged = {name for name in names if table.of(name, "-") or table.of(name, "rss_mib=256")}
    assert all(table.known(name, "once") for name in judged), \
        [name for name in judged if not table.known(name, "once")]


# ---- profiles -----------------------------------------------------------------------------------

ITRACE = """#!{python}
import sys
print("ARGV|" + "|".join(sys.argv[1:]))
print("   294.0  1095  kernel <ring_enter>")
sys.stderr.write("{fault}")
sys.exit(1 if "{fault}" else 0)
"""


def profiles_of(run, folder, fault="", runner=()):
    profiles.ITRACE = os.path.join(folder, "itrace")
    with open(profiles.ITRACE, "w", encoding="utf-8") as file:
        file.write(ITRACE.format(python=sys.executable, fault=fault))
    os.chmod(profiles.ITRACE, stat.S_IRWXU)
    table = goals.load()
    profiles.make_all(folder, goals.verdicts(run, table), table, list(runner))
    return profiles.load(folder)


def test_profiles():
    runner = ["--smp", "1", "--mem", "1024", "--kernel", "k.elf", "--bootargs", "a=1 b=2"]
    with tempfile.TemporaryDirectory() as folder:
        made = profiles_of(run_of(PLANTED), folder, runner=runner)
    assert set(made) == {"file.read", "signal.deliver"}, set(made)
    for word in ("|--mem|1024|", "|--kernel|k.elf|", "|--bootargs|a=1 b=2|", "ring_enter",
                 "|--after|] file.read bytes=65536 ... |", "the case measured 900 an operation",
                 "--only=file.read --quick", "|--once|" + goals.load().known("file.read", "once")):
        assert word in made["file.read"], (word, made["file.read"])
    assert "smp" not in made["file.read"] and "] signal.deliver ... |" in made["signal.deliver"]


def test_profile_that_fails_is_said():
    with tempfile.TemporaryDirectory() as folder:
        made = profiles_of(run_of(PLANTED), folder, fault="itrace: nothing")
    assert "NO PROFILE: itrace: nothing" in made["file.read"]


def test_page_shows_profiles():
    run = run_of(PLANTED)
    with tempfile.TemporaryDirectory() as folder:
        run.folder = folder
        profiles_of(run, folder)
        os.unlink(profiles.path_of(folder, "signal.deliver"))
        text = report.page(run)
    page = compare_test.Page()
    page.feed(text)
    assert not page.open and "Misses its goal" in text and "&lt;ring_enter&gt;" in text
    assert text.count("No profile was made") == 1 and "2 of 5 cases with a goal" in text
    assert "<td>0.3 ~ MISSED</td>" in text


def test_driver():
    """A comparison makes the profiles, unless told not to."""
    for options, wanted in (((), True), (("--no-profiles",), False)):
        _, text, files, _ = compare_test.run_compare("--rounds", "1", *options, "--", "--smp", "1")
        assert any(name.startswith("profile-") for name in files) == wanted, sorted(files)
        assert ("profile 1 of " in text) == wanted, text
        assert "Misses its goal" in text


def test_itrace_has_the_options():
    """What is asked of tools/itrace.py, which is only run where there is a guest."""
    run = run_of(PLANTED)
    miss = goals.missed(goals.verdicts(run, goals.load()))["file.read"][0]
    profiles.ITRACE = os.path.join(bench.TREE, "tools", "itrace.py")
    argv = profiles.command(miss, "pread", ["--mem", "1", "--kernel", "/dev/null", "--bootargs",
                                            ""])
    done = subprocess.run([*argv, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and all(word in done.stdout for word in argv if word[:2] == "--")


def main():
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    if len(sys.argv) < 2:
        tests.remove(("test_conf_knows_the_cases_of_program", test_conf_knows_the_cases_of_program))
    tests.sort(key=lambda entry: "program" not in entry[0])  # others change sys.argv
    return host_test.run_all(dict(tests))


if __name__ == "__main__":
    sys.exit(main())
