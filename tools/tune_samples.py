"""samples.tsv of a sweep: what the guest's program printed (bench/tune/main.c), stamps in front.

The file only grows, one whole line at a time: a sweep that is interrupted loses the sample that was
being taken, and a line that was cut is cut off when the sweep goes on.
"""

import math
import os

FIELDS = {"workload": 3, "sample": 7, "ERROR": 5}  # at least; a sample has one metric or more
METRICS = ("throughput_per_s", "n", "p50_ns", "p99_ns", "max_ns")


class Broken(Exception):
    """The file and line, and what is wrong there."""


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


def pairs_parse(words):
    """{name: text} of words NAME=TEXT, each name once."""
    pairs = [word.partition("=")[::2] for word in words]
    out = dict(pairs)
    if len(out) < len(pairs) or not all(name and text for name, text in pairs):
        raise ValueError("not NAME=VALUE, each name once")
    return out


def settings_parse(text):
    pairs = pairs_parse([] if text == "-" else text.split(","))
    return {name: int(value) for name, value in pairs.items()}


def metrics_parse(words):
    """Rates and times: finite, and more than nothing."""
    metrics = {name: float(text) for name, text in pairs_parse(words).items()}
    for name, value in metrics.items():
        if name not in METRICS or not 0 < value < math.inf:
            raise ValueError(f"{name}={value:g} cannot be")
    return metrics


def key_parse(fields, planned):
    """(point, workload, block), which must be one of the plan's."""
    key = (fields[1], fields[2], int(fields[3]))
    if planned is not None and key not in planned:
        raise ValueError("the plan has no such sample")
    return key


def sample_parse(fields, planned):
    key, settings = key_parse(fields, planned), settings_parse(fields[4])
    if planned is not None and settings != planned[key]:
        raise ValueError("the plan has other settings for it")
    return Sample(*key, settings, metrics_parse(fields[6:]))


def line_take(sweep, line, planned=None):
    """Adds one record; what is not known, or not as `planned`, {(point, workload, block):
    settings}, raises ValueError."""
    fields = line.split("\t")
    if len(fields) < FIELDS.get(fields[0], 2 if line.startswith("# ") else 1):
        raise ValueError("fields are missing")
    if line.startswith("# "):
        sweep.stamps.setdefault(fields[0][2:], fields[1])
    elif fields[0] == "workload":
        sweep.workloads[fields[1]] = fields[2]
    elif fields[0] == "sample":
        sample = sample_parse(fields, planned)
        key = (sample.point, sample.workload, sample.block)
        if key in sweep.samples:
            raise ValueError("this sample stands above already")
        sweep.samples[key] = sample
        sweep.errors.pop(key, None)
    elif fields[0] == "ERROR":
        key = key_parse(fields, planned)
        if key not in sweep.samples:
            sweep.errors[key] = fields[4]
    elif fields[0] not in ("begin", "end", ""):
        raise ValueError("unknown record")


def parse(text, planned=None, path="samples.tsv"):
    """A Sweep of the text's whole lines."""
    sweep = Sweep()
    for number, line in enumerate(text[:text.rfind("\n") + 1].splitlines(), 1):
        try:
            line_take(sweep, line, planned)
        except ValueError as error:
            raise Broken(f"{path}:{number}: {line[:80]!r} is no record ({error})") from error
    return sweep


def text_read(path):
    with open(path, "rb") as file:
        data = file.read()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise Broken(f"{path}:{number}: is not text") from error


def load(path, planned=None):
    return parse(text_read(path), planned, path)


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
