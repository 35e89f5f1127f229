#!/bin/sh
# Builds kube-apiserver, kube-controller-manager, etcd, kubectl, helm and kubeconform, and for a node kubelet,
# kube-scheduler and kube-proxy, from the Go modules that go.mod beside this file names, once, and prints the
# directory they are in. They are kept outside the clone, by the contents of go.mod and go.sum: a second run, or
# a second clone, finds them. Ends with 3 where they cannot be built here because something is missing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../go.sh"
place=$cache/kube-$(cat "$here/go.mod" "$here/go.sum" | sha256sum | cut -c1-12)
[ ! -d "$place/bin" ] || { echo "$place/bin"; exit; }
needs_go "a control plane for tests"
one_build_at_a_time kube
[ ! -d "$place/bin" ] || { echo "$place/bin"; exit; }
rm -rf "$place.new"
cd "$here"
echo "Building a control plane in $place, once: that is 25 minutes for one core, 13 for two." >&2
go mod download >&2 || missing "The Go modules of a control plane cannot be fetched."

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
