#!/bin/bash
# A mixed attack beside honest clients: test/hostile/run.sh ci (a minute) or long (ten); more options as storm.py has them.
set -u
cd "$(dirname "$0")/../.."
case "${1:-}" in
ci) seconds=60 ;;
long) seconds=600 ;;
*)
    sed -n '2s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
test/setup.sh all || exit 1
exec .venv/bin/python test/hostile/storm.py --seconds $seconds "${@:2}"
