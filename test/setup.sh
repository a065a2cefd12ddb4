#!/bin/bash
# Makes what the programs in Python and the tests need, and keeps it; nothing is done twice.
#   test/setup.sh python    .venv, the one environment of the tests and the examples
#   test/setup.sh all       that, the packages of the tests, an environment with kafka-python 2.0.2, Apache Kafka's jars, promtool
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

# promtool out of Debian's package of Prometheus; the package itself would start a server.
fetch_promtool() {
    if [ -x .cache/promtool ] || command -v promtool >/dev/null; then return; fi
    echo "setup: promtool from Debian's package prometheus"
    local dir
    dir=$(mktemp -d)
    chmod 755 "$dir"
    if ! (cd "$dir" && apt-get download -qq prometheus 2>/dev/null); then
        if [ "$(id -u)" = 0 ]; then apt-get update -qq; else sudo -n apt-get update -qq; fi
        (cd "$dir" && apt-get download -qq prometheus)
    fi
    dpkg-deb --fsys-tarfile "$dir"/prometheus_*.deb | tar -x -C "$dir" ./usr/bin/promtool
    mkdir -p .cache
    mv "$dir/usr/bin/promtool" .cache/promtool
    rm -r "$dir"
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
    fetch_promtool
    ;;
*)
    sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
