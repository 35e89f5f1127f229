#!/bin/bash
# init.sh DIR: the first process of a node, in new namespaces: makes its mounts, starts its programs, restarts
# programs that end, and reaps orphans.
set -u
here=$(cd "$(dirname "$0")" && pwd)
dir=$1

mount --make-rshared /
mount -t proc proc /proc
# runc uses the first cgroup mount that it finds, so only ours may exist.
while read -r place; do
    umount -l "$place"
done < <(awk '{ for (i = 7; $i != "-"; i++); if ($(i + 1) ~ /^cgroup/) print $5 }' /proc/self/mountinfo)
umount -l /sys 2>/dev/null
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /sys/fs/cgroup
while read -r hierarchy; do
    mkdir "/sys/fs/cgroup/$hierarchy"
    options=$hierarchy
    [ "$hierarchy" != systemd ] || options=none,name=systemd
    mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/$hierarchy"
done <"$dir/hierarchies"
mount -t tmpfs tmpfs /run
mount --bind "$dir/log" /var/log
# The kubelet's writes there would change the machine.
mkdir -p "$dir/sysctl"
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=$dir/sysctl/$(basename "${setting%=*}")
    echo "${setting#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${setting%=*}"
done
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables    # a pod reaches a Service that a pod beside it serves
hostname node1

# keep PROGRAM: runs a program, and restarts it when it ends.
keep() {
    while :; do
        "$here/program.sh" "$dir" "$1" >>"$dir/log/$1.log" 2>&1 </dev/null
        sleep 0.2
    done &
}

# The images are imported before the kubelet needs them.
images() {
    until "$here/program.sh" "$dir" ctr version >/dev/null 2>&1; do sleep 0.1; done
    for image in "$dir"/images/*.tar; do
        [ ! -e "$image" ] || { "$here/program.sh" "$dir" ctr -n k8s.io images import "$image" && mv "$image" "$image.imported"; }
    done >>"$dir/log/images.log" 2>&1
}

for program in etcd kube-apiserver kube-controller-manager kube-scheduler containerd; do
    keep "$program"
done
images
keep kubelet
keep kube-proxy
while :; do
    wait -n || sleep 1
done
