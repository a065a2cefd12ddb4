#!/bin/bash
# The tests with real clients: black box, recorded oracle, kill loop in its CI form, the event log example.
#   test/run.sh [pytest option...]      BROKER=kafka runs them against Apache Kafka 4.3.1; OTTLA names the binary
# The last line is `N passed, N failed`.
set -u
cd "$(dirname "$0")/.."
named=no
for word in "$@"; do [ ! -e "${word%%::*}" ] || named=yes; done
[ $named = yes ] || set -- "$@" test/blackbox test/console test/oracle test/kill
test/setup.sh all || exit 1
out=$(mktemp)
trap 'rm -f "$out"' EXIT
.venv/bin/python -m pytest -c test/pytest.ini --rootdir test -q "$@" 2>&1 | tee "$out"
status=${PIPESTATUS[0]}
# The same runs again as one plain line; pytest's own summary has words that differ with the outcome.
count() { sed -n "s/.*[^0-9]*\b\([0-9][0-9]*\) $1.* in [0-9.]*s.*/\1/p" "$out" | tail -1; }
passed=$(count passed)
failed=$(count failed)
errors=$(count "errors\?")
echo "${passed:-0} passed, $((${failed:-0} + ${errors:-0})) failed"
exit "$status"
