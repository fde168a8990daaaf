"""sched.conf: scheduler settings for `make run SCHED=file` and `make bench SCHED=file`.

Lines of NAME=VALUE, a decimal number; # starts a comment; a name stands once. They become boot
arguments `sched.NAME=VALUE`. The kernel reports a name that it does not know and a value out of its
range, and goes on with what it has: what is measured then is not what was asked for. So all are
held against the kernel's own table, kernel/abi/sched_params.def, before anything boots, and so are
those among other boot arguments.
"""

import re

import abidoc

LINE = re.compile(r"([a-z][a-z0-9_]*)\s*=\s*([0-9]+)")
NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]+")
PREFIX = "sched."


class ConfError(Exception):
    """The file cannot be read, or a setting is none that the kernel takes."""


def table():
    """{name: (least, most, unit)} of what the kernel takes."""
    return {name: (int(least), int(most), unit)
            for name, unit, _, least, most, _ in abidoc.rows("sched_params.def")}


def setting_check(name, value, where):
    takes = table()
    if name not in takes:
        raise ConfError(f"{where}: there is no parameter {name}; there are {', '.join(takes)}")
    least, most, unit = takes[name]
    if not least <= value <= most:
        counted = "" if unit[0].isdigit() else f" {unit}"  # else it is the range in words
        raise ConfError(f"{where}: {name}={value}: {name} takes {least} to {most}{counted}")


def parse(text, path="sched.conf", check=None):
    """{name: value} of a file's text; check(name, value, where) looks at each."""
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
            if check:
                check(found.group(1), out[found.group(1)], f"{path}:{number}")
    return out


def load(path):
    """{name: value} of a file that the kernel would take as it is."""
    try:
        with open(path, encoding="utf-8") as file:
            return parse(file.read(), path, setting_check)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfError(f"SCHED={path}: {error}") from error


def boot_words(settings):
    return " ".join(f"{PREFIX}{name}={value}" for name, value in settings.items())


def number_of(text):
    """A number as the kernel reads it, or None."""
    if not NUMBER.fullmatch(text):
        return None
    return int(text, 16) if text[:2].lower() == "0x" else int(text)


def boot_settings(bootargs):
    """(name, text of the value) of the scheduler's settings before the command, in order."""
    words = bootargs.split(" ")
    words = words[:words.index("--")] if "--" in words else words
    for word in words:
        if word.startswith(PREFIX):
            name, _, value = word.removeprefix(PREFIX).partition("=")
            yield name, value


def bootargs_check(bootargs):
    for name, text in boot_settings(bootargs):
        value = number_of(text)
        if value is None:
            raise ConfError(f"BOOTARGS: {PREFIX}{name}={text}: {text!r} is not a number")
        setting_check(name, value, "BOOTARGS")


def stamp(bootargs):
    """The settings among boot arguments, as results state them: `slice_us=1000 steal=0`. The last
    of several with one name is the one in force."""
    settings = dict(boot_settings(bootargs))
    values = ((name, text, number_of(text)) for name, text in settings.items())
    words = [f"{name}={text if value is None else value}" for name, text, value in values]
    return " ".join(words) or "defaults"
