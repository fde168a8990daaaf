#!/bin/sh
# musl.sh SRC OUT: builds musl for Linux, unchanged, into OUT/{include,lib}.
#
# SRC is the pinned source that Cathode's libc is made of (tools/musl.sh), so that both sides of a
# comparison have the same version of the same libc, by the same compiler. CC and MAKE come from the
# caller. Linux's own headers are linked in beside musl's where the host has them.
set -eu

src=$(cd "$1" && pwd)
mkdir -p "$2/build"
out=$(cd "$2" && pwd)
cd "$out/build"

if ! {
  CFLAGS="-O2 -fno-stack-protector" "$src/configure" --disable-shared --enable-optimize=no \
    --enable-wrapper=no --prefix="$out" &&
    "$MAKE" install-headers install-libs
} >build.log 2>&1; then
  tail -20 build.log >&2
  echo "musl.sh: musl did not build for Linux; the whole log is in $out/build/build.log" >&2
  exit 1
fi

for name in linux asm asm-generic; do
  for place in /usr/include /usr/include/x86_64-linux-gnu; do
    if [ -d "$place/$name" ]; then ln -sfn "$place/$name" "$out/include/$name"; fi
  done
done
