#!/usr/bin/env bash
# Builds the page of the browser tests, with JsSIP, once, and keeps it outside the clone. Prints its directory; ends
# with 3, and what is missing, where it cannot be built.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${CENTREX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/centrex}
missing() { echo "$*" >&2; exit 3; }

command -v chromium >/dev/null || missing "Chromium is missing (Debian package chromium)"
command -v npm >/dev/null || missing "npm is missing (Node 20 or later)"
major=$(node -p 'process.versions.node.split(".")[0]') || missing "Node is missing"
[ "$major" -ge 20 ] || missing "Node $major is too old: 20 or later is needed"

place=$cache/browser-$(cat "$here/package-lock.json" "$here/page.js" | sha256sum | cut -c1-12)
mkdir -p "$cache"
exec 9>"$cache/browser.lock"
flock 9
if [ ! -e "$place/page.js" ]; then
    rm -rf "$place"
    mkdir "$place"
    cp "$here/package.json" "$here/package-lock.json" "$here/page.js" "$place"
    mv "$place/page.js" "$place/source.js"
    (cd "$place" && npm ci --no-audit --no-fund >npm.log 2>&1) ||
        { tail -n 5 "$place/npm.log" >&2; missing "the packages of npm are not to be had"; }
    (cd "$place" && node_modules/.bin/esbuild source.js --bundle --format=iife --log-level=error --outfile=bundle.js)
    mv "$place/bundle.js" "$place/page.js"
fi
echo "$place"
