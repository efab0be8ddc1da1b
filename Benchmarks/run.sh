#!/usr/bin/env bash
# Measures the release binary against a bare epoll server (Benchmarks/tools/wslimit.c) on this machine, side by side.
# Benchmarks/run.sh [--seconds S] [--rounds N] [--only fanout,votes,idle]; see Benchmarks/README.md.
. "$(dirname "${BASH_SOURCE[0]}")/prepare.sh"

prepare_node bench
exec python3 Benchmarks/run.py "$@"
