"""plan.txt of a sweep: every sample in the order it is taken, as the guest reads it
(bench/tune/plan.h). In front, as `# KEY: VALUE`, what the plan was made from:

  seed, ms, blocks   numbers
  levels             {parameter: [base, other value, ...]}
  crossed            the parameters of which every combination is measured
  points             [{parameter: value}], the base first; pN in a line is points[N]

What is read is checked against itself, and samples.tsv against it (tune_samples.py).
"""

import ast
import os

import tune_samples
from tune_samples import Broken

HEAD = {"seed": int, "ms": int, "blocks": int, "levels": dict, "crossed": list, "points": list}
EVAL_ERRORS = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)


class Plan:
    """head: {key: value}; lines: those of the guest; settings: {(point, workload, block):
    {parameter: value}} in the same order."""

    def __init__(self, head, lines):
        self.head, self.lines, self.settings = head, lines, dict(map(line_parse, lines))


def line_parse(line):
    """(key, settings) of one line for the guest."""
    point, workload, block, *settings = line.split()
    return (point, workload, int(block)), tune_samples.settings_parse(",".join(settings) or "-")


def write(folder, plan):
    with open(os.path.join(folder, "plan.txt"), "w", encoding="utf-8") as file:
        file.writelines(f"# {key}: {value!r}\n" for key, value in plan.head.items())
        file.writelines(plan.lines)


# ---- reading ------------------------------------------------------------------------------------


def demand(good, words):
    if not good:
        raise ValueError(words)


def levels_check(levels):
    demand(levels, "no parameter")
    for name, values in levels.items():
        good = isinstance(name, str) and isinstance(values, list)
        demand(good and len(values) > 1 and all(isinstance(value, int) for value in values),
               f"{name!r}: not a name and its values")


def point_check(point, levels):
    demand(isinstance(point, dict) and list(point) == list(levels),
           f"{point!r} does not set each parameter")
    for name, value in point.items():
        demand(value in levels[name], f"{name}={value!r} is none of its levels")


def head_take(head, line):
    """Adds one `# KEY: VALUE`. What others are checked against stands in front of them."""
    key, _, text = line[2:].partition(": ")
    demand(key in HEAD, f"unknown key {key!r}")
    value = ast.literal_eval(text)
    demand(type(value) is HEAD[key], f"{key} is not of type {HEAD[key].__name__}")
    levels = head.get("levels", {})
    if key == "levels":
        levels_check(value)
    elif key == "crossed":
        demand(set(value) <= set(levels), "an unknown parameter")
    elif key == "points":
        for point in value:
            point_check(point, levels)
        demand(value and list(value[0].values()) == [level[0] for level in levels.values()],
               "the first point is not the base")
    elif key != "seed":
        demand(value > 0, f"{key} is not positive")
    head[key] = value


def line_check(head, seen, line):
    """Refuses a line that is another's, or does not say what its point is."""
    demand(head.keys() == HEAD.keys(),
           f"{', '.join(HEAD.keys() - head.keys())} should stand before it")
    key, settings = line_parse(line)
    points = {f"p{number}": point for number, point in enumerate(head["points"])}
    demand(key[0] in points, f"there is no point {key[0]}")
    demand(settings == points[key[0]], f"{key[0]} has other settings")
    demand(key not in seen, "the same sample as a line before")
    seen.add(key)


def load(folder):
    path, head, lines, seen = os.path.join(folder, "plan.txt"), {}, [], set()
    for number, line in enumerate(tune_samples.text_read(path).splitlines(True), 1):
        try:
            if line.startswith("# "):
                head_take(head, line)
            else:
                line_check(head, seen, line)
                lines.append(line)
        except EVAL_ERRORS as error:
            raise Broken(f"{path}:{number}: {line.rstrip()[:80]!r} is no line of a plan "
                         f"({error})") from error
    if not lines:
        raise Broken(f"{path}: there is no sample in this plan")
    return Plan(head, lines)
