#!/usr/bin/env bash
# Measures what the hop from one node to another costs, beside a bare TCP relay, Redis and NATS: Benchmarks/forward.py
# tells what. Benchmarks/forward.sh [--seconds S] [--rounds N] [--only votes,hop,load]
. "$(dirname "${BASH_SOURCE[0]}")/prepare.sh"

prepare_node forward
build_load LinkBench
exec .cache/venv/bin/python Benchmarks/forward.py "$BINARY" "$@"
