#!/bin/bash
# Measures Ottla beside Apache Kafka and the floor, prints the table, writes results/.
#   bench/run.sh short      a few minutes: some cases of each kind, two pairs of short runs
#   bench/run.sh full       every case, five pairs, then unpinned: hours; needs an otherwise idle machine
#   bench/run.sh errors     one very short run of each kind beside the floor: fails on wrong answers, says nothing of speed
# RESULTS names another folder for runs.jsonl and the plots.
set -u
cd "$(dirname "$0")/.."
results=${RESULTS:-.cache/bench/results}
case "${1:-}" in
short)
    load=(--pairs 2 --seconds 1 --warm-up 15 --patience 2 --mode "produce,tiny,fetch,latency,fsync"
        --only 'produce 1KiBx16 P32|produce 1MiBx1 P1|tiny 100Bx1 P32 C8|fetch hot C8$|latency 1k|latency e2e|fsync 1KiBx16 P32|fsync 1k')
    alone=(--pairs 2 --seconds 1 --patience 2 --mode startup)
    free=()
    ;;
full)
    load=(--pairs 5 --mode "produce,tiny,fetch,latency,fsync,more,curves,beside,connections")
    alone=(--pairs 5 --mode "startup,partitions")
    free=(--pairs 5 --unpinned --mode "produce,tiny,fetch,latency,fsync")
    ;;
errors)
    exec bench/compare.py --a ottla --b floor --pairs 1 --seconds 0.3 --warm-up 0 --patience 0 --out "$(mktemp)" \
        --mode "produce,tiny,fetch,latency,fsync" --only 'P32 C8|P1 C1$|apiversions C8|metadata|fetch hot C8$|1k/s' >/dev/null
    ;;
*)
    sed -n '3,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
mkdir -p "$results"
rm -f "$results/runs.jsonl"
status=0
bench/compare.py "${load[@]}" --out "$results/runs.jsonl" >"$results/compare.md" || status=1
bench/compare.py "${alone[@]}" --out "$results/runs.jsonl" >>"$results/compare.md" || status=1
bench/report.py "$results/runs.jsonl" --plots "$results"
if [ ${#free[@]} -gt 0 ]; then # once more on all cores
    rm -f "$results/unpinned.jsonl"
    bench/compare.py "${free[@]}" --out "$results/unpinned.jsonl" >"$results/unpinned.md" || status=1
    echo
    echo "Not pinned, on all cores:"
    bench/report.py "$results/unpinned.jsonl"
fi
echo "every figure: $results/compare.md; every run: $results/runs.jsonl"
exit $status
