# For scripts that build programs of the tests from Go modules, once, and keep them outside the clone. Sourced
# by one in a directory `here` with a go.mod.

cache=${CENTREX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/centrex}

# missing WORDS: reports what is missing; the tests that need it are skipped.
missing() { echo "$*" >&2; exit 3; }

# needs_go WHAT: continues if the installed Go is new enough for go.mod.
needs_go() {
    needs=$(sed -n 's/^go //p' "$here/go.mod")
    command -v go >/dev/null ||
        missing "Go is missing: $1 is built with Go $needs or later (https://go.dev/dl)."
    export GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0       # what is installed must serve
    has=$(cd / && go env GOVERSION)
    has=${has#go}
    [ "$(printf '%s\n%s\n' "$needs" "$has" | sort -V | head -n 1)" = "$needs" ] ||
        missing "Go $has is too old: $1 is built with Go $needs or later (https://go.dev/dl)."
}

# one_build_at_a_time NAME: concurrent builds would each take twice as long.
one_build_at_a_time() {
    mkdir -p "$cache"
    exec 9>"$cache/$1.lock"
    flock 9
}

version_of() { go list -m -f '{{.Version}}' "$1"; }
