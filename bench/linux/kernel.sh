#!/bin/sh
# kernel.sh DIR: gets Debian's cloud kernel: DIR/vmlinuz, and its version in DIR/version.
#
# The package is fetched with apt, not installed. The pinned version is taken where the archive
# still has it, with its checksum demanded; otherwise the newest, which is said. LINUX_KERNEL=path
# uses a kernel of your own, where no apt is needed.
set -eu

package=linux-image-6.1.0-56-cloud-amd64
version=6.1.192-2
sha256=e7d02b943971edcb8790e256c02cfab3bca6c3d37c1bf25392a57c71300615ee

fail() {
  echo "kernel.sh: $*; give LINUX_KERNEL=path of a kernel (bzImage)" >&2
  exit 1
}

apt() {
  apt-get -q -o APT::Sandbox::User= "$@" >>"$log" 2>&1
}

newest() {
  apt-cache depends linux-image-cloud-amd64 2>/dev/null |
    sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1
}

# Package lists that are old name packages that are gone: they are fetched once, where we may.
package_fetch() {
  apt download "$package=$version" && return
  if [ "$(id -u)" -eq 0 ]; then apt update || true; fi
  apt download "$package=$version" && return
  sha256='' package=$(newest)
  [ -n "$package" ] || fail "apt knows no linux-image-cloud-amd64"
  echo "kernel.sh: $version is not in the archive any more; taking $package" >&2
  apt download "$package"
}

checksum_check() {
  found=$(sha256sum "$1" | cut -d ' ' -f 1)
  if [ -n "$sha256" ] && [ "$found" != "$sha256" ]; then
    fail "$1 has SHA-256 $found, not $sha256"
  fi
}

[ $# -eq 1 ] || fail "usage: kernel.sh DIR"
mkdir -p "$1"
cd "$1"
log=$PWD/apt.log
: >"$log"
rm -rf unpack ./*.deb
if ! command -v apt-get >/dev/null 2>&1; then
  fail "no apt here to fetch Linux with"
fi
package_fetch || fail "apt did not fetch $package (its last words are in $log)"
checksum_check ./*.deb
dpkg-deb -x ./*.deb unpack
dpkg-deb -f ./*.deb Package Version | sed 's/^[^:]*: *//' | tr '\n' ' ' >version
mv unpack/boot/vmlinuz-* vmlinuz
rm -rf unpack ./*.deb
