#!/bin/sh
# images.sh DIR PROGRAMS: makes the images of a node in DIR, as archives: pause from PROGRAMS (build.sh), centrex
# from the program that CENTREX names, and freeswitch from what is installed in FREESWITCH_PREFIX. Nothing is
# pulled, and nothing of it leaves this machine.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
images=$1
programs=$2
freeswitch=${FREESWITCH_PREFIX:-/opt/freeswitch}
. "$here/roots.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$images"

mkdir "$work/pause"
cp "$programs/bin/pause" "$work/pause/pause"
"$here/oci.sh" registry.k8s.io/pause:3.10 "$work/pause" '{"Entrypoint": ["/pause"]}' >"$images/pause.tar"

# As in the Dockerfile.
version=$(sed -n "s/^appVersion: *\([^ ]*\).*/\1/p" "$here/../../charts/centrex/Chart.yaml" | tr -d \")
root=$work/centrex
base "$root"
mkdir -p "$root/usr/local/bin"
strip --strip-debug -o "$root/usr/local/bin/centrex" "$CENTREX"
with_libraries "$root" "$CENTREX"
"$here/oci.sh" "docker.io/library/centrex:$version" "$root" \
    '{"User": "65532:65532", "Entrypoint": ["/usr/local/bin/centrex"]}' >"$images/centrex.tar"

root=$work/freeswitch
base "$root"
mkdir -p "$root$freeswitch/lib"
cp -r "$freeswitch/bin" "$root$freeswitch/"
cp -P "$freeswitch"/lib/*.so* "$root$freeswitch/lib/"
modules=$(dirname "$(find "$freeswitch" -name mod_sofia.so)")
mkdir -p "$root$modules"
cp "$modules"/*.so "$root$modules/"
with_libraries "$root" "$freeswitch"/bin/freeswitch "$freeswitch"/bin/fs_cli "$modules"/*.so "$freeswitch"/lib/*.so
cp -r /etc/ld.so.conf /etc/ld.so.conf.d "$root/etc/"
ldconfig -r "$root"
"$here/oci.sh" docker.io/library/freeswitch:tests "$root" \
    "{\"User\": \"65532:65532\", \"Env\": [\"PATH=$freeswitch/bin\"], \"Entrypoint\": [\"freeswitch\"]}" >"$images/freeswitch.tar"
