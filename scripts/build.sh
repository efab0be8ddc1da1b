#!/usr/bin/env bash
# Builds the release binary and prints its path.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
scripts/setup.sh run
find_swift
build_release
say "$BINARY"
