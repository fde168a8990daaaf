#!/bin/sh
# debug.sh SYMBOLS RUN-OPTION...
#
# Boots under QEMU's gdb stub and attaches gdb, in this terminal, with the kernel's symbols. The
# machine's console goes to build/debug.out; leaving gdb ends the machine.
set -eu

symbols=$1
shift
command -v gdb >/dev/null 2>&1 || {
  echo "debug: gdb is not installed: apt-get install gdb" >&2
  exit 1
}
tools/run.py "$@" --kernel "$symbols" --gdb --timeout 0 </dev/null >build/debug.out 2>&1 &
runner=$!
trap 'kill "$runner" 2>/dev/null || true; wait "$runner" 2>/dev/null || true' EXIT
gdb -q -iex 'set pagination off' -ex 'set tcp connect-timeout 20' \
  -ex 'target remote 127.0.0.1:1234' "$symbols"
