#!/usr/bin/env bash
# What takes longer than `make test` allows: sanitizers, every bit of the journal's bookkeeping, 10 minutes of each fuzzer, 10,000 clients, soak.
# The figures go to docs/MEASUREMENTS.md, between the markers of their sections.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. scripts/stages.sh

scripts/setup.sh test
find_swift
build_flags
export SWIFT_BACKTRACE=enable=no

python() { .cache/venv/bin/python "$@"; }
sanitized() { # sanitized thread|address FOLDER
    local flags=()
    # The sanitizer follows POSIX locks, not those of the standard library: see Sources/Platform/Loop/Locked.swift.
    [ "$1" = thread ] && flags=(-Xswiftc -DTUMULTE_THREAD_SANITIZER)
    # Tests that end a process in the middle leave memory and threads behind; FootprintTests look for leaks.
    export TUMULTE_SANITIZER=$1 ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS=report_thread_leaks=0
    local run=("$SWIFT" test --disable-xctest --sanitize "$1" --scratch-path "$2" "${BUILD_FLAGS[@]}" "${flags[@]}")
    # Whole clusters run by themselves: beside everything else their nodes are so slow that they take each other for dead.
    "${run[@]}" --skip 'Live(Cluster|Admin)Tests' && "${run[@]}" --filter 'Live(Cluster|Admin)Tests'
    local status=$?
    unset TUMULTE_SANITIZER ASAN_OPTIONS TSAN_OPTIONS
    return $status
}
crowd() { python Tests/EndToEnd/crowd.py --subscribers 10000 --churn 10000; }
soak() { python Tests/EndToEnd/kill.py --rounds 100 --seed "$(date +%s)"; }

# record SECTION: replaces that section of the measurements with the figures that a stage printed (lines with `=`).
record() {
    python scripts/record.py docs/MEASUREMENTS.md "$1" ".cache/logs/$(printf '%s' "$2" | tr -c 'A-Za-z0-9\n' '-').log"
}

# Optimized builds have other bugs and other speeds; the figures of replays are theirs.
optimized() {
    TUMULTE_BENCHMARK=1 "$SWIFT" test -c release --disable-xctest -Xswiftc -enable-testing --scratch-path .build-release \
        "${BUILD_FLAGS[@]}" --filter 'SharedTableTests|ReplayTests'
}

every_bit() {
    TUMULTE_EXHAUSTIVE=1 "$SWIFT" test --disable-xctest "${BUILD_FLAGS[@]}" --filter JournalTests
}

start_postgres
start_redis
stage 'thread sanitizer' sanitized thread .build-tsan || true
stage 'address sanitizer' sanitized address .build-asan || true
stage 'tables and replays, optimized' optimized && record replay 'tables and replays, optimized' || true
stage 'every bit of the journal flipped' every_bit || true

if stage 'build, release' scripts/build.sh; then
    build_release >/dev/null
    export TUMULTE_BINARY=$BINARY
    stage 'crowd of 10000' crowd && record crowd 'crowd of 10000' || true
    stage 'stalled client' python Tests/EndToEnd/stall.py && record stall 'stalled client' || true
    stage 'a million voters' python Tests/EndToEnd/million.py && record million 'a million voters' || true
    stage 'ten thousand campaigns' env TUMULTE_TEST_STORE=postgres .cache/venv/bin/python \
        Tests/EndToEnd/recovery.py --campaigns 10000 --polls 500 && record recovery 'ten thousand campaigns' || true
    stage 'tables of PostgreSQL over ten minutes' python Tests/EndToEnd/bloat.py \
        && record bloat 'tables of PostgreSQL over ten minutes' || true
    stage 'a thousand people on three nodes' python Tests/EndToEnd/cluster_users.py \
        && record users 'a thousand people on three nodes' || true
    stage 'a cluster from a backup' python Tests/EndToEnd/cluster_backup.py || true
    stage 'soak, 100 kills' soak && record soak 'soak, 100 kills' || true
    stage 'benchmarks' Benchmarks/run.sh && record benchmarks 'benchmarks' || true
    stage 'journal in PostgreSQL' Benchmarks/journal.sh && record journal 'journal in PostgreSQL' || true
fi

stage 'deploy: a fresh Debian root' deploy/try.sh && record deploy 'deploy: a fresh Debian root' || true
stage 'fuzz, 600 s each' scripts/fuzz.sh 600 && record fuzz 'fuzz, 600 s each' || true

finish
