#!/bin/sh
# Installs what Ottla needs and this machine lacks: `tools/deps.sh run` for building and running, `tools/deps.sh test`
# for everything. As root or with a password-free sudo it uses apt; elsewhere it says what to install and fails.
# One Debian 12 package a word; a|b means that either will do and a is installed when both are missing.
set -eu

run_packages="
gcc g++ libc6-dev make meson ninja-build pkgconf|pkg-config python3 python3-venv
libisal-dev zlib1g-dev liblz4-dev libzstd-dev libsnappy-dev libmicrohttpd-dev libdw-dev libre2-dev
libcmocka-dev libjansson-dev
"
test_packages="
ccache binutils valgrind
clang-14 llvm-14 libclang-rt-14-dev clang-format-14 clang-tidy-14 universal-ctags
nodejs chromium kcat strace unzip procps openjdk-17-jdk-headless|default-jdk-headless maven
"

case "${1:-test}" in
run) wanted="$run_packages" ;;
test) wanted="$run_packages $test_packages" ;;
*)
    echo "usage: tools/deps.sh [run|test]" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "This is not a Debian system. Please see to it that these are installed (Debian's names):" >&2
    echo $wanted >&2
    exit 0
fi

installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | sed -n 's/^.i. *//p')
has() {
    printf '%s\n' "$installed" | grep -qx -- "$1"
}

missing=""
for choice in $wanted; do
    found=no
    for package in $(echo "$choice" | tr '|' ' '); do
        if has "$package"; then found=yes; fi
    done
    if [ "$found" = no ]; then missing="$missing ${choice%%|*}"; fi
done
# Debian has npm in a package of its own, other sources of Node.js bring it along.
if [ "${1:-test}" = test ] && ! command -v npm >/dev/null; then missing="$missing npm"; fi
if [ -z "$missing" ]; then exit 0; fi

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "Missing packages. Please install them and try again:" >&2
    echo "    sudo apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
echo "deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q
$as_root apt-get install -q -y --no-install-recommends $missing
