#!/usr/bin/env bash
# Measures the journal in PostgreSQL against a row per vote, on a private server: Benchmarks/journal.py tells what.
# Benchmarks/journal.sh [--seconds S] [--rounds N]
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

scripts/setup.sh bench
find_swift
build_flags
export TUMULTE_BENCH=1
"$SWIFT" build -c release --product JournalBench "${BUILD_FLAGS[@]}"
load=$("$SWIFT" build -c release --product JournalBench "${BUILD_FLAGS[@]}" --show-bin-path)/JournalBench
exec python3 Benchmarks/journal.py "$load" "$@"
