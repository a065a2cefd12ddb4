#!/bin/bash
# Makes what the tests need and keeps it: the two Python environments and the jars of Apache Kafka. Nothing is done twice.
#   test/setup.sh [python|all]
set -eu
cd "$(dirname "$0")/.."

# environment DIR REQUIREMENTS...: made anew when a requirement changed
environment() {
    local dir=$1 wanted
    shift
    wanted=$(cat "$@" | sha256sum)
    if [ "$(cat "$dir/made-of" 2>/dev/null)" = "$wanted" ]; then return; fi
    mkdir -p "$(dirname "$dir")"
    "${PYTHON:-python3}" -m venv --clear "$dir"
    local each=()
    for file in "$@"; do each+=(-r "$file"); done
    "$dir/bin/pip" install --quiet --disable-pip-version-check "${each[@]}"
    echo "$wanted" >"$dir/made-of"
}

tools/deps.sh test
environment .cache/venv test/requirements.txt
environment .cache/venv-kafka-python-2.0.2 test/requirements-old.txt
if [ "${1:-all}" = all ]; then test/kafka/run-kafka.sh fetch; fi
