# For scripts that make the file systems of images from what this machine has.

# with_libraries ROOT FILE…: copies the libraries of these programs to the same paths under ROOT.
with_libraries() {
    root=$1
    shift
    # ldd fails for some of FreeSWITCH's modules, or finds missing libraries: those modules are not loaded.
    ldd "$@" 2>/dev/null | grep -o '/[^ :)]*' | grep -E '\.so(\.|$)' | sort -u | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        [ -e "$root$library" ] || cp -L "$library" "$root$library"
    done
}

# base ROOT: what every image has: users, certificates, time zones, a place for temporary files.
base() {
    mkdir -p "$1/etc/ssl/certs" "$1/usr/share" "$1/tmp"
    chmod 1777 "$1/tmp"
    printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' >"$1/etc/passwd"
    printf 'root:x:0:\nnonroot:x:65532:\n' >"$1/etc/group"
    [ ! -e /etc/ssl/certs/ca-certificates.crt ] || cp -L /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
    [ ! -d /usr/share/zoneinfo ] || cp -r /usr/share/zoneinfo "$1/usr/share/"
}
