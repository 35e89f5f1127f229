#!/usr/bin/env bash
# Installs the packages that building and testing need, with apt as root; otherwise names them. Rust is only
# checked and never installed: it comes with rustup, and belongs to a user.
set -euo pipefail
cd "$(dirname "$0")/.."

# older VERSION NEEDED: true if a version is below the needed one.
older() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

needs=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
install="install Rust $needs or later with rustup (https://rustup.rs): rustup toolchain install stable"
for program in cargo rustc; do
    if ! command -v "$program" >/dev/null; then
        echo "Rust is missing, no $program in PATH: $install" >&2
        exit 1
    fi
    has=$("$program" --version | sed 's/^[a-z]* \([0-9.]*\).*/\1/')
    if older "$has" "$needs"; then
        echo "$(command -v "$program") is Rust $has, and $needs or later is needed: $install" >&2
        echo "Where apt's Rust comes first in PATH: apt-get remove cargo rustc, or . ~/.cargo/env" >&2
        exit 1
    fi
done
if command -v go >/dev/null; then
    needs=$(sed -n 's/^go //p' e2e/kube/go.mod)
    has=$(cd / && go env GOVERSION)
    if older "${has#go}" "$needs"; then
        echo "Go ${has#go} is too old for the tests on a cluster, which need $needs or later: they are skipped." >&2
    fi
fi

packages=()
command -v cc >/dev/null || packages+=(build-essential)
command -v curl >/dev/null || packages+=(curl ca-certificates)
# For the control plane of the tests: its certificates, and the program that starts it.
command -v openssl >/dev/null || packages+=(openssl)
command -v setpriv >/dev/null || packages+=(util-linux)
command -v ip >/dev/null || packages+=(iproute2)
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || packages+=(postgresql)
command -v psql >/dev/null || packages+=(postgresql-client)
# SIP phones for the tests with a real FreeSWITCH. Without a FreeSWITCH these tests are skipped.
[ ! -x "${FREESWITCH_PREFIX:-/opt/freeswitch}/bin/freeswitch" ] || command -v sipp >/dev/null || packages+=(sip-tester)
# Browsers as phones, for the same: Chromium, its driver, and a TURN server.
if [ -x "${FREESWITCH_PREFIX:-/opt/freeswitch}/bin/freeswitch" ]; then
    command -v chromium >/dev/null || packages+=(chromium)
    command -v turnserver >/dev/null || packages+=(coturn)
    command -v node >/dev/null || packages+=(nodejs)
    command -v npm >/dev/null || packages+=(npm)
fi
[ ${#packages[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Missing: ${packages[*]}. Install them, on Debian with: sudo apt-get install ${packages[*]}" >&2
    exit 1
fi

# Only Postgres' programs are needed. Debian's package creates a database cluster and leaves a server on port
# 5432, unless this file exists while it is installed. An installed package is left as it is.
defaults=/etc/postgresql-common/createcluster.conf
options=()
if [[ " ${packages[*]} " == *" postgresql "* && ! -e $defaults ]]; then
    mkdir -p "${defaults%/*}"
    echo "create_main_cluster = false" >"$defaults"
    options=(-o Dpkg::Options::=--force-confold)        # keeps the file, and writes the package's own beside it
    trap '[ ! -e "$defaults.ucf-dist" ] || mv "$defaults.ucf-dist" "$defaults"' EXIT
fi

mkdir -p "${CARGO_TARGET_DIR:-target}"
log=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/apt.log
echo "Installing with apt, a minute or two: ${packages[*]} (apt writes to $log)" >&2
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install -y --no-install-recommends "${options[@]}" "${packages[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "apt failed. Correct the cause, or install the packages yourself: ${packages[*]}" >&2
    exit 1
fi
# The tests start a TURN server of their own: none is left running.
if [[ " ${packages[*]} " == *" coturn "* && -d /run/systemd/system ]]; then
    systemctl disable --now --quiet coturn >>"$log" 2>&1 || true
fi
