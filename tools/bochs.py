#!/usr/bin/env python3
"""Runs a command in Cathode under Bochs, a stricter, much slower machine than QEMU's emulation: it
has x2APIC, the TSC-deadline timer and PCID, and a TLB that keeps what hardware may keep.

usage: bochs.py [--kernel ELF] [--smp N] [--model NAME] [--timeout S] --cmd "prog args"

The command's stdout and exit status are ours, as with run.py; everything else goes to stderr.
Bochs, its BIOS and GRUB come from the packages bochs, bochsbios, vgabios, grub-pc-bin and
xorriso.

exit status, when not the command's: 124 hang, 125 kernel panic, 126 Bochs failed or is missing
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import vm

BUILD = pathlib.Path(__file__).resolve().parents[1] / "build"
HANG, PANIC, ERROR = 124, 125, 126
POLL_S = 0.2
BIOS = "/usr/share/bochs/BIOS-bochs-latest"
VGA_BIOS = "/usr/share/bochs/VGABIOS-lgpl-latest"
COMMAND = re.compile(r"[A-Za-z0-9 _./=,:+@%-]+")  # what GRUB passes on as it is
NEEDS = {"bochs": "bochs", BIOS: "bochsbios", VGA_BIOS: "vgabios", "grub-mkrescue": "grub-common"}

GRUB = """set timeout=0
menuentry "Cathode" {{
  multiboot2 /boot/kernel.elf {command}
  module2 /boot/initfs.img
}}
"""

MACHINE = """display_library: rfb, options="timeout=0"
romimage: file={bios}
vgaromimage: file={vga_bios}
cpu: model={model}, count={smp}, ips=100000000, reset_on_triple_fault=0
memory: guest=512, host=512
ata0-master: type=cdrom, path={directory}/cathode.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={directory}/com1
com2: enabled=1, mode=file, dev={directory}/com2
port_e9_hack: enabled=1
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
plugin_ctrl: speaker=false, parallel=false, gameport=false, usb_uhci=false, biosdev=true
speaker: enabled=0
log: {directory}/log
panic: action=fatal
error: action=report
info: action=ignore
"""


class BochsError(Exception):
    """Said to the user, with status ERROR."""


def needs_check():
    missing = [package for what, package in NEEDS.items()
               if not (os.path.exists(what) if what.startswith("/") else shutil.which(what))]
    if missing:
        raise BochsError(f"missing packages; paste this: apt-get install {' '.join(missing)}")


def image_make(directory, kernel, command):
    boot = directory / "iso/boot"
    (boot / "grub").mkdir(parents=True)
    shutil.copy(kernel, boot / "kernel.elf")
    shutil.copy(BUILD / "initfs.img", boot)
    (boot / "grub/grub.cfg").write_text(GRUB.format(command=f"-- {command}"))
    done = subprocess.run(["grub-mkrescue", "-o", directory / "cathode.iso", directory / "iso"],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BochsError(f"grub-mkrescue failed: {done.stderr.strip()[-300:]}")


class Follower:
    """Passes on what a growing file gets."""

    def __init__(self, path, out):
        self.path, self.out, self.position = path, out, 0

    def follow(self):
        if self.path.exists():
            with open(self.path, "rb") as file:
                file.seek(self.position)
                data = file.read()
            self.position += len(data)
            self.out.write(data)
            self.out.flush()


def log_read(stream, parser):
    """Port 0xe9 comes among Bochs' own words on its stdout."""
    for line in iter(stream.readline, b""):
        plain = parser.feed(line)
        if plain and not re.match(rb"\d{11}[a-z]\[|ALSA|=====|<bochs", plain):
            sys.stderr.buffer.write(plain)
            sys.stderr.flush()


def judge(parser):
    """The status that the guest has said, or None."""
    if parser.record("panic") is not None:
        return PANIC
    ended = parser.record("exit")
    return int(ended) if ended is not None else None


def run(directory, timeout):
    parser = vm.LogParser()
    process = subprocess.Popen(["bochs", "-q", "-f", directory / "bochsrc"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    process.stdin.write(b"c\n")  # Debian's Bochs has its debugger on
    process.stdin.flush()
    reader = threading.Thread(target=log_read, args=(process.stdout, parser), daemon=True)
    reader.start()
    followers = [Follower(directory / "com1", sys.stdout.buffer),
                 Follower(directory / "com2", sys.stderr.buffer)]
    end = time.monotonic() + timeout
    while judge(parser) is None and process.poll() is None and time.monotonic() < end:
        time.sleep(POLL_S)
        for follower in followers:
            follower.follow()
    time.sleep(2 * POLL_S)  # a panic's text comes after its record
    alive = process.poll() is None
    process.kill()
    process.wait()
    for follower in followers:
        follower.follow()
    status = judge(parser)
    if status is None and not alive:
        words = (directory / "log").read_text(errors="replace").strip().splitlines()[-3:]
        raise BochsError("Bochs ended by itself: " + " / ".join(words))
    return HANG if status is None else status


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", default=BUILD / "kernel.elf")
    parser.add_argument("--smp", type=int, default=2)
    parser.add_argument("--model", default="corei7_skylake_x", help="a CPU model of Bochs")
    parser.add_argument("--timeout", type=float, default=1800)
    parser.add_argument("--cmd", required=True)
    options = parser.parse_args()
    if not COMMAND.fullmatch(options.cmd):
        parser.error(f"GRUB would not pass this command on as it is: {options.cmd}")
    return options


def main():
    options = arguments()
    try:
        needs_check()
        with tempfile.TemporaryDirectory(prefix="cathode-bochs-") as name:
            directory = pathlib.Path(name)
            image_make(directory, options.kernel, options.cmd)
            (directory / "bochsrc").write_text(MACHINE.format(
                bios=BIOS, vga_bios=VGA_BIOS, directory=directory, smp=options.smp,
                model=options.model))
            print(f"bochs: {options.model}, {options.smp} CPUs", file=sys.stderr, flush=True)
            status = run(directory, options.timeout)
    except (BochsError, OSError) as error:
        print(f"bochs: {error}", file=sys.stderr)
        return ERROR
    if status in (HANG, PANIC):
        print(f"bochs: {'hang' if status == HANG else 'kernel panic'}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
