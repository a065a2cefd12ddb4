#!/bin/bash
# Runs the clients of the field against Ottla: each one unmodified, with a broker of its own that is restarted half way.
#   test/clients/run.sh [--broker ottla|kafka] [--table FILE] [CLIENT...]     without names: all of them
#   test/clients/run.sh quick                                                 those that CI runs
# A client whose tools or packages this machine cannot have is skipped with a line that says why; nothing is silent.
# The last line is `N passed, N failed, N skipped`.
set -u
cd "$(dirname "$0")/../.."
test/setup.sh python || exit 1
exec .venv/bin/python test/clients/run.py "$@"
