#!/bin/sh
# oci.sh NAME ROOT CONFIG: prints an image of that name as an OCI archive, which `ctr images import` takes. All
# that is in the directory ROOT is its one layer; CONFIG is the "config" of its configuration, as JSON.
set -eu
name=$1 root=$2 config=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
blobs=$work/blobs/sha256
mkdir -p "$blobs"

# blob FILE: adds the file to the blobs, and sets digest and size.
blob() {
    digest=$(sha256sum "$1" | cut -c1-64)
    size=$(stat -c %s "$1")
    mv "$1" "$blobs/$digest"
}
# descriptor TYPE: of the last blob.
descriptor() { echo "\"mediaType\": \"application/vnd.oci.image.$1\", \"digest\": \"sha256:$digest\", \"size\": $size"; }

chmod -R a+rX "$root"                   # whatever the umask here is: a pod runs as another user
tar -C "$root" --numeric-owner --owner=0 --group=0 --sort=name -cf "$work/layer" .
blob "$work/layer"
layer=$(descriptor layer.v1.tar)
architecture=$(dpkg --print-architecture)
cat >"$work/config" <<EOF
{"architecture": "$architecture", "os": "linux", "config": $config,
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$digest"]}}
EOF
blob "$work/config"
cat >"$work/manifest" <<EOF
{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
 "config": {$(descriptor config.v1+json)}, "layers": [{$layer}]}
EOF
blob "$work/manifest"
cat >"$work/index.json" <<EOF
{"schemaVersion": 2, "manifests": [{$(descriptor manifest.v1+json), "annotations": {"io.containerd.image.name": "$name"}}]}
EOF
echo '{"imageLayoutVersion": "1.0.0"}' >"$work/oci-layout"
tar -C "$work" -cf - oci-layout index.json blobs
