"""A sweep in words: the statement of what mattered, and sched.conf."""

import textwrap

import tune_analysis
from tune_analysis import LATENCY, percent

METRIC_WORDS = {tune_analysis.THROUGHPUT: "throughput", LATENCY: "p99 latency", "score": "score"}
FRONT_SHOWN = 12
WIDTH, INDENT = 100, "    "
FEW = "too few repetitions to say"
NOT_BETTER = "nothing was better beyond noise"


def effect_words(effect):
    """`-35 % [-41, -28]`"""
    c = effect.comparison
    low, high = (percent(value).removesuffix(" %") for value in (c.low, c.high))
    return f"{percent(c.estimate)} [{low}, {high}]"


def times_noise(effect, noise):
    level = noise.get(effect.objective)
    if not level:
        return ""
    return f"{abs(effect.comparison.estimate) / level:.1f} x noise"


def settings_words(settings, base):
    """What differs from the base: `slice_us=1000 steal=0`."""
    changed = [f"{name}={value}" for name, value in settings.items() if base[name] != value]
    return " ".join(changed) or "the base"


def effect_line(effect, noise):
    workload, metric = effect.objective
    return (f"    {workload:<17} {METRIC_WORDS[metric]:<12} {effect_words(effect):<22} from "
            f"{effect.before} to {effect.after}   {times_noise(effect, noise)}").rstrip()


def parameter_lines(effects, score_effects, noise):
    """About one parameter: what mattered, or the greatest of what did not."""
    lines = [effect_line(effect, noise) for effect in effects + score_effects
             if effect.verdict == "matters"]
    if any(effect.verdict == "matters" for effect in effects):
        return lines
    greatest = max(effects, key=lambda e: abs(e.comparison.estimate))
    workload, metric = greatest.objective
    why = FEW if any(e.verdict == "few" for e in effects) else "within noise"
    return [f"    {why} in each workload; the greatest of {len(effects)} comparisons:",
            f"        {workload} {METRIC_WORDS[metric]} {effect_words(greatest)} from "
            f"{greatest.before} to {greatest.after}", *lines]


def noise_lines(analysis, noise):
    """Of each objective; and what could have been seen of the parameter with the fewest pairs."""
    visible = analysis.visible()
    for objective, level in noise.items():
        workload, metric = objective
        words = percent(level).removeprefix("+") if level is not None else "unknown: one repetition"
        n_pairs, change = visible.get(objective, (0, 0))
        seen = f"{n_pairs} pairs show {percent(change)}" if n_pairs else ""
        yield f"    {workload:<17} {METRIC_WORDS[metric]:<12} {words:<7} {seen}".rstrip()


def wrapped(text):
    return textwrap.wrap(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)


def plural(n, noun):
    return f"{n:g} {noun}{'' if n == 1 else 's'}"


def not_varied_lines(analysis, sweep):
    """What the kernel has, and the sweep left as it was."""
    names = [key.removeprefix("param.") for key in sweep.stamps if key.startswith("param.")]
    names = [name for name in names if name not in analysis.levels]
    if not names:
        return []
    return [f"Not varied, so nothing is said of {plural(len(names), 'parameter')}",
            *wrapped(" ".join(names)), ""]


def front_lines(analysis):
    front = [row for row in analysis.pareto() if row[3]]
    front.sort(key=lambda row: -row[1][0])
    for point, throughput, latency, _ in front[:FRONT_SHOWN]:
        words = settings_words(analysis.points[point], analysis.points[0])
        yield f"    {percent(throughput[0]):>8} {percent(latency[0]):>8}   {words}"


def choice_lines(analysis):
    settings, _ = analysis.choose()
    if not settings:
        return [f"    the base: {NOT_BETTER}"]
    lines = ["    " + settings_words({**analysis.points[0], **settings}, analysis.points[0])]
    point = analysis.point_of(settings)
    stand = {row[0]: row for row in analysis.pareto()}.get(point)
    if stand is None:
        return lines + ["    this combination itself was not measured; its parts were"]
    return lines + [f"    measured: throughput {percent(stand[1][0])}, p99 latency "
                    f"{percent(stand[2][0])} against the base"]


def statement(analysis, sweep, machine):
    """The whole text."""
    effects, scores, noise = analysis.effects(), analysis.score_effects(), analysis.noise()
    blocks = {sample.block for sample in sweep.samples.values()}
    out = ["What mattered", machine, "",
           f"{len(sweep.samples)} samples of {len(analysis.points)} settings, up to {len(blocks)} "
           "times each, compared with the base:",
           *wrapped(settings_all(analysis.points[0])),
           f"{len(effects)} comparisons of workloads and {len(scores)} of the score, each family "
           "Holm-corrected at 5 %.",
           "Estimates with 95 % intervals; noise is the spread of repetitions of the same "
           "settings.",
           f"Score: throughput to {analysis.weight:.0%}, p99 latency to {1 - analysis.weight:.0%}, "
           "all workloads alike; more is better.",
           ""]
    for name in analysis.levels:
        of_name = [effect for effect in effects if effect.name == name]
        of_score = [effect for effect in scores if effect.name == name]
        out += [name, *(parameter_lines(of_name, of_score, noise) if of_name else
                        ["    not measured"]), ""]
    out += [*not_varied_lines(analysis, sweep),
            "Noise of one sample, and the change that a parameter's fewest pairs show rather than "
            "miss", *noise_lines(analysis, noise), "",
            "Best trades (throughput and p99 latency of all workloads, against the base)",
            *front_lines(analysis), "",
            "Chosen for sched.conf: step by step the change that betters the score most, beyond "
            "noise", *choice_lines(analysis)]
    return "\n".join(out + error_lines(sweep)) + "\n"


def settings_all(settings):
    return " ".join(f"{name}={value}" for name, value in settings.items())


def error_lines(sweep):
    if not sweep.errors:
        return []
    shown = [f"    {point} {workload} {block}: {reason}"
             for (point, workload, block), reason in list(sweep.errors.items())[:10]]
    return ["", f"FAILED: {len(sweep.errors)} samples did not do what they should", *shown]


def sched_conf(analysis, machine, source):
    """The text of sched.conf, each line with its reason."""
    settings, why = analysis.choose()
    base = analysis.points[0]
    out = ["# Scheduler settings: make run SCHED=file, make bench SCHED=file.",
           f"# Chosen from {source}", f"# {machine}",
           f"# Score: {analysis.weight:.0%} throughput, {1 - analysis.weight:.0%} p99 latency, "
           "means of logarithms over the workloads.",
           "# Each change is one that betters the score beyond noise, given those above it. What "
           "moves from", "# here on: make tune SCHED=file"]
    for name, value in settings.items():
        effect = why[name]
        out += [f"# {name}: score {effect_words(effect)} from {effect.before} to {effect.after}",
                f"{name}={value}"]
    told = {effect.name for effect in analysis.given(settings) if effect.verdict != "few"}
    few = FEW + (", given what is chosen" if settings else "")
    for name in analysis.levels:
        if name not in settings:
            out.append(f"# {name}: left at {base[name]}; {NOT_BETTER if name in told else few}")
    return "\n".join(out) + "\n"
