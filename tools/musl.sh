#!/bin/sh
# musl.sh DIR
#
# Puts the pinned, verified source of musl into DIR/src. It is Debian's source package, fetched
# through a private apt source list: deb-src entries derived from the host's own deb entries, with
# package lists and caches under DIR, so that the system's configuration is neither changed nor
# asked for deb-src. MUSL_TARBALL=path uses a file instead; the checksum is demanded of both.
set -eu

version=1.2.3-1
sha256=7d5b0b6062521e4627e099e4c9dc8248d32a30285e959b7eecaa780cf8cfd4a4
upstream=${version%-*}

fail() {
  echo "musl: $*" >&2
  exit 1
}

# ---- the private source list ------------------------------------------------------------------
# Only entries of the host's own release and component main: other archives hold no musl, and may
# hold no source index at all.

codename() {
  # shellcheck disable=SC1091 # the system's own file
  (. /etc/os-release && echo "${VERSION_CODENAME:-}")
}

# One-line entries: `deb [options] uri suite component...`
list_convert() {
  awk -v release="$1" '
    $1 != "deb" && $1 != "deb-src" { next }
    {
      options = ""
      if (match($0, /\[[^]]*\]/)) {
        options = substr($0, RSTART, RLENGTH) " "
        $0 = substr($0, 1, RSTART - 1) substr($0, RSTART + RLENGTH)
      }
      if ($3 == release && / main( |$)/)
        print "deb-src " options $2, $3, "main"
    }' "$2"
}

# deb822 stanzas: everything is kept but the types, the suites and the components.
sources_convert() {
  awk -v release="$1" '
    BEGIN { RS = ""; FS = "\n" }
    {
      ours = 0; enabled = 1; main = 0; out = ""
      for (i = 1; i <= NF; i++) {
        field = tolower($i); sub(/:.*/, "", field)
        if ($i ~ /^#/ || field == "types" || field == "components")
          main = main || (field == "components" && $i ~ /[ \t]main([ \t]|$)/)
        else if (field == "suites") {
          n = split($i, word, /[ \t]+/)
          for (k = 2; k <= n; k++)
            ours = ours || word[k] == release
        } else {
          if (field == "enabled" && tolower($i) ~ /no|false/)
            enabled = 0
          out = out $i "\n"
        }
      }
      if (ours && enabled && main)
        printf "Types: deb-src\nSuites: %s\nComponents: main\n%s\n", release, out
    }' "$2"
}

source_lists_make() {
  release=$(codename)
  [ -n "$release" ] || fail "/etc/os-release names no release; give MUSL_TARBALL=path"
  rm -rf "$dir/sources.d"
  mkdir -p "$dir/sources.d"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    if [ -r "$file" ]; then list_convert "$release" "$file"; fi
  done | sort -u >"$dir/sources.d/src.list"
  for file in /etc/apt/sources.list.d/*.sources; do
    if [ -r "$file" ]; then sources_convert "$release" "$file"; fi
  done >"$dir/sources.d/src.sources"
  [ -s "$dir/sources.d/src.list" ] || [ -s "$dir/sources.d/src.sources" ] ||
    fail "no apt entry of this host is for $release main; give MUSL_TARBALL=path"
}

apt_private() {
  apt-get -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$dir/sources.d" \
    -o Dir::State::Lists="$dir/lists" -o Dir::Cache="$dir/cache" -o APT::Sandbox::User= \
    -o APT::Get::List-Cleanup=true -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

tarball_fetch() {
  command -v apt-get >/dev/null 2>&1 ||
    fail "no apt here to fetch musl $version with; give MUSL_TARBALL=path of musl-$upstream.tar.gz"
  source_lists_make
  mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
  log=$dir/apt.log
  if ! (cd "$dir" && apt_private update && apt_private --download-only --only-source source \
    "musl=$version") >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    fail "apt did not fetch the source of musl $version (its last words are above, all of them in" \
      "$log); on another release give MUSL_TARBALL=path of musl-$upstream.tar.gz"
  fi
  rm -rf "$dir/lists" "$dir/cache"
}

# ---- verify and unpack ------------------------------------------------------------------------

[ $# -eq 1 ] || fail "usage: musl.sh DIR"
mkdir -p "$1"
dir=$(cd "$1" && pwd)
tarball=${MUSL_TARBALL:-$dir/musl_$upstream.orig.tar.gz}
[ -z "${MUSL_TARBALL:-}" ] || [ -r "$tarball" ] || fail "MUSL_TARBALL=$tarball cannot be read"
[ -r "$tarball" ] || tarball_fetch

found=$(sha256sum "$tarball" | cut -d ' ' -f 1)
if [ "$found" != "$sha256" ]; then
  fail "$tarball has SHA-256 $found, but musl $upstream has $sha256; remove it or give another"
fi
rm -rf "$dir/src" "$dir/unpack"
mkdir "$dir/unpack"
tar -xzf "$tarball" -C "$dir/unpack" --strip-components=1
mv "$dir/unpack" "$dir/src"
