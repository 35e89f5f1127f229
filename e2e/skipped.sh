#!/usr/bin/env bash
# The last lines of a test run: how many tests were skipped, and why.
set -euo pipefail
count=0
if [ -s "$1" ]; then
    sort -u "$1" | sed 's/^/SKIPPED /'
    count=$(sort -u "$1" | wc -l)
fi
echo "$count skipped"
