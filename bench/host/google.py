"""A run as JSON in the layout of Google Benchmark's --benchmark_format=json (docs/user_guide.md of
it, "Output Formats"), so that its tools (compare.py and others) read it: context, then one
iteration entry for each boot, then the aggregates median, mean, stddev and cv over the boots.

What is not known is not invented: cpu_time repeats real_time, as a sample is one clock. Counts of
instructions are given as nanoseconds of a machine that does one each, with the label saying so."""

import json
import statistics


AGGREGATES = (("median", statistics.median), ("mean", statistics.fmean),
              ("stddev", lambda values: statistics.stdev(values) if len(values) > 1 else 0.0),
              ("cv", lambda values: statistics.stdev(values) / statistics.fmean(values)
               if len(values) > 1 and statistics.fmean(values) else 0.0))


def context(run, system):
    stamps = run.first(system).stamps
    hz = float(stamps.get("guest.tsc_hz", "0"))
    return {"date": stamps.get("date", ""), "host_name": "-", "executable": "bench",
            "num_cpus": int(stamps.get("guest.cpus", "1")), "mhz_per_cpu": round(hz / 1e6),
            "cpu_scaling_enabled": False, "caches": [], "load_avg": [],
            "library_build_type": "release", "json_schema_version": 1,
            **{key: value for key, value in stamps.items() if key not in ("date", "host_flags")}}


def name_of(row):
    return row.name if row.param == "-" else f"{row.name}/{row.param.replace('=', ':')}"


def entry_base(row, family):
    entry = {"name": name_of(row), "family_index": family, "per_family_instance_index": 0,
             "run_name": name_of(row), "threads": 1}
    if row.unit == "instructions":
        entry["label"] = "instructions"
    return entry


def timed(value):
    return {"real_time": value, "cpu_time": value, "time_unit": "ns"}


def entries(row, family, system):
    samples = row.samples[system]
    medians = [statistics.median(boot) for boot in samples]
    base = entry_base(row, family)
    for index, (boot, median) in enumerate(zip(samples, medians)):
        yield {**base, "run_type": "iteration", "repetitions": len(samples),
               "repetition_index": index, "iterations": len(boot), **timed(median)}
    for word, aggregate in AGGREGATES:
        value = aggregate(medians)
        yield {**base, "name": f"{base['name']}_{word}", "run_type": "aggregate",
               "repetitions": len(samples), "aggregate_name": word,
               "aggregate_unit": "percentage" if word == "cv" else "time",
               "iterations": len(samples), **timed(value)}


def document(run, system):
    rows = [row for row in run.rows if system in row.samples]
    return {"context": context(run, system),
            "benchmarks": [entry for family, row in enumerate(rows)
                           for entry in entries(row, family, system)]}


def write(path, run, system):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document(run, system), file, indent=1, allow_nan=False)
        file.write("\n")
