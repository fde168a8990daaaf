#!/usr/bin/env python3
"""Writes the Linux guest's first file system: mkinitramfs.py OUT INIT PROGRAM...

A cpio archive in the "newc" format (Linux, Documentation/driver-api/early-userspace/buffer-format),
uncompressed: /init, the programs in /bin, empty /dev, /proc, /sys, /tmp. The same input gives the
same bytes."""

import os
import stat
import sys

DIRECTORIES = ("bin", "dev", "proc", "sys", "tmp")
CONSOLE = (5, 1)


def padded(data):
    return data + bytes(-len(data) % 4)


def entry(inode, name, mode, data=b"", device=(0, 0)):
    """One member: fourteen numbers of eight hexadecimal digits, the name, the content."""
    name = name.encode() + b"\0"
    numbers = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name), 0)
    head = "070701" + "".join(f"{number:08x}" for number in numbers)
    return padded(head.encode() + name) + padded(data)


def members(init, programs):
    """(name, mode, content, device) of everything in the archive."""
    for name in DIRECTORIES:
        yield name, stat.S_IFDIR | 0o755, b"", (0, 0)
    yield "dev/console", stat.S_IFCHR | 0o600, b"", CONSOLE
    for path, name in [(init, "init")] + [(p, "bin/" + os.path.basename(p)) for p in programs]:
        with open(path, "rb") as file:
            yield name, stat.S_IFREG | 0o755, file.read(), (0, 0)


def main(argv):
    if len(argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    out, init, *programs = argv[1:]
    with open(out + ".new", "wb") as file:
        for inode, (name, mode, data, device) in enumerate(members(init, programs), 1):
            file.write(entry(inode, name, mode, data, device))
        file.write(entry(0, "TRAILER!!!", 0))
    os.replace(out + ".new", out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
