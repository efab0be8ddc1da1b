# shellcheck shell=bash
# Shared by the benchmarks: what must be there before one can measure. Sourced, never run.
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

# prepare bench|forward: installs what is missing, and finds the compiler.
prepare() {
    scripts/setup.sh "$1"
    find_swift
}

# prepare_node bench|forward: besides, TUMULTE_BINARY names the node that is measured; built where the caller named none.
prepare_node() {
    [ "$(uname)" = Linux ] || fail "The benchmarks of a node need Linux (epoll, taskset)"
    prepare "$1"
    [ -z "${TUMULTE_BINARY:-}" ] || return 0
    build_release
    export TUMULTE_BINARY=$BINARY
}

# build_load PRODUCT: builds a load that is a Swift program of its own, and sets BINARY to its path.
build_load() {
    export TUMULTE_BENCH=1
    build_product "$1"
}
