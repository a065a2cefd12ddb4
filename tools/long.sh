#!/bin/bash
# The long forms of what CI runs short: the simulator's seeds, the fuzz drivers, the kill loop, the mixed attack, every way
# between Apache Kafka and Ottla, 10,000 topics under few descriptors. Hours; not in CI.
set -u
cd "$(dirname "$0")/.."
status=0
for part in "sim/run.sh long" "test/kill/run.sh long" "test/hostile/run.sh long" "env BOTH_WAYS=long test/run.sh test/both" \
    "env MANY_TOPICS=10000 test/run.sh -k many_topics" "fuzz/run.sh long"; do
    echo "=== $part"
    $part || { echo "=== $part: FAILED"; status=1; }
done
exit $status
