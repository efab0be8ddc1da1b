#!/usr/bin/env bash
# Measures what the hop from one node to another costs, beside a bare TCP relay, Redis and NATS: Benchmarks/forward.py
# tells what. Benchmarks/forward.sh [--seconds S] [--rounds N] [--only votes,hop,load]
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

[ "$(uname)" = Linux ] || fail "The benchmarks need Linux (epoll)"
scripts/setup.sh forward
find_swift
if [ -z "${TUMULTE_BINARY:-}" ]; then
    build_release
    export TUMULTE_BINARY=$BINARY
fi
build_flags
export TUMULTE_BENCH=1
"$SWIFT" build -c release --product LinkBench "${BUILD_FLAGS[@]}"
link=$("$SWIFT" build -c release --product LinkBench "${BUILD_FLAGS[@]}" --show-bin-path)/LinkBench
exec .cache/venv/bin/python Benchmarks/forward.py "$link" "$@"
