#!/bin/sh
# Ends the control plane that up.sh started, and nothing else, and removes its data.
set -eu
. "$(dirname "$0")/running.sh"

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
rm -rf "$dir"
