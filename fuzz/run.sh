#!/bin/bash
# The fuzz drivers. Without arguments: how to use them.
#   short   every input of the corpus and a few seconds of new ones for each driver: part of CI
#   long    for hours; what it found out stays in build-fuzz/inputs, and docs/fuzzing.md gets a line for each driver
set -u
cd "$(dirname "$0")/.."
build=build-fuzz
jobs=${JOBS:-$(nproc)}
short_seconds=6 long_seconds=3600
export ASAN_OPTIONS=detect_stack_use_after_return=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

drivers() {
    ls fuzz/*_fuzz.c src/*/*_fuzz.c | sed 's|.*/\(.*\)\.c|\1|' | sort
}

usage() {
    cat <<END
usage: fuzz/run.sh short              all drivers, $short_seconds seconds each
       fuzz/run.sh long [SECONDS]     all drivers, SECONDS each ($long_seconds)
       fuzz/run.sh DRIVER             one driver until stopped
       fuzz/run.sh DRIVER FILE...     runs it on these inputs: how to replay a finding

Drivers: $(echo $(drivers)).
A finding is written to $build/findings; make it smaller with $build/fuzz/DRIVER -minimize_crash=1 -runs=10000 FILE, then
keep it in fuzz/corpus/DRIVER under a name that says what it was.
END
}

build_drivers() {
    if [ ! -f $build/build.ninja ]; then
        CC="$(command -v ccache) clang-14" meson setup $build -Dfuzz=true -Dtests=disabled -Db_sanitize=address,undefined \
            -Db_lundef=false >$build.log 2>&1 || { cat $build.log; exit 1; }
    fi
    ninja -C $build --quiet -j "$jobs" $(for d in $(drivers); do echo "fuzz/$d"; done) || exit 1
    fuzz/seeds.py $build/seeds || exit 1
}

# run DRIVER SECONDS: 0 when nothing was found. Old inputs first, so a finding of the past that is back fails at once.
run() {
    mkdir -p $build/inputs/"$1" $build/findings fuzz/corpus/"$1" $build/seeds/"$1"
    $build/fuzz/"$1" -max_total_time="$2" -max_len=4096 -timeout=25 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix=$build/findings/"$1"- $build/inputs/"$1" fuzz/corpus/"$1" $build/seeds/"$1" >$build/"$1".log 2>&1
    local status=$?
    if [ $status != 0 ]; then
        echo "fuzz: $1 found something:"
        grep -v '^\("\|stat::\|######\)' $build/"$1".log | tail -40
    fi
    return $status
}

stat_of() {
    sed -n "s/^stat::$2: *//p" $build/"$1".log
}

# note DRIVER SECONDS FINDINGS: a line in the log, and the sum above it.
note() {
    printf '| %s | %s | %s | %s | %s |\n' "$(date -u +%F)" "$1" "$(awk "BEGIN { printf \"%.2f\", $2 / 3600 }")" \
        "$(stat_of "$1" number_of_executed_units)" "$3" >>docs/fuzzing.md
    local hours
    hours=$(awk -F'|' '/^\| 2/ { sum += $4 } END { printf "%.2f", sum }' docs/fuzzing.md)
    sed -i "s/^CPU hours so far: .*/CPU hours so far: $hours/" docs/fuzzing.md
}

# all SECONDS KEEPS_LOG
all() {
    local passed=0 failed=0 driver
    for driver in $(drivers); do
        local start=$SECONDS found=0
        run "$driver" "$1" || found=1
        echo "$driver: $(stat_of "$driver" number_of_executed_units) inputs in $((SECONDS - start)) s"
        [ "$2" = no ] || note "$driver" $((SECONDS - start)) $found
        passed=$((passed + 1 - found)) failed=$((failed + found))
    done
    echo "fuzz: $passed passed, $failed failed"
    [ $failed = 0 ]
}

case "${1:-}" in
short)
    build_drivers
    all $short_seconds no
    ;;
long)
    build_drivers
    all "${2:-$long_seconds}" yes
    ;;
'' | -*)
    usage
    ;;
*)
    drivers | grep -qx "$1" || { usage >&2; exit 2; }
    build_drivers
    if [ $# -gt 1 ]; then exec $build/fuzz/"$1" "${@:2}"; fi
    run "$1" 1000000000
    ;;
esac
