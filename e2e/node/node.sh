#!/bin/sh
# One node of Kubernetes with its control plane, kept in a directory, as a set of namespaces of this machine: the
# machine's own network, cgroups, mounts and processes are left alone.
#   node.sh DIR prepare    makes networks, certificates, configuration and images
#   node.sh DIR run        becomes the node, until `cut` or until whoever started it has ended
#   node.sh DIR wait       waits until the node is ready
#   node.sh DIR enter …    runs a command on the node
#   node.sh DIR lan …      runs a command on the network outside it, where phones and Postgres are
#   node.sh DIR cut        ends the node as a power cut does; what it keeps in DIR stays
#   node.sh DIR stop       ends it, and removes all of it
# Ends with 3 where this machine cannot have a node. The tests' network is 10.210.0.0/24: .1 is outside, .2 is the
# node; pods are 10.244.0.0/24, Services 10.0.0.0/24. Each directory has networks and cgroups of its own name.
set -eu
umask 022                               # a kubelet's: pods read what it mounts for them
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
action=$2
shift 2
name=centrex-$(basename "$dir")
cgroups=/sys/fs/cgroup
. "$here/../go.sh"

# supported: whether this machine can have a node.
supported() {
    [ "$(id -u)" = 0 ] || missing "a node needs root"
    for program in ip nsenter unshare setsid mountpoint openssl strip ldd; do
        command -v "$program" >/dev/null || missing "a node needs $program"
    done
    [ -d "$cgroups/memory" ] || missing "a node of the tests knows cgroups of version 1 alone"
    mkdir "$cgroups/memory/$name" 2>/dev/null && rmdir "$cgroups/memory/$name" ||
        missing "a node needs the right to make cgroups"
    mkdir -p "$dir/try/lower" "$dir/try/upper" "$dir/try/work" "$dir/try/merged"
    unshare -m mount -t overlay overlay "$dir/try/merged" \
        -o "lowerdir=$dir/try/lower,upperdir=$dir/try/upper,workdir=$dir/try/work" 2>/dev/null ||
        missing "a node needs overlayfs, and the right to mount it over $dir"
    rm -rf "$dir/try"
    unshare -n ip link add try type veth 2>/dev/null || missing "a node needs veth, and the right to make networks"
    unshare -n ip link add try type bridge 2>/dev/null || missing "a node needs the kernel's bridge"
    [ -x "${FREESWITCH_PREFIX:-/opt/freeswitch}/bin/freeswitch" ] ||
        missing "no FreeSWITCH to make an image from (FREESWITCH_PREFIX names the prefix)"
}

prepare() {
    stop                                # what one that was killed has left
    mkdir "$dir"
    supported
    programs=$("$here/build.sh")
    bin=${KUBEBUILDER_ASSETS:-}
    [ -x "$bin/kubelet" ] || bin=$("$here/../kube/build.sh")
    echo "$programs" >"$dir/programs"
    echo "$bin" >"$dir/bin"
    echo 10.210.0.2 >"$dir/address"
    echo 6443 >"$dir/api.port"          # which the chart's NetworkPolicy names
    KUBEBUILDER_ASSETS=$bin "$here/../kube/plane.sh" "$dir" prepare
    "$here/configure.sh" "$dir"
    "$here/images.sh" "$dir/images" "$programs"
    networks
}

# networks: one outside the node, one for the node, and a veth pair between them.
networks() {
    ip netns add "$name-lan"
    ip -n "$name-lan" link set lo up
    cable
}

cable() {
    ip netns add "$name"
    ip -n "$name-lan" link add node type veth peer name eth0 netns "$name"
    ip -n "$name-lan" address add 10.210.0.1/24 dev node
    ip -n "$name-lan" link set node up
    ip -n "$name-lan" route add 10.244.0.0/24 via 10.210.0.2
    ip -n "$name-lan" route add 10.0.0.0/24 via 10.210.0.2
    ip -n "$name" link set lo up
    ip -n "$name" address add 10.210.0.2/24 dev eth0
    ip -n "$name" link set eth0 up
    ip -n "$name" route add default via 10.210.0.1
}

# run: the first process has its own namespaces; it ends with the process that waits for it, and all others
# end with it.
run() {
    [ -e "/run/netns/$name" ] || cable
    for hierarchy in $(hierarchies); do
        mkdir -p "$cgroups/$hierarchy/$name"
        if [ "$hierarchy" = cpuset ]; then
            for file in cpuset.cpus cpuset.mems; do
                cat "$cgroups/cpuset/$file" >"$cgroups/cpuset/$name/$file"
            done
            echo 1 >"$cgroups/cpuset/$name/cgroup.clone_children"
        fi
        echo $$ >"$cgroups/$hierarchy/$name/cgroup.procs"
    done
    hierarchies >"$dir/hierarchies"
    echo $$ >"$dir/pid"
    exec nsenter --net="/run/netns/$name" unshare --mount --uts --ipc --cgroup --pid --fork --kill-child \
        --propagation private "$here/init.sh" "$dir"
}

hierarchies() {
    for hierarchy in cpu cpuacct cpuset memory devices freezer blkio pids systemd; do
        ! mountpoint -q "$cgroups/$hierarchy" || echo "$hierarchy"
    done
}

# init: sets pid to the node's first process, if it runs. Process ids are reused: it must name our directory.
init() {
    pid=$(cat "$dir/pid" 2>/dev/null) && pid=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null) &&
        pid=${pid% } && tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF "$dir"
}

# enter COMMAND…: in all namespaces of the node, with its programs.
enter() {
    init || { echo "node.sh: no node runs in $dir" >&2; exit 1; }
    exec nsenter --target "$pid" --mount --pid --net --uts --ipc --cgroup "$here/program.sh" "$dir" "$@"
}

ready() {
    kubectl=$(cat "$dir/bin")/kubectl
    limit=$(($(date +%s) + 180))
    until nsenter --net="/run/netns/$name" "$kubectl" --kubeconfig="$dir/kubeconfig" wait node/node1 \
        --for=condition=Ready --timeout=10s >"$dir/wait.log" 2>&1; do
        [ "$(date +%s)" -lt "$limit" ] || { cat "$dir/wait.log" >&2; return 1; }
        sleep 0.1
    done
}

cut() {
    ! init || kill -KILL "$pid"
    # All processes end with the first one, and so does the process that waits for it.
    tries=0
    while [ -n "$(cat "$cgroups/pids/$name/cgroup.procs" 2>/dev/null)" ] && [ "$tries" -lt 200 ]; do
        tries=$((tries + 1))
        sleep 0.05
    done
    # By name: the interface disappears with its network, a moment later.
    ip -n "$name-lan" link delete node 2>/dev/null || true
    ip netns delete "$name" 2>/dev/null || true
    for hierarchy in $(hierarchies); do
        [ -d "$cgroups/$hierarchy/$name" ] || continue
        find "$cgroups/$hierarchy/$name" -depth -type d -exec rmdir {} +
    done
}

stop() {
    cut
    ip netns delete "$name-lan" 2>/dev/null || true
    rm -rf "$dir"
}

case $action in
prepare) prepare ;;
run) run ;;
wait) ready ;;
enter) enter "$@" ;;
lan) exec nsenter --net="/run/netns/$name-lan" "$@" ;;
cut) cut ;;
stop) stop ;;
*) echo "node.sh: $action is none of prepare, run, wait, enter, lan, cut, stop" >&2; exit 2 ;;
esac
