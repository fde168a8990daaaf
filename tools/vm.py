"""One virtual machine: the QEMU command line, the channels, and how it ended.

This is the only place that knows QEMU. A machine has four channels, each a socket pair whose far
end QEMU inherits: COM1 (the command's stdout, or the console), COM2 (its stderr), port 0xe9 (the
kernel's log, with records that start with 0x1e), and QMP. `Machine.run()` moves bytes until QEMU is
gone or something is wrong, and answers an `Outcome`: every way a guest can end has its own word.

Limits: COM1 and COM2 are paced by whoever reads our stdout and stderr; nothing is dropped.
"""

import ctypes
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import time

QEMU = os.environ.get("QEMU", "qemu-system-x86_64")
RECORD = b"\x1e"
EXIT_STATUS_DONE = 33   # isa-debug-exit answers (value << 1) | 1: 0x10, the guest is finished
EXIT_STATUS_PANIC = 35  # 0x11, the kernel panicked
LOG_KEEP = 1 << 20      # bytes of kernel log kept in memory
SOCKET_BUFFER = 1 << 20
PANIC_GRACE_S = 10      # a panic may print this long before it is cut off
PR_SET_PDEATHSIG = 1
QEMU_NOISE = re.compile(r"warning:|extra data|.*[A-Za-z0-9]+ ?=")


class VmError(Exception):
    """QEMU is missing, would not start, or broke a channel's contract."""


class Config:
    """What to boot, on what. `accel` is "kvm" or "tcg", decided by the caller."""

    def __init__(self, kernel, initrd=None, append="", accel="tcg", cpu=None, smp=1, mem="512",
                 icount=False, timeout=None, gdb=False, iso=None,
                 icount_shift=0):
        self.kernel, self.initrd, self.append = kernel, initrd, append
        self.accel, self.cpu, self.smp, self.mem = accel, cpu or "max", smp, mem
        self.icount, self.timeout, self.gdb, self.iso = icount, timeout, gdb, iso
        self.icount_shift = icount_shift
        self.exec_log = None  # a file: one instruction a block, so that `log exec` shows each


class Outcome:
    """How a machine ended: `kind` is one of exit, panic, hang, reset, died, error, interrupted."""

    def __init__(self, kind, text="", status=None):
        self.kind, self.text, self.status = kind, text, status


def accel_arguments(config):
    if config.icount:
        return ["-accel", "tcg,thread=single", "-icount", f"shift={config.icount_shift},sleep=off"]
    if config.accel == "kvm":
        return ["-accel", "kvm"]
    return ["-accel", "tcg,thread=multi" if config.smp > 1 else "tcg"]


def boot_arguments(config):
    if config.iso:
        return ["-cdrom", config.iso, "-boot", "d"]
    out = ["-kernel", config.kernel, "-append", config.append]
    return out + (["-initrd", config.initrd] if config.initrd else [])


def channel_arguments(fds):
    out = []
    for name, fd in fds.items():
        out += ["-chardev", f"socket,id={name},fd={fd}"]
    return out + [
        "-serial", "chardev:com1", "-serial", "chardev:com2",
        "-device", "isa-debugcon,iobase=0xe9,chardev=log",
        "-mon", "chardev=qmp,mode=control",
    ]


def command_line(config, fds):
    """The whole command line. Nothing comes from QEMU's defaults or from user configuration."""
    return [
        QEMU, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-vga", "none",
        "-M", "q35", "-cpu", config.cpu, "-smp", str(config.smp), "-m", str(config.mem),
        "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
        *accel_arguments(config), *channel_arguments(fds), *boot_arguments(config),
        *(["-gdb", "tcp:127.0.0.1:1234", "-S"] if config.gdb else []),
        *(["-singlestep", "-D", config.exec_log] if config.exec_log else []),
    ]


def die_with_parent():
    """In the child: QEMU must not outlive a killed runner."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def version():
    """QEMU's version line, or VmError."""
    try:
        run = subprocess.run([QEMU, "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError) as error:
        raise VmError(f"{QEMU} cannot be run ({error}); install qemu-system-x86") from error
    return run.stdout.splitlines()[0] if run.stdout else ""


class LogParser:
    """Splits port 0xe9 into plain log text and records. Plain text is everything outside
    `0x1e NAME value newline`."""

    def __init__(self):
        self.text = bytearray()
        self.records = []
        self.pending = None

    def feed(self, data):
        """Answers the plain text of `data`; records are appended to self.records."""
        plain = bytearray()
        for part in data.splitlines(keepends=True):
            plain += self.feed_line(part)
        self.text += plain
        del self.text[:-LOG_KEEP]
        return bytes(plain)

    def feed_line(self, part):
        plain, mark, rest = (b"", RECORD, part) if self.pending is not None else part.partition(
            RECORD)
        if not mark:
            return plain
        self.pending = (self.pending or b"") + rest
        if self.pending.endswith(b"\n"):
            name, _, value = self.pending.decode("utf-8", "replace").strip().partition(" ")
            self.records.append((name, value))
            self.pending = None
        return plain

    def record(self, name):
        """The last value of a record, or None."""
        return next((value for key, value in reversed(self.records) if key == name), None)


class Refusals:
    """Finds what the kernel's log says of boot arguments that it refused: which, and what they
    take. The list of all arguments that follows is not part of it."""

    PREFIX, LIST = b"boot argument: ", b"valid boot arguments:"

    def __init__(self):
        self.rest, self.listing = b"", False

    def feed(self, data):
        """Answers the lines about refusals that end in `data`."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        out = []
        for line in lines:
            text = line.removeprefix(self.PREFIX)
            is_ours = len(text) < len(line)
            self.listing = text == self.LIST if is_ours and text[:1] != b" " else self.listing
            if is_ours and not self.listing:
                out.append(line.decode("utf-8", "replace"))
        return out


class Machine:
    """A running QEMU. Sinks are called with bytes as they arrive; console_in, if given, is a
    descriptor whose bytes go to COM1."""

    def __init__(self, config, stdout=None, stderr=None, log=None, console_in=None):
        self.config = config
        self.sinks = {"com1": stdout, "com2": stderr}
        self.log_sink = log
        self.console_in = console_in
        self.keyboard_filter = bytes  # what keys become; may raise KeyboardInterrupt
        self.parser = LogParser()
        self.stopped = None    # why QEMU said the guest stopped, from QMP
        self.shutdown = None   # reason of QMP's SHUTDOWN
        self.qmp_rest = b""
        self.to_guest = b""
        self.panic_since = None
        self.registers = ""
        self.selector = selectors.DefaultSelector()
        self.start()

    def start(self):
        ours, theirs = {}, {}
        for name in ("com1", "com2", "log", "qmp"):
            ours[name], theirs[name] = socket.socketpair()
            theirs[name].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
        argv = command_line(self.config, {name: end.fileno() for name, end in theirs.items()})
        try:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                pass_fds=[end.fileno() for end in theirs.values()], preexec_fn=die_with_parent)
        except OSError as error:
            raise VmError(f"{QEMU} cannot be started ({error.strerror}); "
                          "install qemu-system-x86") from error
        for end in theirs.values():
            end.close()
        self.ends = ours
        for name, end in ours.items():
            self.selector.register(end, selectors.EVENT_READ, name)
        self.selector.register(self.process.stderr, selectors.EVENT_READ, "qemu")
        if self.console_in is not None:
            self.selector.register(self.console_in, selectors.EVENT_READ, "keyboard")
        self.n_open = len(ours) + 1
        self.qemu_text = b""
        self.qmp_send("qmp_capabilities")

    # ---- QMP ------------------------------------------------------------------------------------

    def qmp_send(self, command, **arguments):
        message = {"execute": command}
        if arguments:
            message["arguments"] = arguments
        try:
            self.ends["qmp"].sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass  # QEMU is gone; its exit status will say why

    def monitor(self, line):
        """A command for QEMU's monitor; what it answers is kept as `registers`."""
        self.qmp_send("human-monitor-command", **{"command-line": line})

    def qmp_feed(self, data):
        *lines, self.qmp_rest = (self.qmp_rest + data).split(b"\n")
        for line in filter(bytes.strip, lines):
            message = json.loads(line)
            event, details = message.get("event"), message.get("data", {})
            if event == "SHUTDOWN":
                self.shutdown = details.get("reason", "unknown")
            elif event == "GUEST_PANICKED":
                self.stopped = "guest-panicked"
            elif event == "STOP":
                self.qmp_send("query-status")
            answer = message.get("return")
            if isinstance(answer, dict) and answer.get("status") in ("internal-error", "io-error",
                                                                     "guest-panicked"):
                self.stopped = answer["status"]
            elif isinstance(answer, str):
                self.registers = answer

    # ---- bytes ----------------------------------------------------------------------------------

    def sink(self, name, data):
        if name == "log":
            plain = self.parser.feed(data)
            if self.log_sink and plain:
                self.log_sink(plain)
        elif name == "qmp":
            self.qmp_feed(data)
        elif name == "qemu":
            self.qemu_text += data
        elif self.sinks[name]:
            self.sinks[name](data)

    def keyboard(self):
        data = os.read(self.console_in, 4096)
        if not data:
            self.selector.unregister(self.console_in)
            self.to_guest += b"\x04"  # ^D: what ends the input of a terminal
        self.to_guest += self.keyboard_filter(data)
        self.guest_feed()

    def guest_feed(self):
        """Sends what fits; the rest waits for the socket to be writable."""
        end = self.ends["com1"]
        try:
            sent = end.send(self.to_guest, socket.MSG_DONTWAIT) if self.to_guest else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = len(self.to_guest)
        self.to_guest = self.to_guest[sent:]
        write = selectors.EVENT_WRITE if self.to_guest else 0
        if end in self.selector.get_map():
            self.selector.modify(end, selectors.EVENT_READ | write, "com1")

    def pump(self, timeout):
        """Moves the bytes that are there; waits at most `timeout` seconds for the first."""
        for key, mask in self.selector.select(timeout):
            if key.data == "keyboard":
                self.keyboard()
                continue
            if mask & selectors.EVENT_WRITE:
                self.guest_feed()
            if mask & selectors.EVENT_READ:
                self.channel_read(key)

    def channel_read(self, key):
        try:
            data = os.read(key.fd, 65536)
        except ConnectionResetError:
            data = b""
        if data:
            self.sink(key.data, data)
        else:
            self.selector.unregister(key.fileobj)
            self.n_open -= 1

    # ---- the end --------------------------------------------------------------------------------

    def run(self):
        """Runs to the end; answers the Outcome. QEMU is gone when this returns."""
        deadline = time.monotonic() + self.config.timeout if self.config.timeout else None
        try:
            while self.n_open:
                now = time.monotonic()
                if deadline and now >= deadline:
                    return self.hang()
                if self.stopped:
                    return Outcome("died", self.died_text())
                if self.panic_over(now):
                    break
                self.pump(min(0.5, deadline - now) if deadline else 0.5)
        finally:
            self.kill()
        return self.verdict(self.process.returncode)

    def panic_over(self, now):
        """A kernel that announced a panic has some seconds to finish its dump."""
        if self.parser.record("panic") is None:
            return False
        self.panic_since = self.panic_since or now
        return now - self.panic_since > PANIC_GRACE_S

    def hang(self):
        """Asks QEMU where every CPU is before it goes."""
        self.monitor("info registers -a")
        until = time.monotonic() + 2
        while not self.registers and self.n_open and time.monotonic() < until:
            self.pump(0.1)
        return Outcome("hang", f"hang: not finished after {self.config.timeout:g} s")

    def died_text(self):
        words = {"internal-error": "QEMU reports an internal error of the accelerator",
                 "guest-panicked": "the guest reported a crash to QEMU"}
        why = words.get(self.stopped, self.stopped)
        return f"guest died under {self.config.accel}: {why}{self.qemu_words()}"

    def qemu_words(self):
        """The first words of what QEMU said, without warnings, dumps and its own name."""
        lines = [line.removeprefix(QEMU + ": ").strip()
                 for line in self.qemu_text.decode("utf-8", "replace").splitlines()]
        said = [line for line in lines if line and not QEMU_NOISE.match(line)]
        return f" ({'; '.join(said[:3])})" if said else ""

    def verdict(self, status):
        panic = self.parser.record("panic")
        if panic is not None or status == EXIT_STATUS_PANIC:
            return Outcome("panic", f"kernel panic: {panic or 'no record of why'}")
        if status == EXIT_STATUS_DONE:
            return self.verdict_exit()
        if status == 0 and self.shutdown == "guest-reset":
            return Outcome("reset", "the machine reset itself (a triple fault, or a reset request)")
        if status == 0:
            return Outcome("reset", f"the machine ended without an exit record ({self.shutdown})")
        if status < 0:
            return Outcome("died" if self.parser.records else "error",
                           f"QEMU was killed by signal {-status}{self.qemu_words()}")
        return Outcome("error", f"QEMU failed with status {status}{self.qemu_words()}")

    def verdict_exit(self):
        value = self.parser.record("exit")
        if value is None or not value.isdigit() or int(value) > 255:
            return Outcome("error", f"the guest powered off with exit record {value!r}")
        return Outcome("exit", status=int(value))

    def kill(self):
        if self.process.poll() is None:
            if self.n_open:
                self.process.kill()
            self.process.wait()
        for end in self.ends.values():
            end.close()
        self.process.stderr.close()
        self.selector.close()
