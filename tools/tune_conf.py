"""sched.conf: scheduler settings for `make run SCHED=file` and `make bench SCHED=file`.

Lines of NAME=VALUE, a decimal number; # starts a comment; a name stands once. They become boot
arguments `sched.NAME=VALUE`: whether it knows a name and takes a value is the kernel's to say.
"""

import re

LINE = re.compile(r"([a-z][a-z0-9_]*)\s*=\s*([0-9]+)")


class ConfError(Exception):
    """The file cannot be read, or a line is not NAME=VALUE."""


def parse(text, path="sched.conf"):
    """{name: value} of a file's text."""
    out = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        found = LINE.fullmatch(line)
        if line and not found:
            raise ConfError(f"{path}:{number}: {line!r} is not NAME=VALUE with a decimal number")
        if found and found.group(1) in out:
            raise ConfError(f"{path}:{number}: {found.group(1)} is set twice")
        if found:
            out[found.group(1)] = int(found.group(2))
    return out


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            return parse(file.read(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfError(f"SCHED={path}: {error}") from error


def boot_words(settings):
    return " ".join(f"sched.{name}={value}" for name, value in settings.items())


def stamp(bootargs):
    """The settings among boot arguments, as results state them: `slice_us=1000 steal=0`."""
    words = bootargs.partition(" -- ")[0].split()
    settings = [word.removeprefix("sched.") for word in words if word.startswith("sched.")]
    return " ".join(settings) or "defaults"
