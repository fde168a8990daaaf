#!/bin/sh
# build.sh SRC TREE SYSROOT: builds musl for Cathode.
#
# SRC is musl as it was fetched. TREE becomes a copy in which the files of overlay/ replace its own,
# those of removed.txt are gone (user/posix has their functions) and edits.sed has changed a few
# lines. Its own makefile builds it; headers, start files and musl.a go to SYSROOT. What has been
# built from the same inputs before is kept. Two builds at once take turns. CC and MAKE come from
# the caller.
#
# -fPIE objects serve static and static-PIE programs.
set -eu

src=$1 tree=$2 sysroot=$3
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$tree" "$sysroot/lib"
sysroot=$(cd "$sysroot" && pwd)

exec 9>"$tree.lock"
flock 9

inputs=$({
  cat "$here/../calls.def" "$here/../calls.h" "$here/../point.h" "$src/VERSION"
  find "$here" -type f | LC_ALL=C sort | xargs cat
  "$CC" --version
} | sha256sum)
if [ "$(cat "$sysroot/.inputs" 2>/dev/null)" = "$inputs" ]; then
  exit 0
fi

rm -rf "$tree"
cp -R "$src" "$tree"
cp -R "$here/overlay/." "$tree/"
cd "$tree"
xargs rm <"$here/removed.txt"
sed -i -f "$here/edits.sed" src/env/__init_tls.c src/thread/pthread_create.c \
  src/thread/pthread_mutex_timedlock.c src/time/timer_create.c src/internal/syscall.h \
  src/thread/pthread_cancel.c

if ! {
  CFLAGS="-O2 -fPIE -fno-stack-protector -I$here/.." ./configure --disable-shared \
    --enable-optimize=no --prefix=/ &&
    echo 'AOBJS = $(LIBC_OBJS)' >>config.mak &&
    "$MAKE" install-headers DESTDIR="$sysroot" &&
    "$MAKE" lib/libc.a lib/crt1.o lib/rcrt1.o lib/crti.o lib/crtn.o
} >build.log 2>&1; then
  tail -20 build.log >&2
  echo "build.sh: musl did not build; the whole log is in $tree/build.log" >&2
  exit 1
fi

cp lib/crt1.o lib/rcrt1.o lib/crti.o lib/crtn.o "$sysroot/lib/"
cp lib/libc.a "$sysroot/musl.a"
echo "$inputs" >"$sysroot/.inputs"
