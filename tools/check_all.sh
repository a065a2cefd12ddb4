#!/bin/bash
# Everything CI runs beside `make test`: make check, then the same code through clang, the sanitizers, clang-tidy, the
# fuzz drivers and the simulator, and the oracle's recordings against a live Apache Kafka. Each step is named and timed; a failed one does not stop the others, and is told at the
# end. `tools/check_all.sh STEP...` runs those steps alone.
set -u
cd "$(dirname "$0")/.."

jobs=${JOBS:-$(nproc)}
ccache=$(command -v ccache || true)
failed=()
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export ASAN_OPTIONS=detect_stack_use_after_return=0:strict_string_checks=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1

# configure DIR COMPILER [MESON OPTION...]
configure() {
    [ -f "$1/build.ninja" ] || CC="$ccache $2" meson setup "$1" "${@:3}" >"$1.log" 2>&1 || { cat "$1.log"; return 1; }
}

unit_tests() {
    meson test -C "$1" --quiet --print-errorlogs --num-processes "$jobs" "${@:2}"
}

step_check() {
    configure build gcc && ninja -C build --quiet -j "$jobs" && make --no-print-directory check JOBS="$jobs"
}

step_clang() {
    configure build-clang clang-14 && ninja -C build-clang --quiet -j "$jobs" && unit_tests build-clang --no-suite mutant --no-suite walk --no-suite sim
}

step_asan() {
    configure build-asan clang-14 -Db_sanitize=address,undefined -Db_lundef=false &&
        ninja -C build-asan --quiet -j "$jobs" && unit_tests build-asan --no-suite mutant --no-suite walk
}

# The floors that share memory between threads; the others are pure and would only take time.
step_tsan() {
    configure build-tsan clang-14 -Db_sanitize=thread -Db_lundef=false &&
        ninja -C build-tsan --quiet -j "$jobs" &&
        unit_tests build-tsan --suite base --suite io --suite storage --suite meta --suite replica --suite broker --suite net \
            --suite http --suite main
}

# Instructions a request on the hot paths, by both compilers; seconds.
step_instructions() {
    configure build gcc && bench/instructions.py build && configure build-clang clang-14 && bench/instructions.py build-clang
}

# Every answer of the benchmarks is checked by their load generator; how fast it comes decides nothing.
step_bench() {
    configure build gcc && ninja -C build --quiet -j "$jobs" && bench/run.sh errors
}

step_tidy() {
    configure build-clang clang-14 && tools/tidy.py build-clang
}

step_fuzz() {
    fuzz/run.sh short
}

step_sim() {
    sim/run.sh ci
}

# The kill -9 loop in its short form: everything acknowledged is there once, in order, and nothing else.
step_kill() {
    configure build gcc && ninja -C build --quiet -j "$jobs" && test/kill/run.sh ci
}

# A minute of every kind of attack at once, beside clients that verify every record.
step_hostile() {
    configure build gcc && ninja -C build --quiet -j "$jobs" && test/hostile/run.sh ci
}

# Do the oracle's recordings still say what Apache Kafka says? Half a minute, most of it Kafka's start.
step_oracle() {
    test/setup.sh all && .venv/bin/python -m pytest -c test/pytest.ini --rootdir test -q --broker kafka test/oracle
}

run_step() {
    echo "=== $1"
    local start=$SECONDS
    if "step_$1"; then
        echo "=== $1: ok, $((SECONDS - start)) s"
    else
        echo "=== $1: FAILED, $((SECONDS - start)) s"
        failed+=("$1")
    fi
}

steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(check clang instructions bench asan tsan tidy fuzz sim kill hostile oracle)
for step in "${steps[@]}"; do
    run_step "$step"
done
echo "steps: $((${#steps[@]} - ${#failed[@]})) passed, ${#failed[@]} failed"
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}"
    exit 1
fi
