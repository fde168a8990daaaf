"""samples.tsv of a sweep: what the guest's program printed (bench/tune/main.c), stamps in front.

The file only grows, one whole line at a time: a sweep that is interrupted loses the sample that was
being taken, and a line that was cut is cut off when the sweep goes on.
"""

import os


class Broken(Exception):
    """A line is not a record."""


class Sample:
    """One (point, workload, block) and what was measured there."""

    def __init__(self, point, workload, block, settings, metrics):
        self.point, self.workload, self.block = point, workload, block
        self.settings, self.metrics = settings, metrics


class Sweep:
    """A parsed samples.tsv; of errors only those that were not made good later."""

    def __init__(self):
        self.stamps, self.workloads, self.samples, self.errors = {}, {}, {}, {}

    def done(self):
        """Keys of the samples that need not be taken again."""
        return set(self.samples)


def settings_parse(text):
    if text == "-":
        return {}
    pairs = (word.split("=") for word in text.split(","))
    return {name: int(value) for name, value in pairs}


def metrics_parse(words):
    pairs = (word.split("=") for word in words)
    return {name: float(value) for name, value in pairs}


def line_take(sweep, line):
    """Adds one record; what is not known raises ValueError or IndexError."""
    fields = line.split("\t")
    if line.startswith("# "):
        sweep.stamps.setdefault(fields[0][2:], fields[1])
    elif fields[0] == "workload":
        sweep.workloads[fields[1]] = fields[2]
    elif fields[0] == "sample":
        _, point, workload, block, settings, _ = fields[:6]
        key = (point, workload, int(block))
        sweep.samples[key] = Sample(*key, settings_parse(settings), metrics_parse(fields[6:]))
        sweep.errors.pop(key, None)
    elif fields[0] == "ERROR":
        key = (fields[1], fields[2], int(fields[3]))
        if key not in sweep.samples:
            sweep.errors[key] = fields[4]
    elif fields[0] not in ("begin", "end", ""):
        raise ValueError("unknown record")


def parse(text):
    """A Sweep of the file's whole lines."""
    sweep = Sweep()
    for number, line in enumerate(text[:text.rfind("\n") + 1].splitlines(), 1):
        try:
            line_take(sweep, line)
        except (ValueError, IndexError) as error:
            raise Broken(f"line {number}: {line[:80]!r} is no record ({error})") from error
    return sweep


def load(path):
    with open(path, encoding="utf-8") as file:
        try:
            return parse(file.read())
        except Broken as error:
            raise Broken(f"{path}: {error}") from error


def tail_cut(path):
    """Cuts off a last line that has no end; answers how many bytes went."""
    with open(path, "rb+") as file:
        data = file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            file.truncate(whole)
            file.flush()
            os.fsync(file.fileno())
        return len(data) - whole


def stamps_append(path, stamps):
    with open(path, "a", encoding="utf-8") as file:
        for key, value in stamps.items():
            file.write(f"# {key}\t{value}\n")
