#!/usr/bin/env bash
# Builds the fuzzers with coverage and AddressSanitizer and runs each for a while; fails on the first crash, hang or
# leak of memory. Inputs that reach new code are kept in .build-fuzz/corpus, findings in .build-fuzz/findings.
#
#   scripts/fuzz.sh SECONDS [TARGET…]      a TARGET is a folder of Fuzz/, as in JSONCodec; default: all of them
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${1:-}"
if ! [[ "$seconds" =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: scripts/fuzz.sh SECONDS [TARGET...]" >&2
    exit 2
fi
shift
targets=("$@")
if [ "${#targets[@]}" -eq 0 ]; then
    for file in Fuzz/*/Fuzz.swift; do targets+=("$(basename "$(dirname "$file")")"); done
fi

export TUMULTE_FUZZ=1 SWIFT_BACKTRACE=enable=no
scratch=.build-fuzz
resources="$(swiftc -print-target-info | sed -n 's/.*"runtimeResourcePath": "\(.*\)",*/\1/p')"
# libFuzzer without its own main: Swift's entry point calls its driver.
runtime="$resources/clang/lib/linux/libclang_rt.fuzzer_no_main-$(uname -m).a"
if [ ! -f "$runtime" ]; then
    echo "libFuzzer is not part of this Swift toolchain: $runtime is missing" >&2
    exit 1
fi

for target in "${targets[@]}"; do
    [ -f "Fuzz/$target/Fuzz.swift" ] || { echo "there is no fuzzer Fuzz/$target" >&2; exit 2; }
    echo "== building $target"
    swift build --scratch-path "$scratch" -c release --product "Fuzz$target" \
        -Xswiftc -sanitize=address -Xswiftc -sanitize-coverage=edge,inline-8bit-counters,trace-cmp \
        -Xlinker "$runtime" -Xlinker -lstdc++
done

fuzz() { # fuzz TARGET: one fuzzer for that long
    local corpus="$scratch/corpus/$1" findings="$scratch/findings/$1"
    mkdir -p "$corpus" "$findings"
    "$scratch/release/Fuzz$1" "$corpus" "Fuzz/$1/corpus" \
        -max_total_time="$seconds" -timeout=10 -max_len=4096 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$findings/" >"$scratch/$1.log" 2>&1
}

# All at once: on the smallest machine that this is meant for each has a part of a core.
failed=0 pids=()
for target in "${targets[@]}"; do
    fuzz "$target" &
    pids+=($!)
done
for index in "${!targets[@]}"; do
    target=${targets[$index]}
    if wait "${pids[$index]}"; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$scratch/$target.log")
        echo "figure: $target fuzzed for $seconds s: ${runs:-?} inputs, no finding"
    else
        failed=1
        echo "== $target found something:"
        tail -n 60 "$scratch/$target.log"
    fi
done
[ "$failed" -eq 0 ] && echo "== no findings"
exit "$failed"
