#!/bin/bash
# Measures Ottla beside Apache Kafka and the floor, prints the table, writes results/.
#   bench/run.sh short            a few minutes: some cases of each kind, two pairs of short runs
#   bench/run.sh bars [fresh]     the table of bars, five pairs, half an hour: goes on where it was cut off, or anew
#   bench/run.sh unpinned [fresh] the same on all cores, without what is measured alone
#   bench/run.sh full             every case, five pairs, then unpinned: hours; needs an otherwise idle machine
#   bench/run.sh catchup [GIB]    a consumer that catches up so much (10) while producers go on
#   bench/run.sh soak [HOURS]     load past the retention limit (1): memory, files and disk
#   bench/run.sh errors           one very short run of each kind, most beside the floor: fails on wrong answers, says nothing of speed
# RESULTS names another folder for runs.jsonl and the plots; PAIRS, RUN_SECONDS and WARM_UP make bars and unpinned shorter or longer.
set -u
cd "$(dirname "$0")/.."
results=${RESULTS:-.cache/bench/results}
form=${1:-} size=${2:-}
bars_of_loads='^(produce|tiny (100|api)|fetch hot C[18]$|latency (1k|e2e)|more (lz4|zstd) 1KiBx16 |connections 5000|fsync|default|others)'
bars=(--pairs "${PAIRS:-5}" --seconds "${RUN_SECONDS:-1.2}" --warm-up "${WARM_UP:-20}" --patience 2 --resume)

# One table of one file of runs, which goes on growing unless `fresh` is wanted.
table() {
    local name=$1 status=0
    shift
    trap : TERM INT # who is cut off stops its brokers first, and reports what it has
    mkdir -p "$results"
    if [ "$size" = fresh ]; then rm -f "$results/$name.jsonl"; fi
    bench/compare.py "$@" --out "$results/$name.jsonl" >"$results/$name.md" || status=1
    bench/report.py "$results/$name.jsonl" --plots "$results/$name"
    echo "every figure: $results/$name.md; every run: $results/$name.jsonl"
    exit $status
}

case "$form" in
bars)
    table bars "${bars[@]}" --mode "produce,tiny,fetch,latency,more,connections,fsync,default,others,startup,partitions" \
        --only "$bars_of_loads|^startup|^partitions start"
    ;;
unpinned)
    table unpinned "${bars[@]}" --unpinned --mode "produce,tiny,fetch,latency,more,connections,fsync,default,others" \
        --only "$bars_of_loads"
    ;;
catchup) gib=${size:-10} size=fresh && table catchup --mode catchup --pairs "${PAIRS:-5}" --gib "$gib" ;;
soak) hours=${size:-1} size=fresh && table soak --mode soak --hours "$hours" ;;
short)
    load=(--pairs 2 --seconds 1 --warm-up 15 --patience 2 --mode "produce,tiny,fetch,latency,fsync"
        --only 'produce 1KiBx16 P32|produce 1MiBx1 P1|tiny 100Bx1 P32 C8|fetch hot C8$|latency 1k|latency e2e|fsync 1KiBx16 P32|fsync 1k')
    alone=(--pairs 2 --seconds 1 --patience 2 --mode startup)
    free=()
    ;;
full)
    load=(--pairs 5 --mode "produce,tiny,fetch,latency,fsync,default,more,curves,beside,others,connections")
    alone=(--pairs 5 --mode "startup,partitions,recovery,catchup,soak")
    free=(--pairs 5 --unpinned --mode "produce,tiny,fetch,latency,fsync")
    ;;
errors)
    once=(--pairs 1 --seconds 0.3 --warm-up 0 --patience 0 --a ottla)
    bench/compare.py "${once[@]}" --b floor --out "$(mktemp)" --mode "produce,tiny,fetch,latency,fsync" \
        --only '(produce|tiny|fsync).*P32 C8|P1 C1$|apiversions C8|metadata|fetch hot C8$|latency.*1k/s|fsync 1k/s' >/dev/null
    beside_floor=$?
    # The floor gives no producer ids.
    bench/compare.py "${once[@]}" --b ottla --out "$(mktemp)" --mode more --only 'more idempotent 100B' >/dev/null
    exit $((beside_floor | $?))
    ;;
*)
    sed -n '3,9s/^# \{0,1\}//p' "$0" >&2
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
