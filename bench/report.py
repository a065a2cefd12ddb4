#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lays the runs that compare.py wrote beside the bars of bars.txt: a table and plots.

    report.py RUNS.jsonl [--readme FILE] [--plots DIR]

Prints the table. --readme puts it between the two marker lines of a file, --plots writes an SVG for each measure.
`pass` and `short` compare the median over the pairs with the bar; `-` where a side was not measured. `floor too` means
that the floor misses the bar beside Kafka as well, so that the bar beside the floor decides.
"""
import argparse
import collections
import json
import pathlib
import re
import statistics
import xml.sax.saxutils

HERE = pathlib.Path(__file__).resolve().parent
BEGIN, END = "<!-- report.py writes from here -->", "<!-- to here -->"
NAMES = {"kafka": "Kafka", "ottla": "Ottla", "floor": "floor"}
COLOURS = {"a": "#8a8f98", "b": "#2f7d5b", "floor": "#d8b25c"}
PLOTS = ("req/s", "CPU us/req", "p99 us")

MEASURES = {
    "req/s": lambda r: r.get("req_s"),
    "CPU us/req": lambda r: r.get("cpu_s_per_mreq"),
    "p50 us": lambda r: r["lat_us"]["p50"] if "lat_us" in r else None,
    "p99 us": lambda r: r["lat_us"]["p99"] if "lat_us" in r else None,
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
            of_floor = median(ratios(by_who, measure, "floor", "a")) if kind == "kafka" and has_floor_bar else None
            sides = " | ".join(number(median(values(by_who, who, measure))) for who in ("a", "b", "floor"))
            beside = {"kafka": names["a"], "floor": names["floor"], "value": "-"}[kind]
            sign = "at least" if relation == ">=" else "at most"
            lines.append(f"| {mode} {case} | {measure} | {sides} | {beside} | {with_range(found)} | {sign} {bar:g} | "
                         f"{verdict(median(found), relation, bar, of_floor)} |")
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=pathlib.Path)
    parser.add_argument("--readme", type=pathlib.Path)
    parser.add_argument("--plots", type=pathlib.Path)
    options = parser.parse_args()
    runs, machine, names, failed = read_runs(options.runs)
    text = report(runs, machine, names, failed, list(read_bars(HERE / "bars.txt")))
    print(text)
    if options.readme:
        before, _, rest = options.readme.read_text().partition(BEGIN)
        options.readme.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")
    if options.plots:
        options.plots.mkdir(parents=True, exist_ok=True)
        for measure in PLOTS:
            drawn = svg(runs, names, measure)
            if drawn:
                (options.plots / f"{measure.split()[0].replace('/', '-per-').lower()}.svg").write_text(drawn)


if __name__ == "__main__":
    main()
