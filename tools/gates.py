#!/usr/bin/env python3
"""make gates: proves that each gate can fail.

For each fault below, it is planted in a copy of the tree, the check that must refuse it is run
there, and it must fail with the expected words. First the untouched copy must pass every check
that is used: a gate that always fails proves nothing. The closing line is `N passed, N failed`.
"""

import os
import shutil
import subprocess
import sys
import tempfile

COPIED = ("Makefile", ".clang-format", "README.md", "kernel", "user", "bench", "tools", "docs",
          "build", "results/reference")
TEST_HEAD = '#include "lib/tap.h"\nint main(void) {\n'
LONG_FUNCTION = "int gate_f(int a);\nint gate_f(int a) {\n" + "  a++;\n" * 60 + "  return a;\n}\n"
UNBALANCED = ('#include "base/lock.h"\n\nstruct spinlock gate_lock;\nvoid gate_f(void);\n'
              "void gate_f(void) {\n  spin_lock(&gate_lock);\n}\n")
CALLS = "```calls\nspin_unlock()\n  arch_relax()\n```\n"


class Fault:
    """Planted by writing `text` to `path` (appended if `append`), or by replacing `old` by it."""

    def __init__(self, check, words, path, text, append=False, old=None, arguments=()):
        self.check, self.words, self.path, self.text = check, words, path, text
        self.append, self.old, self.arguments = append, old, arguments

    def plant(self, top):
        path = os.path.join(top, self.path)
        text = self.text
        if self.append or self.old is not None:
            with open(path, encoding="utf-8") as file:
                before = file.read()
            if self.old is not None and self.old not in before:
                return f"{self.path} has no {self.old!r} to replace"
            text = before + text if self.append else before.replace(self.old, text, 1)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return None


def host_test(text, words, head="// test-sources:\n" + TEST_HEAD):
    path = "kernel/lib/gate_test.c"
    return Fault("hosttests", words, path, head + text + "}\n", arguments=(path,))


FAULTS = (
    Fault("includes", "lib (rank 1) includes mm (rank 5)", "kernel/lib/gate.c",
          '#include "mm/mm.h"\n'),
    Fault("includes", "is private to mm", "kernel/syscall/gate.c", '#include "mm/ptree_priv.h"\n'),
    Fault("includes", "is not freestanding", "kernel/mm/gate.c", "#include <stdio.h>\n"),
    Fault("includes", "only abi/ and lib/ of the kernel", "user/bin/gate.c",
          '#include "sched/sched.h"\n'),
    Fault("shape", "gate_f() has 63 lines", "kernel/lib/gate.c", LONG_FUNCTION),
    Fault("shape", "file of 601 lines", "kernel/lib/gate.c", "\n" * 601),
    Fault("shape", "conditional compilation", "kernel/lib/gate.c", "#ifdef GATE\n#endif\n"),
    Fault("shape", "line of 101 columns", "kernel/lib/gate.c", "/" * 101 + "\n"),
    Fault("shape", "1 exceptions, at most 0", "tools/check/exceptions.txt",
          "at-most 0\nshape kernel/x.c -- none\n"),
    Fault("docs", "gate_nowhere() is not in the code", "docs/gate.md",
          "`gate_nowhere" + "()`\n"),
    Fault("docs", "invariant [Z99] is not in the code", "docs/gate.md", "[Z" + "99]\n"),
    Fault("docs", "kernel/gate.c does not exist", "docs/gate.md", "`kernel/gate.c`\n"),
    Fault("docs", "there is no target gatenowhere", "docs/gate.md", "`make gatenowhere`\n"),
    Fault("docs", "spin_unlock() does not call arch_relax()", "docs/gate.md", CALLS),
    Fault("abidoc", "is not what the tables say", "docs/abi.md", "more\n", append=True),
    Fault("words", "note to oneself", "kernel/lib/gate.c", "/* TO" + "DO */\n"),
    Fault("words", "a machine's path", "kernel/lib/gate.c", "/* /ho" + "me/me2/x */\n"),
    Fault("format", "clang-format would change this line", "kernel/lib/gate.c", "int  x ;\n"),
    Fault("fuzz", "Bail out!", "kernel/sched/balance.c", "v->load[cpu] <= fewest",
          old="v->load[cpu] < fewest"),
    Fault("models", "FAIL  kernel/sched/model/idle.pml", "kernel/sched/model/idle.pml",
          "buffer ! HALTED", old="atomic { empty(buffer) -> idle_state = HALTED } /* exchange */"),
    Fault("models", "PLAIN_HALT is not found out", "kernel/sched/model/idle.pml",
          "atomic { empty(buffer) -> idle_state = HALTED }", old="buffer ! HALTED"),
    Fault("scripts", "syntax error", "tools/gate.py", '"""A tool."""\nif\n'),
    Fault("scripts", "no docstring", "tools/gate.py", "import os\n"),
    Fault("scripts", "tools/gate.sh", "tools/gate.sh", "#!/bin/sh\n# A tool.\nif\n"),
    host_test("  tap_plan(1);\n  tap_ok(1 > 2, \"order\");\n  return tap_done();\n", "not ok 1"),
    host_test("  tap_plan(2);\n  tap_ok(true, \"one\");\n  return 0;\n", "planned 2, passed 1"),
    host_test("  return 0;\n", "planned nothing"),
    host_test("  volatile int a[2] = {0};\n  volatile int i = 2;\n  tap_plan(1);\n  return a[i];\n",
              "runtime error: index 2 out of bounds"),
    host_test("  char *volatile p = malloc(4);\n  tap_plan(1);\n  free(p);\n  return p[1];\n",
              "AddressSanitizer: heap-use-after-free"),
    host_test("  return 0;\n", "the first line must be", head=TEST_HEAD),
    Fault("compilers", "gcc:", "kernel/base/panic.c", "static int gate_unused;\n", append=True),
    Fault("compilers", "'gate_lock' is still held", "kernel/base/gate.c", UNBALANCED),
    Fault("compilers", "not in the build", "kernel/lib/deep/gate.c", "int gate;\n"),
    Fault("compilers", "compiled without -Werror", "Makefile", "-Wextra -Wshadow",
          old="-Wextra -Werror -Wshadow"),
    Fault("toolstest", "test_truncated", "tools/mkinitfs.py", "if False:",
          old="if len(data) < PAGE:"),
    Fault("tunetest", "test_null_parameter", "tools/tune_stats.py", "ps[index])",
          old="ps[index] * (len(ps) - place))"),
    Fault("figures", "the reference run says", "README.md", "| operation | case | instructions |\n"
          "|---|---|---:|\n| gate | `syscall.null` | 1 |\n", append=True),
    Fault("tunetest", "test_planted_effect", "tools/tune_analysis.py", "p >= tune_stats.ALPHA else",
          old="p <= tune_stats.ALPHA else"),
    Fault("toolstest", "test_totals", "tools/timeline.py", "WHY_BLOCK, WHY_EXIT = 1, 3",
          old="WHY_BLOCK, WHY_EXIT = 2, 3"),
    Fault("runner", "expected 125", "tools/vm.py", 'if panic == "never":',
          old="if panic is not None or status == EXIT_STATUS_PANIC:"),
)


def check_run(top, check, arguments=()):
    return subprocess.run([sys.executable, f"tools/check/{check}.py", *arguments], cwd=top,
                          capture_output=True, text=True)


def tree_copy(top):
    for name in COPIED:
        if os.path.exists(name):
            subprocess.run(["cp", "-a", "--parents", "--reflink=auto", name, top], check=True)


def tree_restore(top, fault):
    """Puts one file back as it is in the tree, with its old times."""
    path = os.path.join(top, fault.path)
    if os.path.exists(fault.path):
        shutil.copy2(fault.path, path)
    else:
        os.unlink(path)
        if not os.path.exists(os.path.dirname(fault.path)):
            os.rmdir(os.path.dirname(path))


def fault_try(top, fault):
    """None if the planted fault was refused in the expected words, else what happened."""
    problem = fault.plant(top)
    if problem:
        return problem
    run = check_run(top, fault.check, fault.arguments)
    tree_restore(top, fault)
    said = run.stdout + run.stderr
    if run.returncode == 0:
        return "was not refused"
    if fault.words not in said:
        return f"was refused, but not with {fault.words!r}: {said.strip()[:300]}"
    return None


def main():
    n_failed = n_passed = 0
    with tempfile.TemporaryDirectory(prefix="cathode-gates-") as top:
        tree_copy(top)
        for check in dict.fromkeys(fault.check for fault in FAULTS):
            run = check_run(top, check)
            if run.returncode:
                print(f"  FAIL  {check}: refuses the tree as it is; `make check` says why")
                n_failed += 1
        for fault in FAULTS:
            problem = fault_try(top, fault)
            n_failed, n_passed = n_failed + bool(problem), n_passed + (not problem)
            print(f"  {'FAIL' if problem else 'ok  '}  {fault.check}: {fault.words}"
                  f"{': ' + problem if problem else ''}", flush=True)
    print(f"{n_passed} passed, {n_failed} failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
