#!/usr/bin/env bash
# The simulation: 200 seeds without a fault found, some of them twice to see that a seed always gives the same run, and
# each planted bug found. A process runs a few seeds only: what a crashed node leaves behind stays in memory.
#
# usage: scripts/simulate.sh BINARY [SEEDS]
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
binary=$1 seeds=${2:-200} chunk=25
passed=0 failed=0

# run NAME ARGUMENTS…: adds up what passed and failed.
run() {
    local output status=0
    output=$("$binary" simulate "$@" 2>&1) || status=$?
    printf '%s\n' "$output"
    local counts
    counts=$(grep -aoE '[0-9]+ passed, [0-9]+ failed' <<<"$output" | tail -n 1 | tr -cd '0-9 ' || true)
    read -r good bad <<<"${counts:-0 1}"
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    passed=$((passed + good)) failed=$((failed + bad))
}

for ((first = 1; first <= seeds; first += chunk)); do
    run --first "$first" --seeds $((first + chunk - 1 > seeds ? seeds - first + 1 : chunk))
done
say 'each seed twice'
run --first 1001 --seeds 4 --twice

# Each begins a little before the first seed that was seen to find it.
for planted in ack-before-commit:1 for-key-share:18 event-skipped-on-resume:1 timer-lost-at-hand-off:38; do
    plant=${planted%:*}
    say "planted: $plant"
    status=0
    output=$("$binary" simulate --first "${planted#*:}" --seeds 80 --plant "$plant" 2>&1) || status=$?
    grep -a '^seed' <<<"$output" | head -n 2 || true
    if [ "$status" -eq 1 ] && grep -qa '^seed' <<<"$output"; then
        grep -aoE '^[0-9]+ seeds from' <<<"$output" | sed 's/ from/ were enough/'
        passed=$((passed + 1))
    else
        printf '%s\n' "$output" | tail -n 5
        failed=$((failed + 1))
    fi
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
