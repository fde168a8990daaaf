#!/usr/bin/env python3
"""Runs a command in the guest with its trace, or reads one again: what `make trace` does.

  trace.py [options] --cmd COMMAND -- RUNNER OPTIONS    boots Cathode through tools/run.py
  trace.py [options] --decode FILE                      reads a stream that was kept before

Writes OUT, a file for ui.perfetto.dev, and beside it OUT.raw, the stream as the guest wrote it, and
OUT.txt, the summary, which is also printed. The command's stdout and stderr go to our stderr.

exit status: the command's; 1 when the stream cannot be read; otherwise that of the runner (see
tools/run.py --help).
"""

import argparse
import os
import shlex
import subprocess
import sys

import perfetto
import timeline
import tracestream
import tracesummary

TOOLS = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(os.path.dirname(TOOLS), "build", "trace.json")
SHELL_CHARACTERS = set("|&;<>()$`\\\"'*?[]#~=%{}!\n")
RING_KIB = 2048  # of each CPU: room for what happens between two looks of the program that drains


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cmd", default="", help="what the guest runs; shell syntax works")
    add("--mask", default="", help="events to record (docs/tracing.md)")
    add("--out", default=OUT, help="the file for Perfetto; .gz compresses it (%(default)s)")
    add("--decode", default="", metavar="FILE", help="read this stream, boot nothing")
    add("--bootargs", default="", help="kernel arguments, name=value words")
    add("runner", nargs="*", help="options of tools/run.py, after --")
    args = parser.parse_args()
    if not args.cmd.strip() and not args.decode:
        parser.error('no command: make trace CMD="..."')
    return args


def command_quoted(command):
    """Words for another program to run: a shell when the command is written for one."""
    command = command.strip()
    return "sh -c " + shlex.quote(command) if SHELL_CHARACTERS & set(command) else command


def guest_command(args):
    """The command under the guest's `trace`."""
    mask = f"-m {args.mask} " if args.mask else ""
    return f"trace -o - {mask}{command_quoted(args.cmd)}"


def guest_run(args):
    """(status, stream)"""
    bootargs = args.bootargs
    if "trace.kib=" not in bootargs:
        bootargs = f"{bootargs} trace.kib={RING_KIB}".strip()
    argv = [os.path.join(TOOLS, "run.py"), *args.runner, "--bootargs", bootargs,
            "--cmd", guest_command(args)]
    run = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    return run.returncode, run.stdout


def report(data, out):
    lines = timeline.Timeline(tracestream.load(data))
    text = tracesummary.text(lines)
    perfetto.write(lines, out)
    with open(out + ".txt", "w", encoding="utf-8") as file:
        file.write(text)
    print(text)
    print(f"{os.path.relpath(out)}: open https://ui.perfetto.dev, and drop the file there")
    print(f"{os.path.relpath(out)}.txt is the summary above, .raw the stream itself")


def main():
    args = arguments()
    status, data = 0, b""
    try:
        if args.decode:
            with open(args.decode, "rb") as file:
                data = file.read()
        else:
            os.makedirs(os.path.dirname(os.path.abspath(args.out)), exist_ok=True)
            status, data = guest_run(args)
            with open(args.out + ".raw", "wb") as file:
                file.write(data)
        report(data, args.out)
    except tracestream.Broken as error:
        print(f"trace: {error} (the runner's status is {status})", file=sys.stderr)
        return status or 1
    except OSError as error:
        print(f"trace: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
