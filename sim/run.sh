#!/bin/bash
# The simulator's runs. Without arguments: how to use it.
#   ci     the unit tests of the simulator, CI's seeds, and the mutants, which must be caught
#   long   seeds that nobody has run yet, until stopped or for so many seconds
set -u
cd "$(dirname "$0")/.."
build=${BUILD:-build}
jobs=${JOBS:-$(nproc)}
simulators=$(cd sim && ls ./*_sim.c | sed 's|^\./\(.*\)_sim\.c$|\1|')

usage() {
    cat <<END
usage: sim/run.sh ci                  CI's seeds and mutants
       sim/run.sh long [SECONDS]      new seeds, until stopped or for SECONDS
       sim/run.sh SIMULATOR SEED      replays one seed, with the broker's log lines
       sim/run.sh SIMULATOR SEED COUNT [MUTANT]

Simulators: $(echo $simulators).
A failed run prints its seed; the same seed gives the same run to the last byte, in any build: to look at it with a
debugger or a sanitizer, BUILD=build-asan sim/run.sh SIMULATOR SEED, or gdb --args build/sim/SIMULATOR_sim SEED 1.
END
}

make_programs() {
    [ -f "$build/build.ninja" ] || make --no-print-directory build/build.ninja || exit 1
    ninja -C "$build" --quiet -j "$jobs" $(for s in $simulators; do echo "sim/${s}_sim"; done) || exit 1
}

# First as many connections as one reactor is meant for; then every round of every simulator takes the next seeds after a start that the clock chooses.
long() {
    local end=$((SECONDS + ${1:-1000000000})) from=$(($(date +%s) * 1000)) failed=0
    "$build/sim/connections_sim" "$from" 1 50000 || failed=$((failed + 1))
    while [ $SECONDS -lt $end ]; do
        for s in $simulators; do
            "$build/sim/${s}_sim" "$from" 200 || failed=$((failed + 1))
        done
        from=$((from + 200))
    done
    echo "sim: $failed runs failed"
    [ $failed = 0 ]
}

case "${1:-}" in
ci)
    [ -f "$build/build.ninja" ] || make --no-print-directory build/build.ninja || exit 1
    meson test -C "$build" --suite sim --suite mutant --suite walk --quiet --print-errorlogs --num-processes "$jobs"
    ;;
long)
    make_programs
    long "${2:-}"
    ;;
'' | -*)
    usage
    ;;
*)
    [ -f "sim/$1_sim.c" ] && [ $# -ge 2 ] || { usage >&2; exit 2; }
    make_programs
    exec "$build/sim/$1_sim" "$2" "${3:-1}" "${@:4}"
    ;;
esac
