#!/usr/bin/env bash
# Everything that a change must pass: style, build with warnings as errors, unit and live tests, end-to-end suites,
# the browser, a minute of each fuzzer. Under 20 minutes on 2 cores, a fresh build included.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. scripts/stages.sh

scripts/setup.sh test
find_swift
build_flags

# A stage that hangs fails, where the system has `timeout`.
limit() {
    local seconds=$1
    shift
    if command -v timeout >/dev/null; then timeout --kill-after=10 "$seconds" "$@"; else "$@"; fi
}

# Whether Docker Swarm would take the stack; no engine is needed for that.
stack_file() {
    command -v docker >/dev/null || { skipped 'there is no docker client'; return 0; }
    docker stack config -c deploy/stack.yml >/dev/null && echo '1 passed, 0 failed'
}

stage 'lint' scripts/lint.sh || true
stage 'deploy: stack file' stack_file || true

start_postgres
start_redis

if stage 'build, debug' "$SWIFT" build --build-tests "${BUILD_FLAGS[@]}"; then
    stage 'swift test' limit 1800 "$SWIFT" test --skip-build --disable-xctest "${BUILD_FLAGS[@]}" \
        --skip 'Live(Cluster|Admin)Tests' || true
    # Whole clusters run by themselves: nodes that the rest slows down too much take each other for dead.
    stage 'swift test: clusters' limit 600 "$SWIFT" test --skip-build --disable-xctest "${BUILD_FLAGS[@]}" \
        --filter 'Live(Cluster|Admin)Tests' || true
fi

if stage 'build, release' scripts/build.sh; then
    build_release >/dev/null
    export TUMULTE_BINARY=$BINARY
    python() { limit 1200 .cache/venv/bin/python "$@"; }
    on_postgres() { TUMULTE_TEST_STORE=postgres python "$@"; }
    together 'end to end: scenario' 'python Tests/EndToEnd/scenario.py' \
        'end to end on PostgreSQL: scenario' 'on_postgres Tests/EndToEnd/scenario.py'
    together 'end to end: stall' 'python Tests/EndToEnd/stall.py' \
        'end to end on PostgreSQL: kill' 'on_postgres Tests/EndToEnd/kill.py --rounds 6'
    together 'end to end on PostgreSQL: outage' 'python Tests/EndToEnd/outage.py' \
        'end to end: disk' 'python Tests/EndToEnd/disk.py' 'end to end: damage' 'python Tests/EndToEnd/damage.py' \
        'end to end: stores of a cluster' 'python Tests/EndToEnd/cluster_stores.py'
    for suite in kill crowd million; do
        stage "end to end: $suite" limit 1200 .cache/venv/bin/python Tests/EndToEnd/"$suite".py || true
    done
    stage 'end to end on PostgreSQL: recovery' limit 1200 env TUMULTE_TEST_STORE=postgres \
        .cache/venv/bin/python Tests/EndToEnd/recovery.py || true
    stage 'end to end: cluster' limit 600 .cache/venv/bin/python Tests/EndToEnd/cluster.py || true
    stage 'end to end: nodes come and go' limit 600 .cache/venv/bin/python Tests/EndToEnd/cluster_moves.py || true
    together 'end to end: edges of a cluster' 'python Tests/EndToEnd/cluster_edges.py' \
        'end to end: make cluster' 'python Tests/EndToEnd/cluster_command.py' \
        'end to end: network of a cluster' 'python Tests/EndToEnd/cluster_network.py'
    stage 'end to end: cluster crowd' limit 300 .cache/venv/bin/python Tests/EndToEnd/cluster_crowd.py || true
    export TUMULTE_BROWSER_VENV=$ROOT/.cache/venv
    # Pages mostly wait; what works all the time cares for no hour (one lives in virtual time, the others for a minute each)
    # and takes what of the processors pages leave.
    together 'browser' "limit 1200 Tests/Browser/run.sh '$BINARY'" \
        'simulation' "limit 1200 nice -n 10 scripts/simulate.sh '$BINARY'" \
        'fuzz, 60 s each' 'limit 900 nice -n 10 scripts/fuzz.sh 60'
fi

finish
