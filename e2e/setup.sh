#!/usr/bin/env bash
# Installs what building and testing need: through apt as root, else it says what to install.
set -euo pipefail

packages=()
command -v cc >/dev/null || packages+=(build-essential)
command -v cmake >/dev/null || packages+=(cmake)
command -v curl >/dev/null || packages+=(curl ca-certificates)
# The control plane of the tests: its certificates, and what starts it.
command -v openssl >/dev/null || packages+=(openssl)
command -v setpriv >/dev/null || packages+=(util-linux)
command -v ip >/dev/null || packages+=(iproute2)
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || packages+=(postgresql)
command -v psql >/dev/null || packages+=(postgresql-client)
# SIP phones for the tests with a real FreeSWITCH, which are skipped where none is installed.
[ ! -x "${FREESWITCH_PREFIX:-/opt/freeswitch}/bin/freeswitch" ] || command -v sipp >/dev/null || packages+=(sip-tester)

if ! command -v cargo >/dev/null; then
    echo "Rust is missing: install it with rustup, version 1.95 or later." >&2
    exit 1
fi
[ ${#packages[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Missing: ${packages[*]}. Install them, on Debian with: sudo apt-get install ${packages[*]}" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends "${packages[@]}"
