#!/bin/sh
# Starts a control plane of this clone's own, unless it runs, and says how to use it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/running.sh"

bin=$("$here/build.sh")
if ! running kube-apiserver; then
    "$here/down.sh"
    "$here/plane.sh" "$dir" prepare
    start() {
        setsid "$here/plane.sh" "$dir" "$1" >"$dir/$1.log" 2>&1 </dev/null &
        echo $! >"$dir/$1.pid"
    }
    start etcd
    start kube-apiserver
    "$here/plane.sh" "$dir" wait || { tail -n 5 "$dir"/*.log >&2; "$here/down.sh"; exit 1; }
    start kube-controller-manager
    "$here/plane.sh" "$dir" settle || { tail -n 5 "$dir"/*.log >&2; "$here/down.sh"; exit 1; }
fi

cat <<EOF
A Kubernetes control plane ($("$bin/kube-apiserver" --version)) runs on loopback; it has no nodes. To use it:

  export KUBECONFIG=$dir/kubeconfig PATH=$bin:\$PATH

  kubectl apply --server-side -f crds     # the kinds of Centrex
  kubectl apply -f deploy/samples         # a phone system
  kubectl get pbx -A
  kubectl explain extension.spec

Logs are in $dir. make cluster-down ends it and removes its data.
EOF
