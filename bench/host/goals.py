"""What Cathode is to reach against Linux, and which cases do not: bench/goals.conf. Pure but for
reading that file.

[G1] A case misses its goal when its ratio is above, whatever the interval. An interval that
     includes the goal is said with it, for hits and misses alike: another run may say otherwise.
[G2] Only instructions on one CPU are judged: times depend on the host, and CPUs that wait for each
     other count instructions of waiting."""

import collections
import configparser
import fnmatch
import math
import os

import boots

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "goals.conf")
UNSURE = "~"       # the mark of an interval that includes the goal
MISSED = "MISSED"

Goal = collections.namedtuple("Goal", "patterns most reason")


def pattern_matches(pattern, name, param):
    """`fork.*` matches every parameter, `fork.rss:rss_mib=256` one."""
    glob, _, params = pattern.partition(":")
    return fnmatch.fnmatchcase(name, glob) and (not params or param in params.split(","))


class Goals:
    """The table: goals in their order, and what is known of single cases."""

    def __init__(self, text):
        parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
        parser.read_string(text)
        sections = {name: parser[name] for name in parser.sections()}
        self.goals = [Goal(part["cases"].split(), float(part["most"]), part["reason"])
                      for name, part in sections.items() if name.startswith("goal ")]
        self.cases = {name.partition(" ")[2]: part for name, part in sections.items()
                      if name.startswith("case ")}

    def of(self, name, param):
        """The Goal of a case with a parameter, or None."""
        return next((goal for goal in self.goals
                     if any(pattern_matches(p, name, param) for p in goal.patterns)), None)

    def known(self, name, field):
        """What the table knows of a case: `once` or `why`; "" when it does not."""
        return " ".join(self.cases[name].get(field, "").split()) if name in self.cases else ""


def load(path=PATH):
    with open(path, encoding="utf-8") as file:
        return Goals(file.read())


class Verdict:
    """A case that has a goal, and how far it is from it."""

    def __init__(self, row, goal):
        ratio = row.ratio()
        self.row, self.goal, self.most = row, goal, goal.most
        self.ratio, self.low, self.high = (math.exp(v) for v in (ratio.value, ratio.low,
                                                                 ratio.high))
        self.value = math.exp(row.sides[boots.CATHODE].value)
        self.missed = self.ratio > self.most
        self.unsure = self.low <= self.most <= self.high

    @property
    def excess(self):
        """Times the goal."""
        return self.ratio / self.most

    @property
    def words(self):
        """For a cell of the table."""
        return " ".join(filter(None, (f"{self.most:g}", self.unsure and UNSURE,
                                      self.missed and MISSED)))


def judged(run):
    """Whether goals are for this run [G2]."""
    first = run.first()
    return (len(run.systems) == 2 and first.unit == "instructions"
            and first.stamps.get("guest.cpus") == "1")


def verdicts(run, table):
    """{(case, parameter): Verdict} of the cases that both systems have and the table knows."""
    if not judged(run):
        return {}
    found = ((row, table.of(row.name, row.param)) for row in run.pairs()
             if row.unit == run.first().unit)
    return {(row.name, row.param): Verdict(row, goal) for row, goal in found if goal}


def missed(found):
    """{case: [Verdict]} of those that miss, the worst parameter first."""
    cases = {}
    for verdict in found.values():
        if verdict.missed:
            cases.setdefault(verdict.row.name, []).append(verdict)
    return {name: sorted(misses, key=lambda miss: -miss.excess) for name, misses in cases.items()}


def miss_words(verdict):
    low, middle, high = (f"{value:.3g}" for value in (verdict.low, verdict.ratio, verdict.high))
    return (f"{verdict.row.title}: {middle} ({low} to {high}), goal {verdict.most:g}"
            + (", which the interval includes" if verdict.unsure else ""))


def why_words(table, name):
    """One sentence or more; that nobody has written one is said, too."""
    return table.known(name, "why") or "Not explained in bench/goals.conf: read the profile."


def summary(found):
    """How many of how many, in words."""
    n_missed = sum(verdict.missed for verdict in found.values())
    return f"{len(found) - n_missed} of {len(found)} cases with a goal reach it"
