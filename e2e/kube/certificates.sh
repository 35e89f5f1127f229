# For scripts that make certificates and kubeconfigs in a directory `dir`, whose authority is in `pki`.

# certificate NAME SUBJECT EXTENSION…: a key and a certificate of the directory's own authority.
certificate() {
    name=$1 subject=$2
    shift 2
    for extension; do
        set -- "$@" -addext "$extension"
        shift
    done
    [ "$name" = ca ] || set -- "$@" -CA "$pki/ca.crt" -CAkey "$pki/ca.key"
    # Our own configuration: with the system's, every certificate would be an authority.
    openssl req -config "$pki/openssl.cnf" -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -days 3650 -subj "$subject" -keyout "$pki/$name.key" -out "$pki/$name.crt" "$@" 2>"$pki/openssl.log" ||
        { cat "$pki/openssl.log" >&2; exit 1; }
}

# kubeconfig NAME: the kubeconfig of the certificate's holder, in one file.
kubeconfig() {
    data() { base64 -w 0 "$pki/$1"; }
    cat <<EOF
apiVersion: v1
kind: Config
current-context: centrex
contexts: [{name: centrex, context: {cluster: centrex, user: $1}}]
clusters:
- name: centrex
  cluster: {server: "https://$address:$(cat "$dir/api.port")", certificate-authority-data: $(data ca.crt)}
users:
- name: $1
  user: {client-certificate-data: $(data "$1.crt"), client-key-data: $(data "$1.key")}
EOF
}
