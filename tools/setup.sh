#!/bin/sh
# Installs what the build, the tests and the benchmarks need and this host lacks. With nothing
# missing it takes a few milliseconds and calls no package manager. Without apt, or without root,
# it prints the one line that a person can paste, and fails.
#
#   setup.sh [--build] [--list]   --build: what `make run` needs, no more; --list: only say it
set -eu

# command or file that proves a package : the package
needs='
gcc:gcc
ld:binutils
/usr/include/stdio.h:libc6-dev
nasm:nasm
qemu-system-x86_64:qemu-system-x86
python3:python3
xz:xz-utils
'
if [ "${1:-}" = --build ]; then
  shift
else
  needs="$needs
clang:clang
clang-format:clang-format
gnuplot:gnuplot-nox
xorriso:xorriso
grub-mkrescue:grub-common
/usr/lib/grub/i386-pc:grub-pc-bin
"
fi
# What some checks are skipped without: installed with the rest on a fresh machine, if apt knows it.
extras='spin libclang-rt-14-dev'

is_there() {
  case $1 in
  /*) [ -e "$1" ] ;;
  *) command -v "$1" >/dev/null 2>&1 ;;
  esac
}

missing=
for need in $needs; do
  is_there "${need%%:*}" || missing="$missing ${need#*:}"
done
if [ "${1:-}" = --list ]; then
  echo "${missing# }"
  exit 0
fi
[ -n "$missing" ] || exit 0

line="apt-get update && apt-get install -y --no-install-recommends$missing"
if ! command -v apt-get >/dev/null 2>&1; then
  echo "setup: this host has no apt; install what these Debian packages hold:$missing" >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "setup: missing packages; paste this: sudo sh -c '$line'" >&2
  exit 1
fi

echo "setup: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
lock='-o DPkg::Lock::Timeout=300'
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # both are lists of words
if ! { apt-get $lock update && apt-get $lock install -y --no-install-recommends $missing; } \
  >"$log" 2>&1 </dev/null; then
  tail -n 20 "$log" >&2
  echo "setup: apt could not install:$missing (its last words are above); try: $line" >&2
  exit 1
fi
# shellcheck disable=SC2086 # as above
apt-get $lock install -y --no-install-recommends $extras >"$log" 2>&1 </dev/null ||
  echo "setup: apt could not install $extras; the checks that need them will say so" >&2
