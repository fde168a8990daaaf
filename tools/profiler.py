#!/usr/bin/env python3
"""Runs a command in the guest under its sampling profiler: what `make profile` does.

  profiler.py [options] --cmd COMMAND -- RUNNER OPTIONS    boots Cathode through tools/run.py
  profiler.py [options] --decode FILE                      reads a stream that was kept before

Writes OUT.svg, a flame graph; OUT.folded, stacks as other tools read them; OUT.txt, the functions
by their share, which is also printed; OUT.raw, the stream as the guest wrote it. The command's
stdout and stderr go to our stderr.

exit status: the command's; 1 when the stream cannot be read or has no sample; otherwise that of the
runner (see tools/run.py --help).
"""

import argparse
import os
import subprocess
import sys

import flamegraph
import stacks
import trace

TOOLS = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(os.path.dirname(TOOLS), "build")
SHOWN = 30  # functions in the table


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cmd", default="", help="what the guest runs; shell syntax works")
    add("--hz", default="1000", help="samples of each CPU a second (%(default)s)")
    add("--out", default=os.path.join(BUILD, "profile"), help="begin of the files (%(default)s)")
    add("--kernel", default=os.path.join(BUILD, "kernel.elf"), help="the kernel that is booted")
    add("--programs", default=os.path.join(BUILD, "user", "bin"), help="where its programs are")
    add("--decode", default="", metavar="FILE", help="read this stream, boot nothing")
    add("runner", nargs="*", help="options of tools/run.py, after --")
    args = parser.parse_args()
    if not args.cmd.strip() and not args.decode:
        parser.error('no command: make profile CMD="..."')
    return args


def guest_run(args):
    """(status, stream)"""
    command = f"profile -f {args.hz} -o - {trace.command_quoted(args.cmd)}"
    argv = [os.path.join(TOOLS, "run.py"), "--kernel", args.kernel, *args.runner, "--cmd", command]
    run = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    return run.returncode, run.stdout.decode("utf-8", "replace")


def table_text(profile, folded):
    """The functions that most samples were in, as people read it."""
    total = profile.total()
    idle = sum(count for frames, count in folded.items() if frames[0] == "idle")
    lines = [f"{total} samples, {profile.values['hz']} a second on each CPU, "
             f"{profile.values['lost']} lost; {100 * idle / total:.1f} % idle", "",
             f"{'itself':>7} {'with callees':>13}  function"]
    rows = sorted(stacks.sums(folded).items(), key=lambda row: (-row[1][0], -row[1][1], row[0]))
    for name, (own, all_of) in rows[:SHOWN]:
        lines.append(f"{100 * own / total:6.1f}% {100 * all_of / total:12.1f}%  {name}")
    return "\n".join(lines) + "\n"


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def report(text, args):
    profile = stacks.Profile(text)
    if not profile.stacks:
        raise stacks.Broken("no sample was taken: the command was too short, or HZ too small")
    folded = stacks.fold(profile, stacks.Namer(args.kernel, args.programs))
    table = table_text(profile, folded)
    write(args.out + ".folded", stacks.folded_text(folded))
    write(args.out + ".svg", flamegraph.svg(folded, args.cmd.strip() or args.decode))
    write(args.out + ".txt", table)
    print(table)
    print(f"{os.path.relpath(args.out)}.svg is the flame graph, .folded its stacks")


def main():
    args = arguments()
    status, text = 0, ""
    try:
        if args.decode:
            with open(args.decode, encoding="utf-8") as file:
                text = file.read()
        else:
            os.makedirs(os.path.dirname(os.path.abspath(args.out)), exist_ok=True)
            status, text = guest_run(args)
            write(args.out + ".raw", text)
        report(text, args)
    except stacks.Broken as error:
        print(f"profile: {error} (the runner's status is {status})", file=sys.stderr)
        return status or 1
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"profile: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
