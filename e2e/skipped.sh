#!/usr/bin/env bash
# The last lines of a test run: which tests were skipped, why, and how many. A line of the file $1 is
# `TEST: WHY`, and `cargo test TEST` runs that test. With a list of the tests that may be skipped ($2, as
# e2e/skips.txt), any other skip is an error.
set -euo pipefail
skipped=$(LC_ALL=C sort -u "$1" 2>/dev/null || true)
names=$(sed 's/: .*//' <<<"$skipped" | sort -u | sed '/^$/d')
[ -z "$skipped" ] || sed 's/^/SKIPPED /' <<<"$skipped"
[ -z "$names" ] && count=0 || count=$(wc -l <<<"$names")
echo "$count skipped"

[ $# -gt 1 ] && [ -n "$names" ] || exit 0
if unexpected=$(grep -vxF -f <(grep -v '^#' "$2" | sed '/^$/d') <<<"$names"); then
    echo "Not on $2, and skipped:" $unexpected >&2
    exit 1
fi
