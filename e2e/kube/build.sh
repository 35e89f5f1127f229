#!/bin/sh
# Builds kube-apiserver, kube-controller-manager, etcd, kubectl, helm and kubeconform from the Go
# modules that go.mod beside this file names, once, and prints the directory they are in. They are
# kept outside the clone, by the contents of go.mod and go.sum: a second run, or a second clone,
# finds them. Ends with 3 where they cannot be built here because something is missing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${CENTREX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/centrex}
place=$cache/kube-$(cat "$here/go.mod" "$here/go.sum" | sha256sum | cut -c1-12)
[ ! -d "$place/bin" ] || { echo "$place/bin"; exit; }

missing() { echo "$*" >&2; exit 3; }
needs=$(sed -n 's/^go //p' "$here/go.mod")
command -v go >/dev/null ||
    missing "Go is missing: a control plane for tests is built with Go $needs or later (https://go.dev/dl)."
export GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0       # what is installed must serve
has=$(cd / && go env GOVERSION)
has=${has#go}
[ "$(printf '%s\n%s\n' "$needs" "$has" | sort -V | head -n 1)" = "$needs" ] ||
    missing "Go $has is too old: a control plane for tests is built with Go $needs or later (https://go.dev/dl)."

mkdir -p "$cache"
exec 9>"$cache/kube.lock"
flock 9                                                 # two builds at once would each take twice as long
[ ! -d "$place/bin" ] || { echo "$place/bin"; exit; }
rm -rf "$place.new"
cd "$here"
echo "Building a control plane in $place, once: that is 23 minutes for one core, 12 for two." >&2
go mod download >&2 || missing "The Go modules of a control plane cannot be fetched."

version_of() { go list -m -f '{{.Version}}' "$1"; }
kubernetes=$(version_of k8s.io/kubernetes)
minor=${kubernetes#v1.}
versions=
for name in gitVersion=$kubernetes gitMajor=1 gitMinor="${minor%%.*}" gitCommit= gitTreeState=clean; do
    versions="$versions -X k8s.io/component-base/version.$name"
done
versions="$versions -X helm.sh/helm/v4/internal/version.version=$(version_of helm.sh/helm/v4)"
go build -trimpath -buildvcs=false -tags grpcnotrace -ldflags "-s -w $versions" -o "$place.new/bin/" tool >&2
mv "$place.new/bin/server" "$place.new/bin/etcd"        # named by its package: go.etcd.io/etcd/server
mv "$place.new" "$place"
echo "$place/bin"
