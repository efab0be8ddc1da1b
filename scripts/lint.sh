#!/usr/bin/env bash
# The rules that need no build: swift-format in strict mode, and the project's own in scripts/style.sh.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
find_swift
paths=()
for path in Sources Tests Fuzz Benchmarks Package.swift; do
    [ -e "$path" ] && paths+=("$path")
done
status=0
"$SWIFT" format lint --strict --parallel --recursive "${paths[@]}" || status=1
scripts/style.sh || status=1
exit "$status"
