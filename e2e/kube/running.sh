# For up.sh and down.sh: where the control plane is kept, and whether a program of it runs.
dir=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)/cluster

# running NAME: sets pid. Another process with the same process id does not name our directory.
running() {
    pid=$(cat "$dir/$1.pid" 2>/dev/null) && tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$dir"
}
