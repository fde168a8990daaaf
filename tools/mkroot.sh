#!/bin/sh
# mkroot.sh ROOT "TREE..." PROGRAM...
#
# Lays out the image's root directory afresh: the directories every program may expect, the trees,
# and the programs in /bin. Programs are stripped here; the built files keep their symbols.
set -eu

root=$1 trees=$2
shift 2

rm -rf "$root"
mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$root/dev"
chmod 1777 "$root/tmp"
for tree in $trees; do
  cp -R "$tree/." "$root/"
done
for program in "$@"; do
  if ! strip -o "$root/bin/${program##*/}" "$program" 2>/dev/null; then
    cp "$program" "$root/bin/"
  fi
done
