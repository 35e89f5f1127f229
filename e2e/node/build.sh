#!/bin/sh
# Gets what a node needs beside the programs of e2e/kube, once, and prints the directory it is in: bin/ has
# containerd, its shim, ctr and pause, from the Go modules that go.mod names; root/ has the Debian packages that
# the file packages names (runc, the network's plugins, nft and their libraries), unpacked and not installed. It
# is kept outside the clone, by the contents of these files. Ends with 3 where something is missing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../go.sh"
cd "$here"
place=$cache/node-$(cat go.mod go.sum packages pause/main.go | sha256sum | cut -c1-12)
[ ! -d "$place/bin" ] || { echo "$place"; exit; }
needs_go "a node for tests"
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    missing "apt-get is missing: runc and the network's plugins of a node for tests are Debian packages."
one_build_at_a_time node
[ ! -d "$place/bin" ] || { echo "$place"; exit; }
rm -rf "$place.new"
mkdir -p "$place.new/packages" "$place.new/root"
echo "Building a node's programs in $place, once: that is 2 minutes for one core." >&2

fetch() { ( cd "$place.new/packages" && xargs apt-get -qq -o APT::Sandbox::User=root download <"$here/packages" >&2 2>&1 ); }
# Outdated package lists name packages that no longer exist.
fetch || { apt-get -qq update >&2 && fetch; } || missing "The Debian packages of a node cannot be fetched."
for package in "$place.new"/packages/*.deb; do
    dpkg-deb -x "$package" "$place.new/root"
done
rm -r "$place.new/packages"

go mod download >&2 || missing "The Go modules of a node cannot be fetched."
tags="no_btrfs no_devmapper no_zfs no_aufs grpcnotrace"
version="-X github.com/containerd/containerd/v2/version.Version=$(version_of github.com/containerd/containerd/v2)"
go build -trimpath -buildvcs=false -tags "$tags" -ldflags "-s -w $version" -o "$place.new/bin/" tool ./pause >&2
mv "$place.new" "$place"
echo "$place"
