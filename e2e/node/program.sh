#!/bin/sh
# program.sh DIR PROGRAM…: becomes a program of the node in DIR, or any command with the node's programs in PATH.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
program=$2
shift 2
pki=$dir/pki
programs=$(cat "$dir/programs")
bin=$(cat "$dir/bin")
export KUBEBUILDER_ASSETS="$bin" KUBECONFIG="$dir/kubeconfig"
export PATH="$programs/bin:$programs/root/usr/sbin:$programs/root/usr/bin:$bin:$PATH"
for libraries in "$programs"/root/usr/lib/*-linux-gnu "$programs"/root/lib/*-linux-gnu; do
    export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
done

case $program in
etcd | kube-apiserver | kube-controller-manager) exec "$here/../kube/plane.sh" "$dir" "$program" ;;
kube-scheduler) exec kube-scheduler --kubeconfig="$pki/kube-scheduler.kubeconfig" --leader-elect=false --secure-port=0 ;;
kube-proxy) exec kube-proxy --config="$dir/kube-proxy.yaml" --hostname-override=node1 ;;
containerd) exec containerd --config "$dir/containerd.toml" ;;
kubelet)
    exec kubelet --config="$dir/kubelet.yaml" --kubeconfig="$pki/kubelet.kubeconfig" --hostname-override=node1 \
        --node-ip="$(cat "$dir/address")" --root-dir="$dir/kubelet" --cert-dir="$dir/kubelet/pki" ;;
*) exec "$program" "$@" ;;
esac
