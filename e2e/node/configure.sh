#!/bin/sh
# configure.sh DIR: certificates, kubeconfigs and configuration of the programs of a node.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
pki=$dir/pki
programs=$(cat "$dir/programs")
address=$(cat "$dir/address")
. "$here/../kube/certificates.sh"

for program in kubelet kube-scheduler kube-proxy; do
    subject=/CN=system:$program
    [ "$program" != kubelet ] || subject=/O=system:nodes/CN=system:node:node1
    certificate "$program" "$subject" extendedKeyUsage=clientAuth
    kubeconfig "$program" >"$pki/$program.kubeconfig"
done

# No name server answers at this address, and the refusal is immediate: no names are resolved.
echo "nameserver 10.210.0.1" >"$dir/resolv.conf"
cat >"$dir/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
clusterDNS: [10.210.0.1]
resolvConf: $dir/resolv.conf
volumePluginDir: $dir/volume-plugins
# A full disk of this machine must not evict the node's pods.
evictionHard: {memory.available: 0%, nodefs.available: 0%, imagefs.available: 0%}
imageGCHighThresholdPercent: 100
EOF

cat >"$dir/kube-proxy.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: 10.244.0.0/24
clientConnection: {kubeconfig: $pki/kube-proxy.kubeconfig}
conntrack: {maxPerCore: 0}      # no namespace may set it
EOF

cat >"$dir/containerd.toml" <<EOF
version = 3
root = "$dir/containerd"
state = "/run/containerd"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "registry.k8s.io/pause:3.10"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true   # root may be without CAP_SYS_RESOURCE
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["$programs/root/usr/lib/cni"]
conf_dir = "$dir/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "$programs/root/usr/sbin/runc"
SystemdCgroup = false
[plugins."io.containerd.internal.v1.opt"]
path = "$dir/opt"
EOF

mkdir -p "$dir/cni" "$dir/log"
cat >"$dir/cni/node.conflist" <<EOF
{"cniVersion": "0.4.0", "name": "node", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "10.244.0.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}}]}
EOF
