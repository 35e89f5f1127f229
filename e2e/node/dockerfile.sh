#!/bin/sh
# Builds the image of the Dockerfile without a registry, and runs what is in it: the images that it begins with are
# made here, under the names that it has for them, from Debian's packages and the Rust that is installed. Takes 30
# minutes on two cores, and 6 GB. What it makes is kept in CENTREX_CACHE (see e2e/go.sh), so that a second run
# compiles what has changed. Ends with 3 where something is missing.
set -eu
umask 022                               # what is in an image is read by all
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
. "$here/../go.sh"
. "$here/roots.sh"
# Its libraries are mounted over the system's, visible only to this script and its children.
[ -n "${CENTREX_OWN_MOUNTS:-}" ] || CENTREX_OWN_MOUNTS=1 exec unshare --mount --propagation private "$0" "$@"

[ "$(id -u)" = 0 ] || missing "An image is built as root."
command -v apt-get >/dev/null || missing "apt-get is missing: buildah and debootstrap are Debian packages."
for program in rustc wget ldd; do
    command -v "$program" >/dev/null || missing "$program is missing."
done
place=$cache/image
one_build_at_a_time image
mkdir -p "$place/packages" "$place/root"
packages="buildah debootstrap golang-github-containers-common libassuan0 libdevmapper1.02.1 libgpgme11 libseccomp2 libsubid4"
if [ ! -x "$place/root/usr/bin/buildah" ]; then
    fetch() { ( cd "$place/packages" && apt-get -qq -o APT::Sandbox::User=root download $packages >&2 ); }
    fetch || { apt-get -qq update >&2 && fetch; } || missing "buildah's Debian packages cannot be fetched."
    for package in "$place"/packages/*.deb; do
        dpkg-deb -x "$package" "$place/root"
    done
fi
# buildah starts itself again in a container without the environment: its libraries must be in the default
# paths.
for libraries in "$place"/root/usr/lib/*-linux-gnu "$place"/root/lib/*-linux-gnu; do
    system=/usr/lib/$(basename "$libraries")
    mount -t overlay overlay -o "lowerdir=$libraries:$system" "$system"
done
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$place/policy.json"
buildah() {
    command "$place/root/usr/bin/buildah" --root "$place/storage" --runroot "$place/run" --storage-driver overlay \
        "$@"
}
# image NAME ROOT SETTING…: makes an image of a directory.
image() {
    name=$1 root=$2
    shift 2
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$root" / >&2
    buildah config "$@" "$container"
    buildah commit --quiet --rm --signature-policy "$place/policy.json" "$container" "$name" >&2
}

# The base images of the Dockerfile.
names=$(sed -n 's/^FROM \([^ ]*\).*/\1/p' "$repository/Dockerfile")
build=docker.io/library/$(echo "$names" | sed -n 1p)
base=$(echo "$names" | sed -n 2p)
release=${build##*-}

if ! buildah inspect --type image "$build" >/dev/null 2>&1; then
    echo "Making $build: Debian $release and $(rustc --version)." >&2
    rm -rf "$place/debian"
    DEBOOTSTRAP_DIR=$place/root/usr/share/debootstrap "$place/root/usr/sbin/debootstrap" --variant=minbase \
        --include=ca-certificates,g++,gcc,libc6-dev,make "$release" "$place/debian" >&2
    # The build must fetch crates as this machine does.
    cp -L /etc/ssl/certs/ca-certificates.crt "$place/debian/etc/ssl/certs/ca-certificates.crt"
    cp -r "$(rustc --print sysroot)/." "$place/debian/usr/local/"
    image "$build" "$place/debian" --env CARGO_HOME=/usr/local/cargo
    rm -rf "$place/debian"
fi
if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
    echo "Making $base." >&2
    rm -rf "$place/base"
    base "$place/base"
    # Libraries of a program that is built like ours.
    with_libraries "$place/base" "$(rustc --print sysroot)/bin/cargo"
    image "$base" "$place/base" --user 65532:65532
fi

echo "Building the image." >&2
buildah bud --isolation chroot --network host --pull-never --signature-policy "$place/policy.json" --layers \
    --tag localhost/centrex:tests --file "$repository/Dockerfile" "$repository"
container=$(buildah from --pull-never localhost/centrex:tests)
trap 'buildah rm "$container" >/dev/null' EXIT
root=$(buildah mount "$container")
said=$(chroot --userspec=65532:65532 "$root" /usr/local/bin/centrex --version)
wanted="centrex $(sed -n 's/^version = "\(.*\)"$/\1/p' "$repository/Cargo.toml" | head -n 1)"
[ "$said" = "$wanted" ] || { echo "The image says \"$said\" and not \"$wanted\"." >&2; exit 1; }
entry=$(buildah inspect --format '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}}' "$container")
[ "$entry" = "65532:65532 [/usr/local/bin/centrex]" ] || { echo "The image is run as $entry." >&2; exit 1; }
[ -s "$root/usr/share/doc/centrex/LICENSE" ] || { echo "The image has no license." >&2; exit 1; }
[ ! -e "$root/bin/sh" ] || { echo "The image has a shell." >&2; exit 1; }
echo "The Dockerfile's image runs: $said, $(du -sh "$root" | cut -f1)."
