#!/usr/bin/env python3
"""Boots Cathode in QEMU and runs a command in it.

With --cmd, the command's stdout comes out of ours byte for byte, everything else goes to stderr,
and our exit status is the command's. Without, the serial console becomes an interactive shell
(leave it with `exit`, or end the machine with Ctrl-A x).

exit status, when it is not the command's:
  121  ACCEL=kvm was asked for and KVM is not usable here
  122  the guest died under its accelerator (QEMU stopped it, or crashed)
  123  the machine reset itself: a triple fault, or it ended without an exit record
  124  hang: not finished within the timeout
  125  kernel panic
  126  the runner or QEMU failed: a missing file, a bad option, QEMU not installed
  130  interrupted
In each of these cases the last line on stderr starts with `run: ` and says which it was.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import tty

import accel
import hostinfo
import tune_conf
import vm

TOOLS = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(os.path.dirname(TOOLS), "build")
STATUS = {"died": 122, "reset": 123, "hang": 124, "panic": 125, "error": 126, "interrupted": 130}
COMMAND_TIMEOUT_S = 300
LOG_TAIL_LINES = 60
ESCAPE = 0x01  # Ctrl-A, then x


class RunError(Exception):
    def __init__(self, text, status=STATUS["error"]):
        super().__init__(text)
        self.status = status


class Interrupted(Exception):
    """SIGTERM or SIGHUP arrived: QEMU must go before we do."""


def say(text):
    print(f"run: {text}", file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cmd", default="", help="command for the guest; empty: an interactive shell")
    add("--add", default="", metavar="DIR", help="tree to lay over the image's root")
    add("--smp", type=int, default=2, help="CPUs (default %(default)s)")
    add("--mem", default="512", help="memory in MiB, or with a suffix (default %(default)s)")
    add("--accel", choices=("auto", "kvm", "tcg"), default="auto")
    add("--cpu", default="", help="QEMU CPU model instead of the proved one")
    add("--icount", action="store_true", help="count guest instructions: one per nanosecond")
    add("--icount-shift", type=int, default=0, metavar="N",
        help="with --icount, an instruction lasts 2^N ns: more guest time in the same while")
    add("--bootargs", default="", help="kernel arguments, name=value words")
    add("--sched", default="", metavar="FILE", help="scheduler settings, lines of name=value")
    add("--timeout", type=float, default=None,
        help=f"seconds; 0: none (default {COMMAND_TIMEOUT_S} with --cmd, else none)")
    add("--kernel", default=os.path.join(BUILD, "kernel.elf"))
    add("--image", default=os.path.join(BUILD, "initfs.img"))
    add("--log", default=os.path.join(BUILD, "run.log"), help="where the kernel log is kept")
    add("--verbose", "-v", action="store_true", help="show the kernel log as it comes")
    add("--gdb", action="store_true", help="wait for gdb on 127.0.0.1:1234 before the first step")
    add("--iso", default="", help="boot this disc image instead of the kernel")
    add("--no-initrd", action="store_true", help="boot the kernel without an image")
    add("--machine", action="store_true", help="print the machine as key=value lines, boot nothing")
    add("--probe", action="store_true", help="prove KVM afresh, print the verdict, boot nothing")
    return parser.parse_args()


# ---- what to boot ------------------------------------------------------------------------------


def accel_choose(args):
    """(accelerator, CPU model, verdict phrase), saying in one line when KVM cannot be had."""
    if args.icount and args.accel == "kvm":
        raise RunError("ICOUNT=1 counts instructions under emulation; it cannot go with ACCEL=kvm")
    if args.icount or args.accel == "tcg":
        return "tcg", args.cpu or "max", "asked for"
    verdict = accel.kvm_verdict(os.path.join(BUILD, "kvmtest.elf"), fresh=args.probe)
    if verdict.usable:
        return "kvm", args.cpu or verdict.cpu, f"kvm {verdict.why}"
    if args.accel == "kvm":
        raise RunError(f"ACCEL=kvm: kvm is not usable here ({verdict.why}); "
                       "`make doctor` explains, ACCEL=tcg works everywhere", 121)
    print(f"accel: kvm not usable here ({verdict.why}); using tcg", file=sys.stderr, flush=True)
    return "tcg", args.cpu or "max", f"kvm not usable: {verdict.why}"


def image_choose(args, scratch):
    """The image to boot: the built one, or one of our own with --add laid over."""
    if args.no_initrd or args.iso:
        return None
    if not args.add:
        return args.image
    if not os.path.isdir(args.add):
        raise RunError(f"ADD={args.add}: not a directory")
    out = os.path.join(scratch, "initfs.img")
    argv = [sys.executable, os.path.join(TOOLS, "mkinitfs.py"), "-o", out,
            "--bootstrap", os.path.join(BUILD, "user", "bootstrap.bin"),
            os.path.join(BUILD, "root"), args.add]
    made = subprocess.run(argv, stdout=sys.stderr)
    if made.returncode:
        raise RunError("the image with ADD laid over could not be made")
    return out


def append_make(args):
    """The kernel's command line; what BOOTARGS says comes after the file's and so counts."""
    settings = tune_conf.load(args.sched) if args.sched else {}
    tune_conf.bootargs_check(args.bootargs)
    words = f"{tune_conf.boot_words(settings)} {args.bootargs}"
    return words + (f" -- {args.cmd}" if args.cmd else "")


def config_make(args, scratch):
    append = append_make(args)
    kind, cpu, verdict = accel_choose(args)
    timeout = args.timeout if args.timeout is not None else COMMAND_TIMEOUT_S if args.cmd else 0
    boots = not (args.machine or args.probe)
    image = image_choose(args, scratch) if boots else None
    config = vm.Config(args.kernel, image, append.strip(), kind, cpu, args.smp, args.mem,
                       args.icount, timeout, args.gdb, args.iso, args.icount_shift)
    for path in filter(None, (args.iso or args.kernel, image)):
        if boots and not os.path.exists(path):
            raise RunError(f"{path} does not exist; `make` builds it")
    return config, verdict


# ---- bytes in and out --------------------------------------------------------------------------


def writer(fd):
    def write(data):
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view):]
    return write


class RawTerminal:
    """The terminal passes every key to the guest while this is entered."""

    def __init__(self, fd):
        self.fd = fd if os.isatty(fd) else None

    def __enter__(self):
        if self.fd is not None:
            self.saved = termios.tcgetattr(self.fd)
            tty.setraw(self.fd)

    def __exit__(self, *_):
        if self.fd is not None:
            termios.tcsetattr(self.fd, termios.TCSADRAIN, self.saved)


class Keyboard:
    """Forwards stdin to a pipe that the machine reads, watching for Ctrl-A x.

    Ctrl-A Ctrl-A sends one Ctrl-A."""

    def __init__(self):
        self.escaped = False

    def filter(self, data):
        out = bytearray()
        for byte in data:
            if self.escaped:
                self.escaped = False
                if byte in b"xX":
                    raise KeyboardInterrupt
                if byte != ESCAPE:
                    out.append(ESCAPE)
                out.append(byte)
            elif byte == ESCAPE:
                self.escaped = True
            else:
                out.append(byte)
        return bytes(out)


# ---- the end -----------------------------------------------------------------------------------


def symbols_load(kernel):
    """(address, name) of the kernel's functions, sorted; empty when nm cannot say."""
    try:
        run = subprocess.run(["nm", "-n", kernel], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = (line.split() for line in run.stdout.splitlines())
    return [(int(row[0], 16), row[2]) for row in rows if len(row) == 3 and row[1] in "tT"]


def place_of(address, symbols):
    last = None
    for start, name in symbols:
        if start > address:
            break
        last = f"{name}+{address - start:#x}"
    return last or "?"


def hang_places(machine, kernel):
    """One line per CPU: where it was when the timeout struck."""
    symbols = symbols_load(kernel)
    for index, found in enumerate(re.findall(r"[ER]IP=([0-9a-f]+)(.*)", machine.registers)):
        state = " halted" if "HLT=1" in found[1] else ""
        yield f"cpu {index}: rip {found[0]} {place_of(int(found[0], 16), symbols)}{state}"


def failure_report(machine, outcome, args):
    if not args.verbose:
        tail = machine.parser.text.decode("utf-8", "replace").splitlines()[-LOG_TAIL_LINES:]
        for line in tail:
            print(f"kernel: {line}", file=sys.stderr)
    if outcome.kind == "hang":
        for line in hang_places(machine, args.kernel):
            say(line)
    say(outcome.text)
    return STATUS[outcome.kind]


def log_open(path):
    """A new file each time, so that runs at the same time do not write into each other's."""
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        if os.path.exists(path):
            os.unlink(path)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from error


def boot(args, config):
    to_file, to_stderr = writer(log_open(args.log)), writer(2)
    refusals = vm.Refusals()

    def log(data):
        to_file(data)
        for line in refusals.feed(data):
            say(line)
        if args.verbose:
            to_stderr(data)

    interactive = not args.cmd
    machine = vm.Machine(config, writer(1), to_stderr, log, 0 if interactive else None)
    if interactive:
        machine.keyboard_filter = Keyboard().filter
        say("the console follows; Ctrl-A x ends the machine")
    if args.gdb:
        say(f"waiting for gdb: gdb -ex 'target remote 127.0.0.1:1234' {args.kernel}")
    with RawTerminal(0 if interactive else -1):
        outcome = machine.run()
    if outcome.kind == "exit":
        return outcome.status
    return failure_report(machine, outcome, args)


def signals_catch():
    def stop(number, _):
        raise Interrupted(signal.Signals(number).name)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def main():
    args = arguments()
    signals_catch()
    scratch = tempfile.mkdtemp(prefix="cathode-")
    try:
        config, verdict = config_make(args, scratch)
        if args.machine:
            for key, value in hostinfo.facts(config, verdict):
                print(f"{key}={value}")
            return 0
        if args.probe:
            print(f"accel: {config.accel} ({verdict})")
            return 0
        return boot(args, config)
    except (RunError, vm.VmError, tune_conf.ConfError) as error:
        say(error)
        return getattr(error, "status", STATUS["error"])
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except (KeyboardInterrupt, Interrupted):
        say("interrupted; the machine is gone")
        return STATUS["interrupted"]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
