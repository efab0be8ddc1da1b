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
    corpus="$scratch/corpus/$target"
    findings="$scratch/findings/$target"
    mkdir -p "$corpus" "$findings"
    echo "== running $target for $seconds s"
    "$scratch/release/Fuzz$target" "$corpus" "Fuzz/$target/corpus" \
        -max_total_time="$seconds" -timeout=10 -max_len=4096 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$findings/"
done
echo "== no findings"
