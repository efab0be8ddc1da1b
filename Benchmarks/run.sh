#!/usr/bin/env bash
# Measures the release binary against a bare epoll server (Benchmarks/tools/wslimit.c) on this machine, side by side.
# Benchmarks/run.sh [--seconds S] [--rounds N] [--only fanout,votes,idle]; see Benchmarks/README.md.
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

[ "$(uname)" = Linux ] || fail "The benchmarks need Linux (epoll, taskset)"
scripts/setup.sh bench
find_swift
if [ -z "${TUMULTE_BINARY:-}" ]; then
    build_release
    export TUMULTE_BINARY=$BINARY
fi
exec python3 Benchmarks/run.py "$@"
