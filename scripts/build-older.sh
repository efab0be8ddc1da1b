#!/usr/bin/env bash
# Builds an older release beside this one and prints its path on the last line: scripts/build-older.sh REVISION
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ $# -eq 1 ] || fail "usage: scripts/build-older.sh REVISION, such as a tag"
revision=$(git rev-parse --verify --quiet "$1^{commit}") || fail "$1 names no revision of this repository"
source=.build-older/$revision
if [ ! -d "$source" ]; then
    rm -rf .build-older
    mkdir -p .build-older
    git worktree prune
    git worktree add --quiet --detach "$source" "$revision"
fi
cd "$source"
scripts/build.sh
