#!/usr/bin/env bash
# The last lines of a test run: which tests were skipped, why, and how many. A line is `TEST: WHY`, and
# `cargo test TEST` runs it.
set -euo pipefail
count=0
if [ -s "$1" ]; then
    LC_ALL=C sort -u "$1" | sed 's/^/SKIPPED /'
    count=$(sed 's/: .*//' "$1" | sort -u | wc -l)
fi
echo "$count skipped"
