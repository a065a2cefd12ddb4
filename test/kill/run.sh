#!/bin/bash
# The kill -9 loop: test/kill/run.sh ci (5 rounds) or long (60 rounds); more options as kill_loop.py has them.
#   BROKER=kafka runs it against Apache Kafka 4.3.1; OTTLA names the binary
set -u
cd "$(dirname "$0")/../.."
case "${1:-}" in
ci) rounds=5 ;;
long) rounds=60 ;;
*)
    sed -n '2,3s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
test/setup.sh all || exit 1
exec .venv/bin/python test/kill/kill_loop.py --rounds $rounds "${@:2}"
