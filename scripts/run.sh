#!/usr/bin/env bash
# Installs what is missing, builds in release mode and serves a standalone node until Ctrl-C.
# Configuration comes from the environment (README); the address from TUMULTE_HTTP.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

export TUMULTE_HTTP=${TUMULTE_HTTP:-127.0.0.1:8080}
host=${TUMULTE_HTTP%:*} port=${TUMULTE_HTTP##*:}
host=${host#[} host=${host%]}
case $host in
    0.0.0.0 | '') reach=127.0.0.1 ;;
    ::) reach=::1 ;;
    *) reach=$host ;;
esac
case $reach in *:*) shown="[$reach]" ;; *) shown=$reach ;; esac

answers() { (exec 3<>"/dev/tcp/$reach/$port") 2>/dev/null; }

scripts/setup.sh run
find_swift
build_release
if answers; then
    fail "The address $TUMULTE_HTTP is taken: choose another with TUMULTE_HTTP=127.0.0.1:8081 make run"
fi

# Names the page as soon as the node listens; ends with the node if it never does.
(
    while kill -0 $$ 2>/dev/null; do
        if answers; then
            say "Tumulte is at http://$shown:$port/ (Ctrl-C stops it)"
            break
        fi
        sleep 0.1
    done
) &
exec "$BINARY" node
