# SPDX-License-Identifier: Apache-2.0
"""The benchmark's report judges by medians of pairs, of tails by the worst, and says what it was not given."""
import json
import pathlib
import subprocess
import sys

REPORT = pathlib.Path(__file__).resolve().parents[2] / "bench" / "report.py"


def run(who, spec, pair, rate, valid=True):
    return {"mode": "tiny", "case": "100Bx1 P1 C1", "pair": pair, "who": who, "spec": spec,
            "result": {"valid": valid, "req_s": rate, "cpu_s_per_mreq": 10 if who == "a" else 6, "lat_us": {"p50": 1, "p99": 2}}}


def report(folder, rows, *options):
    (folder / "runs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = subprocess.run([sys.executable, str(REPORT), str(folder / "runs.jsonl"), "--plots", str(folder), *options],
                          stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()


def test_the_median_of_the_pairs_is_held_against_the_bar(tmp_path):
    rates = ((100, 300), (100, 250), (100, 110))
    lines = report(tmp_path, [run(who, spec, pair, rate) for pair, both in enumerate(rates)
                              for who, spec, rate in zip("ab", ("kafka", "ottla"), both)])
    assert "| tiny 100Bx1 P1 C1 | req/s | 100 | 250 | - | Kafka | 2.5 (1.1 to 3) | at least 1.9 | pass |" in lines
    assert "| tiny 100Bx1 P1 C1 | CPU us/req | 10 | 6 | - | Kafka | 0.6 | at most 0.25 | short |" in lines
    assert lines[-1] == "1 pass, 1 short, 0 where the floor misses the bar too, 1 not measured."
    assert ">2.5<" in (tmp_path / "req-per-s.svg").read_text()


def test_a_tail_counts_only_when_it_holds_in_every_pair(tmp_path):
    def tails(worst):
        for pair, us in enumerate((50, 60, worst)):
            for who, spec, p99 in (("a", "kafka", 100), ("b", "ottla", us)):
                row = dict(run(who, spec, pair, 1000), mode="latency", case="e2e 1k/s")
                row["result"]["lat_us"] = {"p50": 10, "p99": p99}
                yield row
    verdicts = [next(line for line in report(tmp_path, tails(worst)) if "p99" in line).split("|")[-2] for worst in (90, 110)]
    assert verdicts == [" pass ", " short "]


def test_the_unpinned_table_has_a_place_of_its_own(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- report.py writes from here -->\nold\n<!-- to here -->\nbetween\n"
                      "<!-- report.py --unpinned writes from here -->\nold\n<!-- to here -->\nend\n")
    report(tmp_path, [run("b", "ottla", 0, 111)], "--readme", str(readme))
    report(tmp_path, [run("b", "ottla", 0, 222)], "--readme", str(readme), "--unpinned")
    first, second = readme.read_text().split("between")
    assert "old" not in first + second and second.endswith("<!-- to here -->\nend\n")
    assert "| 111 |" in first and "| 222 |" in second


def test_a_failed_run_is_named_and_not_counted(tmp_path):
    lines = report(tmp_path, [run("a", "kafka", 0, 100), run("b", "ottla", 0, 900, valid=False)])
    assert "FAILED: tiny 100Bx1 P1 C1 pair 0 of ottla" in lines
    assert lines[-1] == "0 pass, 0 short, 0 where the floor misses the bar too, 3 not measured."


def test_lines_show_how_a_measure_grows(tmp_path):
    rows = [dict(run(who, spec, 0, rate * n), mode="curves", case=f"100Bx1 P32 C{n}")
            for who, spec, rate in (("a", "kafka", 1000), ("b", "ottla", 5000)) for n in (1, 8, 64)]
    latency = dict(run("b", "ottla", 0, 1), mode="latency", case="1k/s 100B")
    latency["result"]["lat_us"] = {"p50": 111, "p99": 222, "p999": 333, "max": 9}
    report(tmp_path, rows + [latency])
    throughput = (tmp_path / "throughput-connections.svg").read_text()
    assert throughput.count("<polyline") == 2 and ">320,000<" in throughput and ">64<" in throughput
    percentiles = (tmp_path / "latency-percentiles.svg").read_text()
    assert percentiles.count("<circle") == 3 and all(f">{us}<" in percentiles for us in (111, 222, 333))
    assert not (tmp_path / "cpu-per-gib.svg").exists()
