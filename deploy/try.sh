#!/usr/bin/env bash
# Tries build.sh and run.sh where no container engine is: in a fresh root of Debian 12 made by debootstrap, as root.
#
#   deploy/try.sh          prints `1 passed, 0 failed` last; a machine that cannot do this says why, and `1 skipped`
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

skip() { skipped "$*"; exit 0; }
[ "$(id -u)" -eq 0 ] || skip "only root can make a root of its own"
command -v debootstrap >/dev/null || scripts/setup.sh deploy || skip "there is no debootstrap"
unshare --mount --pid --fork true 2>/dev/null || skip "namespaces cannot be made here"
find_swift
toolchain=$(dirname "$(dirname "$(dirname "$(readlink -f "$SWIFT")")")")

root=$(mktemp -d "${TMPDIR:-/tmp}/tumulte-root.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT
say "== a fresh Debian 12 in $root"
debootstrap --variant=minbase bookworm "$root" http://deb.debian.org/debian >"$root.log" 2>&1 \
    || { tail -n 5 "$root.log"; fail "debootstrap failed"; }
chmod 0755 "$root"  # as a root is for its users
mkdir -p "$root/toolchain" "$root/source"
git archive HEAD | tar -x -C "$root/source"

# What the official Swift image brings beside the toolchain.
swift_needs='binutils g++ git libc6-dev libcurl4 libedit2 libncurses6 libpython3-dev libxml2 make python3 tzdata'

# All mounts end with their namespace.
unshare --mount --pid --fork --mount-proc --kill-child bash -euo pipefail -c '
    root=$1 toolchain=$2 needs=$3
    mount --bind "$toolchain" "$root/toolchain"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    in_root() { chroot "$root" /usr/bin/env -i HOME=/root PATH=/toolchain/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
    echo "== build.sh"
    in_root sh -c "apt-get update -q && apt-get install -y -q --no-install-recommends $needs" >"$root.log" 2>&1
    in_root /source/deploy/build.sh /out 2>&1 | tee -a "$root.log" | tail -n 2
    echo "== run.sh"
    # As in the slim image: neither toolchain nor headers help the binary.
    in_root /out/run.sh install /out >>"$root.log" 2>&1
    umount "$root/toolchain"
    serve() {
        exec chroot --userspec=tumulte "$root" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/var/lib/tumulte \
            TUMULTE_HTTP=127.0.0.1:18080 TUMULTE_DATA=/var/lib/tumulte TUMULTE_LOG_FORMAT=json \
            /usr/bin/tini -- /usr/local/bin/tumulte-run node
    }
    serve >"$root.node.log" 2>&1 &
    init=$!
    for attempt in $(seq 1 300); do
        in_root /usr/local/bin/tumulte health --url http://127.0.0.1:18080 && break
        kill -0 "$init" || { cat "$root.node.log"; exit 1; }
        read -r -t 0.1 <> <(:) || true
    done
    node=$(pgrep -P "$init" tumulte)
    [ "$(stat -c %U "/proc/$node")" != root ] || { echo "the node runs as root"; exit 1; }
    began=$SECONDS
    kill -TERM "$init"
    status=0
    wait "$init" || status=$?
    [ "$status" -eq 0 ] && [ $((SECONDS - began)) -lt 40 ] || { cat "$root.node.log"; echo "ended with $status"; exit 1; }
    echo "figure: built and served in a fresh Debian 12: SIGTERM to the init ended the node with status 0 in $((SECONDS - began)) s"
' bash "$root" "$toolchain" "$swift_needs"
echo '1 passed, 0 failed'
