#!/bin/sh
# Starts a control plane of this clone's own and a Postgres, unless they run, and says how to use them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/running.sh"

bin=$("$here/build.sh")
if ! running kube-apiserver; then
    [ ! -d "$dir" ] || "$here/down.sh"
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

"$here/postgres.sh" "$dir" start || { tail -n 5 "$dir/postgres.log" >&2; exit 1; }
keys=$dir/encryption-keys
[ -e "$keys" ] || ( umask 077 && echo "1:$(openssl rand -base64 32)" >"$keys" )

program=${CENTREX:-${dir%/*}/debug/centrex}
cat >"$dir/env" <<EOF
# For a shell that is to use the control plane of make cluster.
export KUBECONFIG='$dir/kubeconfig' PATH='$bin:${program%/*}':\$PATH
export CENTREX_DATABASE_URL='postgres://centrex@localhost/centrex?host=$(cat "$dir/postgres.place")'
export CENTREX_ENCRYPTION_KEY_FILE='$keys'
EOF

cat <<EOF
A Kubernetes control plane ($("$bin/kube-apiserver" --version)) runs on loopback, and a Postgres beside it.
It has no nodes: the operator and a switch are started by hand, as README.md says. To use it:

  . '$dir/env'

Logs are in $dir. make cluster-down ends all of it, and removes its data.
EOF
