#!/bin/bash
# The fuzz drivers. Without arguments: how to use them.
#   short   every input of the corpus and a few seconds of new ones for each driver: part of CI
#   long    for hours; what it found out stays in build-fuzz/inputs, and docs/fuzzing.md gets a line for each driver
#   log     adds what was run since the last time, by whatever form, to docs/fuzzing.md
#   keep    packs what was found to reach new code, without what others reach too, into fuzz/corpus/DRIVER.tar.gz: the next
#           long run begins there, on whatever machine
# Every run of a driver, also one that is stopped, leaves a line in build-fuzz/hours with the processor time it really had:
# on a busy machine that is less than the time that went by.
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
       fuzz/run.sh log                adds the runs since the last time to docs/fuzzing.md
       fuzz/run.sh keep [DRIVER...]   packs the inputs that reached something new, for the next long run
       fuzz/run.sh DRIVER [-SECONDS]  one driver until stopped, or for SECONDS
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
    local status TIMEFORMAT='%U %S'
    trap : INT TERM # the driver ends by it, what it did is still noted
    { time $build/fuzz/"$1" -max_total_time="$2" -max_len=4096 -timeout=25 -rss_limit_mb=2048 -verbosity=0 \
        -print_final_stats=1 -artifact_prefix=$build/findings/"$1"- $build/inputs/"$1" fuzz/corpus/"$1" $build/seeds/"$1" \
        >$build/"$1".log 2>&1; } 2>$build/"$1".cpu
    status=$?
    trap - INT TERM
    if [ $status = 130 ] || [ $status = 143 ] || [ $status = 72 ]; then status=0; fi # stopped by somebody
    if [ $status != 0 ]; then
        echo "fuzz: $1 found something:"
        grep -v '^\("\|stat::\|######\)' $build/"$1".log | tail -40
    fi
    echo "$(date -u +%F) $1 $(awk '{ print $1 + $2 }' $build/"$1".cpu) $(stat_of "$1" number_of_executed_units) $((status != 0))" \
        >>$build/hours
    return $status
}

# What earlier runs kept.
unpack() {
    mkdir -p $build/inputs/"$1"
    [ ! -f fuzz/corpus/"$1".tar.gz ] || tar -xzf fuzz/corpus/"$1".tar.gz -C $build/inputs/"$1"
}

# Driver after driver; tar and gzip write the same bytes for the same inputs.
keep() {
    for driver in "$@"; do
        unpack "$driver"
        rm -rf $build/kept && mkdir $build/kept
        $build/fuzz/"$driver" -merge=1 -max_len=4096 -timeout=600 -rss_limit_mb=2048 $build/kept $build/inputs/"$driver" \
            >$build/"$driver".log 2>&1 || { tail -20 $build/"$driver".log; return 1; }
        tar --sort=name --owner=0 --group=0 --mtime=@0 -C $build/kept -cf - . | gzip -9n >fuzz/corpus/"$driver".tar.gz
        echo "$driver: $(ls $build/kept | wc -l) inputs kept"
    done
}

stat_of() {
    sed -n "s/^stat::$2: *//p" $build/"$1".log
}

# A line for each day and driver in docs/fuzzing.md, and the sum above them.
log() {
    [ -s $build/hours ] || { echo "fuzz: nothing was run since the last time"; return; }
    awk '{ key = $1 " | " $2; cpu[key] += $3; findings[key] += $NF; if (NF == 5) inputs[key] += $4 }
         END { for (key in cpu) printf "| %s | %.2f | %d | %d |\n", key, cpu[key] / 3600, inputs[key], findings[key] }' \
        $build/hours | sort >>docs/fuzzing.md
    rm $build/hours
    local hours
    hours=$(awk -F'|' '/^\| 2/ { sum += $4 } END { printf "%.2f", sum }' docs/fuzzing.md)
    sed -i "s/^CPU hours so far: .*/CPU hours so far: $hours/" docs/fuzzing.md
    echo "fuzz: CPU hours so far: $hours"
}

# all SECONDS
all() {
    local passed=0 failed=0 driver
    for driver in $(drivers); do
        local start=$SECONDS found=0
        [ "$1" = $short_seconds ] || unpack "$driver"
        run "$driver" "$1" || found=1
        echo "$driver: $(stat_of "$driver" number_of_executed_units) inputs in $((SECONDS - start)) s"
        passed=$((passed + 1 - found)) failed=$((failed + found))
    done
    echo "fuzz: $passed passed, $failed failed"
    [ $failed = 0 ]
}

case "${1:-}" in
short)
    build_drivers
    all $short_seconds
    ;;
long)
    build_drivers
    all "${2:-$long_seconds}"
    status=$?
    log
    exit $status
    ;;
log)
    log
    ;;
keep)
    build_drivers
    if [ $# -gt 1 ]; then keep "${@:2}"; else keep $(drivers); fi
    ;;
'' | -*)
    usage
    ;;
*)
    drivers | grep -qx "$1" || { usage >&2; exit 2; }
    build_drivers
    seconds=1000000000
    if [[ "${2:-}" =~ ^-([0-9]+)$ ]]; then seconds=${BASH_REMATCH[1]}
    elif [ $# -gt 1 ]; then exec $build/fuzz/"$1" "${@:2}"; fi
    unpack "$1"
    run "$1" "$seconds"
    ;;
esac
