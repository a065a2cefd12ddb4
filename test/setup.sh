#!/bin/bash
# Makes what the programs in Python and the tests need, and keeps it; nothing is done twice.
#   test/setup.sh python    .venv, the one environment of the tests and the examples
#   test/setup.sh all       that, the packages of the tests, an environment with kafka-python 2.0.2, Apache Kafka's jars
set -eu
cd "$(dirname "$0")/.."

# environment DIR REQUIREMENTS...: made anew when a requirement changed
environment() {
    local dir=$1 wanted
    shift
    wanted=$(cat "$@" | sha256sum)
    if [ "$(cat "$dir/made-of" 2>/dev/null)" = "$wanted" ]; then return; fi
    echo "setup: $dir from $*"
    mkdir -p "$(dirname "$dir")"
    "${PYTHON:-python3}" -m venv --clear "$dir"
    local each=()
    for file in "$@"; do each+=(-r "$file"); done
    "$dir/bin/pip" install --quiet --disable-pip-version-check "${each[@]}"
    echo "$wanted" >"$dir/made-of"
}

case "${1:-all}" in
python)
    tools/deps.sh run
    environment .venv test/requirements.txt examples/*/requirements.txt
    ;;
all)
    tools/deps.sh test
    environment .venv test/requirements.txt examples/*/requirements.txt
    environment .cache/venv-kafka-python-2.0.2 test/requirements-old.txt
    test/kafka/run-kafka.sh fetch
    ;;
*)
    sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
