# shellcheck shell=bash
# Stages of a test run: each has a name, a log in .cache/logs, a duration, and counts of what passed and failed.
# Sourced after common.sh. A stage's own summary is read from its last `N passed, N failed` line, or from the line
# `Test run with N tests …` of Swift Testing; a stage without either counts as one test. What it could not run it tells
# by a line `N skipped`; that has neither passed nor failed.

# As many tests at once as keep a slow machine busy without any of them waiting out its own time limit.
export SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=${SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH:-8}

PASSED=0 FAILED=0 SKIPPED=0 REPORT=() FAILED_STAGES=()
mkdir -p .cache/logs

# The log of the stage of that name.
log_of() { printf '.cache/logs/%s.log' "$(printf '%s' "$1" | tr -c 'A-Za-z0-9\n' '-')"; }

# stage NAME COMMAND…: runs it, shows its output, remembers the outcome. Returns its status.
stage() {
    local name=$1 log started=$SECONDS status=0 passed failed skipped line
    shift
    log=$(log_of "$name")
    say "== $name"
    set +e
    "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    set -e
    passed=0 failed=0
    line=$(grep -aoE '[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1 || true)
    if [ -n "$line" ]; then
        read -r passed failed <<<"$(tr -cd '0-9 ' <<<"$line")"
    elif grep -aqE 'Test run with [0-9]+ tests?' "$log"; then
        passed=$(sed -nE 's/.*Test run with ([0-9]+) tests?.*/\1/p' "$log" | tail -n 1)
        failed=$(grep -aE '^[^ ]+ Test .* failed after' "$log" | grep -vc 'Test run with' || true)
        passed=$((passed - failed))
    elif [ "$status" -eq 0 ]; then
        passed=1
    fi
    skipped=$(grep -aoE '^[0-9]+ skipped$' "$log" | tail -n 1 | tr -cd '0-9' || true)
    skipped=${skipped:-0}
    # A stage that fails has at least one failure, whatever its summary says; so has one that ran no test.
    # A suite that skipped everything, each with its reason printed, has failed nothing.
    if [ "$status" -ne 0 ] || [ "$passed" -eq 0 ]; then
        [ "$failed" -gt 0 ] || { [ "$status" -eq 0 ] && [ "$skipped" -gt 0 ]; } || failed=1
    fi
    if [ "$status" -eq 0 ] && [ "$failed" -gt 0 ]; then
        status=1
    fi
    PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed)) SKIPPED=$((SKIPPED + skipped))
    [ "$failed" -eq 0 ] || FAILED_STAGES+=("$name")
    [ "$skipped" -eq 0 ] || name="$name ($skipped skipped)"
    REPORT+=("$(printf '%6d s  %5d passed %4d failed  %s' "${STAGE_SECONDS:-$((SECONDS - started))}" "$passed" "$failed" "$name")")
    return "$status"
}

# together NAME COMMAND NAME COMMAND…: stages that wait more than they work, beside each other. A command is one word
# for `eval`; what it printed is shown once it has ended.
together() {
    local names=() logs=() pids=() index status
    while [ $# -gt 0 ]; do
        names+=("$1")
        logs+=("$(mktemp)")
        (
            SECONDS=0 status=0
            (eval "$2") || status=$?
            echo "$SECONDS" >"${logs[-1]}.seconds"
            exit "$status"
        ) >"${logs[-1]}" 2>&1 &
        pids+=($!)
        shift 2
    done
    for index in "${!names[@]}"; do
        status=0
        wait "${pids[$index]}" || status=$?
        STAGE_SECONDS=$(cat "${logs[$index]}.seconds")
        stage "${names[$index]}" shown "${logs[$index]}" "$status" || true
        rm -f "${logs[$index]}.seconds"
        STAGE_SECONDS=
    done
}

shown() {
    cat "$1"
    rm -f "$1"
    return "$2"
}

# Starts a PostgreSQL of this run's own and names it in TUMULTE_TEST_POSTGRES; it ends with the script. Its folder is
# outside the project, where the server's user may not be allowed.
start_postgres() {
    POSTGRES_DIR=$(mktemp -d "${TMPDIR:-/tmp}/tumulte-postgres.XXXXXX")
    trap end_servers EXIT
    TUMULTE_TEST_POSTGRES=$(scripts/postgres.sh start "$POSTGRES_DIR") \
        || fail "The tests need a PostgreSQL server, and none could be started"
    export TUMULTE_TEST_POSTGRES
}

# Starts a Redis of this run's own and names it in TUMULTE_TEST_REDIS; it ends with the script.
start_redis() {
    REDIS_DIR=$(mktemp -d "${TMPDIR:-/tmp}/tumulte-redis.XXXXXX")
    trap end_servers EXIT
    TUMULTE_TEST_REDIS=$(scripts/redis.sh start "$REDIS_DIR") \
        || fail "The tests need a Redis server, and none could be started"
    export TUMULTE_TEST_REDIS
}

end_servers() {
    if [ -n "${POSTGRES_DIR:-}" ]; then
        scripts/postgres.sh kill "$POSTGRES_DIR" || true
        rm -rf "$POSTGRES_DIR"
    fi
    if [ -n "${REDIS_DIR:-}" ]; then
        scripts/redis.sh kill "$REDIS_DIR" || true
        rm -rf "$REDIS_DIR"
    fi
}

# Prints the table of stages and the closing line; exits 1 if anything failed.
finish() {
    printf '\n'
    say "Stages"
    printf '%s\n' "${REPORT[@]}"
    printf '%6d s  in all; logs in .cache/logs\n' "$SECONDS"
    [ ${#FAILED_STAGES[@]} -eq 0 ] || printf 'failed: %s\n' "$(IFS=,; echo "${FAILED_STAGES[*]}")"
    [ "$SKIPPED" -eq 0 ] || printf '%d skipped\n' "$SKIPPED"
    printf '%d passed, %d failed\n' "$PASSED" "$FAILED"
    [ "$FAILED" -eq 0 ]
    exit
}
