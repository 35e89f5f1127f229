#!/bin/sh
# Ends the control plane and the Postgres that up.sh started, and nothing else, and removes their data.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/running.sh"

for name in kube-controller-manager kube-apiserver etcd; do
    running "$name" || continue
    kill "$pid"
    tries=0
    while running "$name"; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || kill -KILL "$pid"
        sleep 0.1
    done
done
[ -d "$dir" ] || { echo "There is no cluster in $dir."; exit; }
"$here/postgres.sh" "$dir" stop
rm -rf "$dir"
echo "The cluster has ended, and its data are gone."
