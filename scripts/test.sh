#!/usr/bin/env bash
# Everything that a change must pass: style, build with warnings as errors, unit and live tests, end-to-end suites,
# the browser, a minute of each fuzzer. Under 20 minutes on 2 cores, a fresh build included.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. scripts/stages.sh

scripts/setup.sh test
find_swift
build_flags

swift_tests() { "$SWIFT" test --skip-build --disable-xctest "${BUILD_FLAGS[@]}"; }
python() { .cache/venv/bin/python "$@"; }

stage 'lint' scripts/lint.sh || true

if stage 'build, debug' "$SWIFT" build --build-tests "${BUILD_FLAGS[@]}"; then
    stage 'swift test' swift_tests || true
fi

if stage 'build, release' scripts/build.sh; then
    build_release >/dev/null
    export TUMULTE_BINARY=$BINARY
    for suite in scenario kill crowd stall disk; do
        stage "end to end: $suite" python Tests/EndToEnd/"$suite".py || true
    done
    export TUMULTE_BROWSER_VENV=$ROOT/.cache/venv
    stage 'browser' Tests/Browser/run.sh "$BINARY" || true
fi

stage 'fuzz, 60 s each' scripts/fuzz.sh 60 || true

finish
