#!/usr/bin/env bash
# Builds what an image needs: deploy/build.sh OUT
#
# In a Debian 12 with a Swift toolchain, as root: installs the libraries' headers, builds the binary with Swift's runtime
# linked in, and leaves in OUT the binary and deploy/run.sh, which installs it elsewhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=${1:-}
[ -n "$out" ] || { echo "usage: deploy/build.sh OUT" >&2; exit 2; }

scripts/setup.sh run
swift build -c release --product tumulte --static-swift-stdlib --explicit-target-dependency-import-check error
mkdir -p "$out"
install -m 0755 "$(swift build -c release --product tumulte --static-swift-stdlib --show-bin-path)/tumulte" "$out/tumulte"
strip --strip-debug "$out/tumulte"
install -m 0755 deploy/run.sh "$out/run.sh"
