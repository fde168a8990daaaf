#!/usr/bin/env python3
"""Proves on this machine what the guest's tests demand: builds the shell, the programs of user/bin
and the tests of user/tests with the host's compiler, then runs the shell and the programs against
those of this machine, every portable test, and the C samples. The shell has ASan and UBSan.

usage: host.py [DIRECTORY]     build there (build/host/user); status 1 when anything differs
"""
import concurrent.futures
import os
import pathlib
import signal
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
USER = TOP / "user"
COMPARE = str(USER / "sh/test/compare.py")
TIMEOUT = 120  # seconds, for any one program
FLAGS = ["-std=gnu2x", "-O1", "-g", "-pthread"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# The shell ends without giving its memory back, and runs programs that overflow their stacks.
os.environ["ASAN_OPTIONS"] = "detect_leaks=0"


def compile_to(out, sources, *extra):
    compiler = [os.environ.get("CC", "gcc"), *FLAGS, *extra]
    subprocess.run([*compiler, *map(str, sources), "-o", str(out), "-lm"], check=True)
    return out


def build(directory, pool):
    """Builds everything; answers (the shell, the directory of programs, the tests)."""
    shared = sorted(USER.glob("bin/lib*.c"))
    programs = [path for path in sorted(USER.glob("bin/*.c")) if path not in shared]
    tests = [path for path in sorted(USER.glob("tests/t_*.c"))
             if not path.name.startswith("t_native_")]
    (directory / "bin").mkdir(parents=True, exist_ok=True)
    shell = pool.submit(compile_to, directory / "sh", [*USER.glob("sh/*.c"), *shared], *SANITIZE)
    built = [pool.submit(compile_to, directory / "bin" / path.stem, [path, *shared],
                         f"-I{TOP}/kernel")  # for the shapes of abi/; what they are of is not here
             for path in programs]
    tests = [pool.submit(compile_to, directory / path.stem, [path]) for path in tests]
    for future in [shell, *built]:
        future.result()
    return shell.result(), directory / "bin", [future.result() for future in tests]


def run(command):
    """(what failed, in words) of a TAP program."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as late:
        return [f"{' '.join(map(str, command))}: not done after {TIMEOUT} s; its last words:",
                *(late.stdout or b"").decode(errors="replace").splitlines()[-3:]]
    lines = done.stdout.splitlines()
    plans = [line for line in lines if line.startswith("1..")]
    seen = [line for line in lines if line.startswith(("ok ", "not ok "))]
    bad = [line for line in lines if line.startswith(("not ok", "#", "Bail out"))]
    if done.returncode == 0 and len(plans) == 1 and plans[0] == f"1..{len(seen)}":
        return []
    return [f"{' '.join(map(str, command))}: status {done.returncode}", *bad,
            *done.stderr.splitlines()]


def signals_reset():
    """Who started us may ignore signals (nohup, a job in the background), and programs inherit
    that; the tests expect what a login gives."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) == signal.SIG_IGN and number != signal.SIGPIPE:
            signal.signal(number, signal.SIG_DFL)


def main():
    signals_reset()
    named = sys.argv[1] if len(sys.argv) > 1 else TOP / "build/host/user"
    directory = pathlib.Path(named).resolve()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        shell, programs, tests = build(directory, pool)
        commands = [[sys.executable, COMPARE, str(USER / "sh/test/cases.txt"), str(shell)],
                    [sys.executable, COMPARE, str(USER / "bin/test/cases.txt"), str(programs)],
                    [sys.executable, str(USER / "tests/c_samples/run.py"), "--host"],
                    *[[str(test)] for test in tests]]
        results = list(pool.map(run, commands))
    for number, (command, faults) in enumerate(zip(commands, results), 1):
        name = " ".join(os.path.relpath(part, TOP) for part in map(str, command[-2:]))
        print(f"{'not ok' if faults else 'ok'} {number} - {name}")
        for line in faults:
            print(f"# {line}")
    print(f"1..{len(commands)}")
    return 1 if any(results) else 0


if __name__ == "__main__":
    sys.exit(main())
