#!/usr/bin/env bash
# Measures the journal in PostgreSQL against a row per vote, on a private server: Benchmarks/journal.py tells what.
# Benchmarks/journal.sh [--seconds S] [--rounds N]
. "$(dirname "${BASH_SOURCE[0]}")/prepare.sh"

prepare bench
build_load JournalBench
exec python3 Benchmarks/journal.py "$BINARY" "$@"
