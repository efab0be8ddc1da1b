#!/usr/bin/env bash
# What takes longer than `make test` allows: sanitizers, every bit of the journal's bookkeeping, 10 minutes of each fuzzer, 10,000 clients, soak.
# The figures go to docs/MEASUREMENTS.md, between the markers of their sections.
# scripts/test-long.sh [WORD…]: with words only the stages whose name contains one of them.
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
# The other build is the newest tag, or what OLDER names; without either the suite says that it skips.
two_builds() {
    local older=${OLDER:-$(git describe --tags --abbrev=0 2>/dev/null || true)} binary=
    [ -z "$older" ] || binary=$(scripts/build-older.sh "$older" | tail -n 1) || return 1
    TUMULTE_OLDER_BINARY=$binary python Tests/EndToEnd/cluster_releases.py
}
soak() { python Tests/EndToEnd/kill.py --rounds 100 --seed "$(date +%s)"; }

# Optimized builds have other bugs and other speeds; the figures of replays are theirs.
optimized() {
    TUMULTE_BENCHMARK=1 "$SWIFT" test -c release --disable-xctest -Xswiftc -enable-testing --scratch-path .build-release \
        "${BUILD_FLAGS[@]}" --filter 'SharedTableTests|ReplayTests'
}

every_bit() {
    TUMULTE_EXHAUSTIVE=1 "$SWIFT" test --disable-xctest "${BUILD_FLAGS[@]}" --filter JournalTests
}

words=("$@")
wanted() {
    local word
    [ ${#words[@]} -gt 0 ] || return 0
    for word in "${words[@]}"; do
        [[ $1 != *"$word"* ]] || return 0
    done
    return 1
}

# run_stage SECTION NAME COMMAND…: the stage, if it is wanted. What it printed as figures replaces that section of the
# measurements, `-` for none. Whether it passes or fails, the next one runs.
run_stage() {
    local section=$1 name=$2
    shift
    wanted "$name" && stage "$@" || return 0
    [ "$section" = - ] || python scripts/record.py docs/MEASUREMENTS.md "$section" "$(log_of "$name")" || true
}

# Builds the release binary, once, as a stage of its own. Fails whenever that build did.
build_binary() {
    if [ -z "${build_status:-}" ]; then
        build_status=0
        stage 'build, release' scripts/build.sh || build_status=$?
        [ "$build_status" -ne 0 ] || { build_release >/dev/null && export TUMULTE_BINARY=$BINARY; }
    fi
    return "$build_status"
}

# release_stage SECTION NAME COMMAND…: a stage that needs the release binary, built before the first that is wanted.
release_stage() {
    wanted "$2" && build_binary || return 0
    run_stage "$@"
}

start_postgres
start_redis
run_stage - 'thread sanitizer' sanitized thread .build-tsan
run_stage - 'address sanitizer' sanitized address .build-asan
run_stage replay 'tables and replays, optimized' optimized
run_stage - 'every bit of the journal flipped' every_bit

wanted 'build, release' && build_binary || true
release_stage crowd 'crowd of 10000' crowd
release_stage stall 'stalled client' python Tests/EndToEnd/stall.py
release_stage million 'a million voters' python Tests/EndToEnd/million.py
release_stage recovery 'ten thousand campaigns' env TUMULTE_TEST_STORE=postgres .cache/venv/bin/python \
    Tests/EndToEnd/recovery.py --campaigns 10000 --polls 500
release_stage bloat 'tables of PostgreSQL over ten minutes' python Tests/EndToEnd/bloat.py
release_stage users 'a thousand people on three nodes' python Tests/EndToEnd/cluster_users.py
release_stage pauses 'pauses of slots that move' python Tests/EndToEnd/cluster_pauses.py
release_stage - 'a cluster from a backup' python Tests/EndToEnd/cluster_backup.py
release_stage releases 'two builds beside each other' two_builds
release_stage soak 'soak, 100 kills' soak
release_stage benchmarks 'benchmarks' Benchmarks/run.sh
release_stage journal 'journal in PostgreSQL' Benchmarks/journal.sh
release_stage forward 'the hop between nodes' Benchmarks/forward.sh

run_stage deploy 'deploy: a fresh Debian root' deploy/try.sh
run_stage fuzz 'fuzz, 600 s each' scripts/fuzz.sh 600

[ ${#REPORT[@]} -gt 0 ] || fail "No stage has any of these words in its name: $*"
finish
