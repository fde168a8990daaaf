"""The runner: each way in which a machine can end has its status and its words, and the command's
bytes come out untouched. Boots small kernels of tools/kvmtest under emulation. Targets of make that
run a command answer what the runner answers."""

import concurrent.futures
import os
import subprocess
import tempfile

import tree

# kernel, options, status, words on stderr, stdout
ALL_BYTES = bytes(range(256))
FLOOD = bytes(value & 0xff for value in range(1000000, 0, -1))
TYPED = b"what was typed\n" * 1000
CASES = (
    ("EXIT", [], 7, "e", ALL_BYTES),
    ("EXIT", ["--icount", "--smp", "1"], 7, "e", ALL_BYTES),
    ("EXIT", ["--verbose"], 7, "a line of the log", ALL_BYTES),
    ("FLOOD", [], 0, "", FLOOD),
    ("RESET", [], 123, "run: the machine reset itself", b""),
    ("HANG", ["--timeout", "2"], 124, "run: hang: not finished after 2 s", b""),
    ("PANIC", [], 125, "run: kernel panic: it broke", b""),
    ("PANIC", [], 125, "kernel: the dump", b""),
    ("SILENT", [], 126, "run: the guest powered off with exit record None", b""),
    ("EXIT", ["--cpu", "nonsense"], 126, "run: QEMU failed", b""),
    ("EXIT", ["--add", "/nonexistent"], 126, "run: ADD=/nonexistent: not a directory", b""),
    ("MISSING", [], 126, "does not exist", b""),
    ("REFUSE", [], 0, 'run: boot argument: "bogus=1": no such name', b""),
    ("EXIT", ["--sched", "/nonexistent"], 126, "run: SCHED=/nonexistent: ", b""),
    ("EXIT", ["--bootargs", "sched.slice_us=99"], 126,
     "run: BOOTARGS: slice_us=99: slice_us takes 100 to 1000000 us", b""),
    ("ECHO", [], 0, "run: the console follows", TYPED),
)
TARGETS = ("run", "trace", "profile")


def kernel_build(scratch, end):
    path = os.path.join(scratch, end)
    subprocess.run(["nasm", "-f", "elf64", "-Werror", f"-dEND_{end}", "-o", f"{path}.o",
                    "tools/kvmtest/fault.asm"], check=True)
    subprocess.run(["ld", "-nostdlib", "--no-warn-rwx-segments", "-T", "tools/kvmtest/kvmtest.ld",
                    "-o", path, f"{path}.o"], check=True)


def case_run(scratch, case):
    """What is wrong with one case, or None."""
    end, options, status, words, stdout = case
    typed = TYPED if end == "ECHO" else b""  # typed at the console; with a command there is none
    command = ["tools/run.py", "--accel", "tcg", "--cmd", "" if typed else "x", "--timeout", "60",
               "--log", os.path.join(scratch, f"log{CASES.index(case)}"),
               "--kernel", os.path.join(scratch, end), *options]
    if "--add" not in options:
        command.append("--no-initrd")
    run = subprocess.run(command, capture_output=True, input=typed)
    said = run.stderr.decode("utf-8", "replace")
    if run.returncode != status:
        return f"{end} {options}: status {run.returncode}, expected {status}: {said.strip()}"
    if words not in said:
        return f"{end} {options}: {words!r} is not in {said.strip()!r}"
    if run.stdout != stdout:
        return f"{end} {options}: stdout has {len(run.stdout)} bytes, expected {len(stdout)}"
    return None


def target_run(scratch, target):
    """What is wrong with the status of a target of make that cannot boot, or None."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    variables = (f"KERNEL={scratch}/MISSING", f"LOG={scratch}/log", f"OUT={scratch}/trace",
                 f"PROFILE_OUT={scratch}/profile", "ACCEL=tcg", "CMD=x", "MAKELEVEL=1")
    run = subprocess.run(["make", target, *variables], capture_output=True, text=True,
                         errors="replace", env=environment)
    if run.returncode != 126 or "run: " not in run.stderr:
        return f"make {target}: status {run.returncode}, expected 126: {run.stderr.strip()}"
    return None


def main():
    report = tree.Report("runner")
    with tempfile.TemporaryDirectory() as scratch:
        for end in sorted({case[0] for case in CASES} - {"MISSING"}):
            kernel_build(scratch, end)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for fault in pool.map(lambda case: case_run(scratch, case), CASES):
                if fault:
                    report.fault("tools/run.py", 1, fault)
        for target in TARGETS:
            fault = target_run(scratch, target)
            if fault:
                report.fault("tools/tools.mk", 1, fault)
    report.close()


if __name__ == "__main__":
    main()
