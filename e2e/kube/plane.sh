#!/bin/sh
# One control plane, kept in a directory:
#   plane.sh DIR prepare    makes ports, certificates and DIR/kubeconfig
#   plane.sh DIR PROGRAM    becomes etcd, kube-apiserver or kube-controller-manager
#   plane.sh DIR wait       waits until the API server is ready
#   plane.sh DIR settle     waits until the controllers work too
# It is on loopback, unless DIR/address has another address, at which a node finds it. The programs are those of
# KUBEBUILDER_ASSETS where all of them are there, else built by build.sh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
action=$2
bin=${KUBEBUILDER_ASSETS:-}
[ -x "$bin/kube-controller-manager" ] || bin=$("$here/build.sh")
pki=$dir/pki
address=$(cat "$dir/address" 2>/dev/null) || address=127.0.0.1
. "$here/certificates.sh"

# free_port: a free port on loopback, below the kernel's range for outgoing connections.
free_port() {
    while port=$(shuf -i 20000-32000 -n 1); do
        grep -q "$(printf ':%04X ' "$port")" /proc/net/tcp /proc/net/tcp6 2>/dev/null || break
    done
    echo "$port"
}

prepare() {
    mkdir -p "$dir"
    ( umask 077 && mkdir "$pki" )
    [ -e "$dir/etcd.port" ] || free_port >"$dir/etcd.port"
    [ -e "$dir/api.port" ] || free_port >"$dir/api.port"
    printf '[req]\ndistinguished_name = subject\n[subject]\n' >"$pki/openssl.cnf"
    certificate ca /CN=centrex-test-plane basicConstraints=critical,CA:true keyUsage=critical,keyCertSign
    certificate server /CN=kube-apiserver extendedKeyUsage=serverAuth \
        "subjectAltName=IP:127.0.0.1,IP:$address,IP:10.0.0.1,DNS:localhost,DNS:kubernetes.default.svc"
    certificate admin /O=system:masters/CN=admin extendedKeyUsage=clientAuth
    certificate controllers /CN=system:kube-controller-manager extendedKeyUsage=clientAuth
    openssl ecparam -name prime256v1 -genkey -noout -out "$pki/accounts.key"
    openssl ec -in "$pki/accounts.key" -pubout -out "$pki/accounts.pub" 2>/dev/null
    kubeconfig controllers >"$pki/controllers.kubeconfig"
    ( umask 077 && kubeconfig admin >"$dir/kubeconfig" )
}

# patiently COMMAND…: repeats a command for two minutes at most, and then prints its output.
patiently() {
    limit=$(($(date +%s) + 120))
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$limit" ] || { "$@" >&2; return 1; }
        sleep 0.1
    done
}

case $action in
prepare) prepare ;;
etcd)
    # The data need not survive a power cut: without syncing, a slow disk is no limit.
    url=http://127.0.0.1:$(cat "$dir/etcd.port")
    exec "$bin/etcd" --data-dir="$dir/etcd" --listen-client-urls="$url" --advertise-client-urls="$url" \
        --listen-peer-urls=http://127.0.0.1:0 --unsafe-no-fsync --log-level=warn ;;
kube-apiserver)
    if [ "$address" = 127.0.0.1 ]; then
        set -- --endpoint-reconciler-type=none          # no pod looks for it
    else
        set -- --kubelet-preferred-address-types=InternalIP \
            --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key"
    fi
    exec "$bin/kube-apiserver" --etcd-servers="http://127.0.0.1:$(cat "$dir/etcd.port")" \
        --bind-address="$address" --secure-port="$(cat "$dir/api.port")" --advertise-address="$address" "$@" \
        --tls-cert-file="$pki/server.crt" --tls-private-key-file="$pki/server.key" \
        --client-ca-file="$pki/ca.crt" --authorization-mode=Node,RBAC \
        --service-account-issuer=https://kubernetes.default.svc \
        --service-account-key-file="$pki/accounts.pub" --service-account-signing-key-file="$pki/accounts.key" \
        --service-cluster-ip-range=10.0.0.0/24 --allow-privileged ;;
kube-controller-manager)
    exec "$bin/kube-controller-manager" --kubeconfig="$pki/controllers.kubeconfig" --secure-port=0 \
        --leader-elect=false --use-service-account-credentials --root-ca-file="$pki/ca.crt" \
        --service-account-private-key-file="$pki/accounts.key" --kube-api-qps=200 --kube-api-burst=400 ;;
wait) patiently "$bin/kubectl" --kubeconfig="$dir/kubeconfig" get --raw /readyz ;;
settle) patiently "$bin/kubectl" --kubeconfig="$dir/kubeconfig" get serviceaccount default ;;
*) echo "plane.sh: $action is none of prepare, etcd, kube-apiserver, kube-controller-manager, wait, settle" >&2; exit 2 ;;
esac
