#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lays the runs that compare.py wrote beside the bars of bars.txt: a table and plots.

    report.py RUNS.jsonl [--readme FILE [--unpinned]] [--plots DIR]

Prints the table. --readme puts it between the two marker lines of a file, with --unpinned between two others, --plots writes an SVG for each measure, and lines:
latency by percentile, processor time a GiB against the size of a batch, throughput against connections.
`pass` and `short` compare the median over the pairs with the bar, of a 99th percentile the worst pair; `-` where a side was not measured. `floor too` means
that the floor misses the bar beside Kafka as well, so that the bar beside the floor decides.
"""
import argparse
import collections
import json
import math
import pathlib
import re
import statistics
import xml.sax.saxutils

HERE = pathlib.Path(__file__).resolve().parent
BEGIN, BEGIN_UNPINNED, END = "<!-- report.py writes from here -->", "<!-- report.py --unpinned writes from here -->", "<!-- to here -->"
NAMES = {"kafka": "Kafka", "ottla": "Ottla", "floor": "floor"}
COLOURS = {"a": "#8a8f98", "b": "#2f7d5b", "floor": "#d8b25c"}
PLOTS = ("req/s", "CPU us/req", "p99 us")

MEASURES = {
    "req/s": lambda r: r.get("req_s"),
    "CPU us/req": lambda r: r.get("cpu_s_per_mreq"),
    "p50 us": lambda r: r["lat_us"]["p50"] if "lat_us" in r else None,
    "p99 us": lambda r: r["lat_us"]["p99"] if "lat_us" in r else None,
    "bytes a connection": lambda r: (r["idle_rss1_mib"] - r["idle_rss0_mib"]) * (1 << 20) / r["idle"] if r.get("idle") else None,
}


def measure_of(result, name):
    return MEASURES[name](result) if name in MEASURES else result.get(name)


def read_bars(path):
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            mode, case, measure, kind, bar, words = line.split("\t")
            relation, number = bar.split()
            yield mode, re.compile(case), measure, kind, relation, float(number), words


def read_runs(path):
    """({(mode, case): {who: {pair: result}}} of the valid runs, machine, names of a, b and floor, failed rows)"""
    runs, machine, names, failed = {}, {}, {"a": "A", "b": "B", "floor": "floor"}, []
    for row in map(json.loads, path.read_text().splitlines()):
        if row["mode"] == "machine":
            machine = row["result"]
            continue
        names[row["who"]] = NAMES.get(row["spec"].split("-")[0], row["who"].upper())
        if row["result"].get("valid") is False:
            failed.append(row)
        else:
            by_who = runs.setdefault((row["mode"], row["case"]), collections.defaultdict(dict))
            by_who[row["who"]][row["pair"]] = row["result"]
    return runs, machine, names, failed


def values(by_who, who, measure):
    found = (measure_of(result, measure) for result in by_who.get(who, {}).values())
    return [value for value in found if value is not None]


def ratios(by_who, measure, of="b", to="a"):
    """One divided by the other, pair by pair; Ottla by Kafka if nothing is said."""
    for pair in sorted(set(by_who.get(to, {})) & set(by_who.get(of, {}))):
        below, above = (measure_of(by_who[who][pair], measure) for who in (to, of))
        if below and above is not None:
            yield above / below


def number(value):
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def median(found):
    found = list(found)
    return statistics.median(found) if found else None


def meets(value, relation, bar):
    return value >= bar if relation == ">=" else value <= bar


def verdict(value, relation, bar, of_floor=None):
    """of_floor: the floor's own ratio, where a bar beside the floor stands in for one that the floor misses too."""
    if value is None:
        return "-"
    if meets(value, relation, bar):
        return "pass"
    return "short" if of_floor is None or meets(of_floor, relation, bar) else "floor too"


def judged(found, measure, relation):
    """What is compared with the bar: the median; of a tail the worst pair, since it counts only when it holds in every one."""
    if measure == "p99 us" and found:
        return max(found) if relation == "<=" else min(found)
    return median(found)


def judged_values(by_who, measure, kind):
    if kind == "value":
        return values(by_who, "b", measure)
    return list(ratios(by_who, measure, to="a" if kind == "kafka" else "floor"))


def with_range(found):
    if not found:
        return "-"
    middle, least, most = (number(value) for value in (statistics.median(found), min(found), max(found)))
    return middle if least == most else f"{middle} ({least} to {most})"


def table(runs, names, bars):
    """Markdown lines: for each case each measure with a bar, beside Kafka and beside the floor."""
    lines = ["| case | measure | " + " | ".join(names[who] for who in ("a", "b", "floor")) + " | beside | ratio | bar | |",
             "|---|---|---|---|---|---|---|---|---|"]
    for (mode, case), by_who in runs.items():
        fitting = {}
        for bar_mode, pattern, measure, kind, relation, bar, _ in bars:
            if bar_mode == mode and pattern.fullmatch(case):
                fitting.setdefault((measure, kind), (relation, bar))
        has_floor_bar = any(kind == "floor" for _, kind in fitting)
        for (measure, kind), (relation, bar) in fitting.items():
            found = judged_values(by_who, measure, kind)
            of_floor = judged(list(ratios(by_who, measure, "floor", "a")), measure, relation) if kind == "kafka" and has_floor_bar else None
            sides = " | ".join(number(median(values(by_who, who, measure))) for who in ("a", "b", "floor"))
            beside = {"kafka": names["a"], "floor": names["floor"], "value": "-"}[kind]
            sign = "at least" if relation == ">=" else "at most"
            lines.append(f"| {mode} {case} | {measure} | {sides} | {beside} | {with_range(found)} | {sign} {bar:g} | "
                         f"{verdict(judged(found, measure, relation), relation, bar, of_floor)} |")
    return lines


def report(runs, machine, names, failed, bars):
    on = "{cpu}, {cores} cores, {memory_gib} GiB, Linux {kernel}".format(**machine) if machine else "an unknown machine"
    pairs = max((len(results) for by_who in runs.values() for results in by_who.values()), default=0)
    lines = [f"Measured on {on}; medians (and ranges) over {pairs} pairs of runs.", ""] + table(runs, names, bars)
    lines += [""] + [f"FAILED: {row['mode']} {row['case']} pair {row['pair']} of {row['spec']}" for row in failed]
    judged = [line.split("|")[-2].strip() for line in lines if line.startswith("| ")]
    lines.append(f"{judged.count('pass')} pass, {judged.count('short')} short, {judged.count('floor too')} where the floor "
                 f"misses the bar too, {judged.count('-')} not measured.")
    return "\n".join(lines)


def svg(runs, names, measure):
    """Horizontal bars, each case in units of the median of A."""
    rows = []
    for (mode, case), by_who in runs.items():
        base = median(values(by_who, "a", measure))
        if base:
            rows.append((f"{mode} {case}", [(who, value / base) for who in ("a", "b", "floor")
                                            if (value := median(values(by_who, who, measure))) is not None]))
    if not rows:
        return None
    left, width, bar, gap = 210, 480, 10, 12
    most = max(share for _, shares in rows for _, share in shares)
    height = 40 + sum(len(shares) * bar + gap for _, shares in rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 70}" height="{height}" '
           'font-family="sans-serif" font-size="11">',
           f'<text x="8" y="16">{measure}, {names["a"]} being 1: '
           + ", ".join(f'<tspan fill="{COLOURS[who]}">{name}</tspan>' for who, name in names.items()) + "</text>"]
    y = 30
    for name, shares in rows:
        out.append(f'<text x="8" y="{y + bar}">{xml.sax.saxutils.escape(name)}</text>')
        for who, share in shares:
            long = width * share / most
            out.append(f'<rect x="{left}" y="{y}" width="{long:.1f}" height="{bar - 2}" fill="{COLOURS[who]}"/>'
                       f'<text x="{left + long + 4:.1f}" y="{y + bar - 2}" font-size="9">{share:.3g}</text>')
            y += bar
        y += gap
    return "\n".join(out + ["</svg>", ""])


# ---- lines: how a measure grows
Curve = collections.namedtuple("Curve", "file title unit points")


def runs_along(runs, mode, pattern):
    """(x, by_who) of the cases of a mode whose name has x in it."""
    return sorted((float(match.group(1)), by_who) for (of, case), by_who in runs.items()
                  if of == mode and (match := re.fullmatch(pattern, case)))


def along(runs, mode, pattern, measure, who):
    found = ((x, median(values(by_who, who, measure))) for x, by_who in runs_along(runs, mode, pattern))
    return [(x, y) for x, y in found if y]


def percentiles(runs, case, who):
    """(1 / share of those that are slower, latency), so that each nine is as wide as the one before."""
    results = list(runs.get(("latency", case), {}).get(who, {}).values())
    shares = {"p50": 50, "p75": 75, "p90": 90, "p95": 95, "p99": 99, "p999": 99.9}
    return [(100 / (100 - share), statistics.median(found)) for name, share in shares.items()
            if (found := [r["lat_us"][name] for r in results if name in r["lat_us"]])]


CURVES = (
    Curve("latency-percentiles", "latency at 1,000 messages a second, us", ("median", "slowest of 10, 100, 1000"),
          lambda runs, who: percentiles(runs, "1k/s 100B", who)),
    Curve("cpu-per-gib", "processor seconds a GiB, by the KiB of a batch", ("1", "KiB of a batch"),
          lambda runs, who: along(runs, "curves", r"1KiBx(\d+) P8 C8", "cpu_per_gib", who)),
    Curve("throughput-connections", "requests of 100 B a second, by connections", ("1", "connections"),
          lambda runs, who: along(runs, "curves", r"100Bx1 P32 C(\d+)", "req/s", who)),
)


def lines_svg(curve, runs, names):
    """Both axes logarithmic; None when there is nothing to draw."""
    drawn = {who: points for who in ("a", "b", "floor") if len(points := curve.points(runs, who)) > 1}
    every = [point for points in drawn.values() for point in points]
    if not every:
        return None
    width, height, left, top = 640, 300, 60, 36
    low, high = ([f(math.log(point[axis]) for point in every) for axis in (0, 1)] for f in (min, max))

    def place(point):
        share = [(math.log(point[axis]) - low[axis]) / ((high[axis] - low[axis]) or 1) for axis in (0, 1)]
        return left + share[0] * width, top + (1 - share[1]) * height

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 60}" height="{top + height + 40}" '
           'font-family="sans-serif" font-size="11">',
           f'<text x="8" y="16">{curve.title}: '
           + ", ".join(f'<tspan fill="{COLOURS[who]}">{names[who]}</tspan>' for who in drawn) + "</text>",
           f'<text x="{left}" y="{top + height + 32}">{" to ".join(curve.unit)}; both axes logarithmic</text>']
    for who, points in drawn.items():
        places = [place(point) for point in points]
        out.append(f'<polyline fill="none" stroke="{COLOURS[who]}" stroke-width="2" points="'
                   + " ".join(f"{x:.1f},{y:.1f}" for x, y in places) + '"/>')
        for (x, y), point in zip(places, points):
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[who]}"/>'
                       f'<text x="{x + 4:.1f}" y="{y - 4:.1f}" font-size="9">{number(point[1])}</text>')
    for x in sorted({point[0] for point in every}):
        out.append(f'<text x="{place((x, every[0][1]))[0]:.1f}" y="{top + height + 16}" font-size="9">{number(x)}</text>')
    return "\n".join(out + ["</svg>", ""])


def write_plots(folder, runs, names):
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {f"{measure.split()[0].replace('/', '-per-').lower()}": svg(runs, names, measure) for measure in PLOTS}
    drawn.update({curve.file: lines_svg(curve, runs, names) for curve in CURVES})
    for name, text in drawn.items():
        if text:
            (folder / f"{name}.svg").write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=pathlib.Path)
    parser.add_argument("--readme", type=pathlib.Path)
    parser.add_argument("--unpinned", action="store_true")
    parser.add_argument("--plots", type=pathlib.Path)
    options = parser.parse_args()
    runs, machine, names, failed = read_runs(options.runs)
    text = report(runs, machine, names, failed, list(read_bars(HERE / "bars.txt")))
    print(text)
    if options.readme:
        begin = BEGIN_UNPINNED if options.unpinned else BEGIN
        before, _, rest = options.readme.read_text().partition(begin)
        options.readme.write_text(f"{before}{begin}\n\n{text}\n\n{END}{rest.partition(END)[2]}")
    if options.plots:
        write_plots(options.plots, runs, names)


if __name__ == "__main__":
    main()
