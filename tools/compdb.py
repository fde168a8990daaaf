#!/usr/bin/env python3
"""compdb.py OUT < commands

Turns the commands of a build (`make --always-make --dry-run V=1`) into compile_commands.json: one
entry for each C or assembly file that a compiler is called with. Finding none is an error.
"""

import json
import os
import shlex
import sys

SOURCES = (".c", ".S")


def entry(line):
    """The entry of one command line, or None if it compiles nothing."""
    try:
        words = shlex.split(line)
    except ValueError:
        return None
    while words and "=" in words[0]:
        words = words[1:]
    sources = [word for word in words if word.endswith(SOURCES) and not word.startswith("-")]
    if "-c" not in words or len(sources) != 1:
        return None
    return {"directory": os.getcwd(), "arguments": words, "file": sources[0]}


def entries(commands):
    """The entries of a build's commands, one for each file."""
    out = {}
    for line in commands.replace("\\\n", " ").splitlines():
        for command in line.split(" && "):
            found = entry(command)
            if found:
                out[found["file"]] = found
    return list(out.values())


def main(out):
    found = entries(sys.stdin.read())
    if not found:
        sys.exit("compdb: no compile command on stdin")
    with open(out, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)
    print(f"compdb: {len(found)} files in {out}")


if __name__ == "__main__":
    main(sys.argv[1])
