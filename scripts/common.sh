# shellcheck shell=bash
# Shared by the scripts: where the project is, how it speaks, and which Swift toolchain it uses.
# Sourced, never run. Leaves the working directory at the project's root.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    BOLD=$'\e[1m' RED=$'\e[31m' PLAIN=$'\e[0m'
else
    BOLD='' RED='' PLAIN=''
fi

say() { printf '%s%s%s\n' "$BOLD" "$*" "$PLAIN"; }
fail() {
    printf '%s%s%s\n' "$RED" "$*" "$PLAIN" >&2
    exit 1
}

# What a test says that cannot run here: it has not passed.
skipped() { printf 'skipped: %s\n1 skipped\n0 passed, 0 failed\n' "$*"; }

# Prints major*100 + minor of a `swift` binary, 0 where it does not run.
swift_version() {
    "$1" --version 2>/dev/null | sed -nE 's/.*Swift version ([0-9]+)\.([0-9]+).*/\1 \2/p' | head -n 1 \
        | { read -r major minor && echo $((major * 100 + minor)) || echo 0; }
}

# Sets SWIFT to the first toolchain that is new enough and puts its folder first in PATH.
find_swift() {
    local candidate version newest=0
    local places=(
        "$(command -v swift || true)" "$HOME/.swiftly/bin/swift" "$HOME/.local/share/swiftly/bin/swift"
        /opt/swift/usr/bin/swift /opt/swift/bin/swift /usr/local/swift/usr/bin/swift /usr/share/swift/usr/bin/swift
        /usr/libexec/swift/bin/swift
    )
    for candidate in "${places[@]}"; do
        [ -n "$candidate" ] && [ -x "$candidate" ] || continue
        version=$(swift_version "$candidate" || true)
        version=${version:-0}
        if [ "$version" -ge 602 ]; then
            SWIFT=$candidate
            PATH=$(dirname "$candidate"):$PATH
            export PATH
            return
        fi
        [ "$version" -gt "$newest" ] && newest=$version
    done
    if [ "$newest" -gt 0 ]; then
        fail "Swift $((newest / 100)).$((newest % 100)) is too old: install Swift 6.2 or newer (https://www.swift.org/install)"
    fi
    fail "No Swift toolchain found: install Swift 6.2 or newer (https://www.swift.org/install)"
}

# Fills BUILD_FLAGS: imports must be declared in Package.swift; on macOS, where Homebrew keeps headers and libraries.
build_flags() {
    BUILD_FLAGS=(--explicit-target-dependency-import-check error)
    local prefix
    if [ "$(uname)" = Darwin ] && command -v brew >/dev/null; then
        for prefix in "$(brew --prefix)" "$(brew --prefix sqlite)" "$(brew --prefix zlib)" "$(brew --prefix libpq)" \
            "$(brew --prefix openssl@3)"; do
            [ -d "$prefix/include" ] && BUILD_FLAGS+=(-Xcc "-I$prefix/include" -Xlinker "-L$prefix/lib")
        done
    fi
    # TLS to Redis where hiredis has it: from 1.0 on, not on Debian 12.
    if has_header hiredis/hiredis_ssl.h && has_header openssl/ssl.h; then
        BUILD_FLAGS+=(-Xcc -DTUMULTE_REDIS_TLS -Xlinker -lhiredis_ssl -Xlinker -lssl -Xlinker -lcrypto)
    fi
}

# has_header NAME: whether it is in a folder where the compiler looks, or Homebrew's.
has_header() {
    local place
    for place in /usr/include /usr/include/"$(uname -m)"-linux-gnu /usr/include/postgresql /usr/local/include \
        /opt/homebrew/include /opt/homebrew/opt/{sqlite,zlib,libpq,openssl@3}/include "${SDKROOT:-/nowhere}/usr/include"; do
        [ -e "$place/$1" ] && return 0
    done
    if [ "$(uname)" = Darwin ]; then
        [ -e "$(xcrun --show-sdk-path 2>/dev/null)/usr/include/$1" ] && return 0
    fi
    return 1
}

# build_product PRODUCT: builds an optimized program of the package and sets BINARY to its path.
build_product() {
    build_flags
    local build=("$SWIFT" build -c release --product "$1" "${BUILD_FLAGS[@]}")
    "${build[@]}"
    BINARY=$("${build[@]}" --show-bin-path)/$1
    [ -x "$BINARY" ] || fail "The build ended without the binary $BINARY"
}

# Builds the release binary and sets BINARY to its path.
build_release() { build_product tumulte; }
