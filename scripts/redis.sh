#!/usr/bin/env bash
# A private Redis for tests: scripts/redis.sh start|stop|kill|url DIR [PORT]
#
# `start` serves DIR on 127.0.0.1:PORT with a password and an append-only file, and prints the URL. PORT 0 or none takes
# a free one, and keeps it when started again. Lines in REDIS_SETTINGS (`replicaof 127.0.0.1 7000`) go to the server's
# configuration, words in REDIS_FLAGS (`--sentinel`) to its command line. `stop` ends it and keeps DIR; `kill` does not ask, and also ends one that is stopped by a signal.
# `url` prints the URL. The server runs as the current user; its process id is in DIR/redis.pid.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() { fail "usage: scripts/redis.sh start|stop|kill|url DIR [PORT]"; }

command=${1:-} dir=${2:-} port=${3:-0}
[ -n "$dir" ] || usage
password=tumulte

# What a process calls itself; nothing once it has ended.
title() {
    if [ -r "/proc/$1/cmdline" ]; then tr '\0' ' ' <"/proc/$1/cmdline"; else ps -o args= -p "$1"; fi
}

# Whether this folder's own server runs: a number in a file may long belong to another process.
running() {
    local pid
    pid=$(cat "$dir/redis.pid" 2>/dev/null) && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null \
        && title "$pid" | grep -q "redis-server.*:$(cat "$dir/port")"
}

url() {
    [ -e "$dir/port" ] || fail "There is no Redis in $dir"
    printf 'redis://:%s@127.0.0.1:%s/0\n' "$password" "$(cat "$dir/port")"
}

cli() { REDISCLI_AUTH=$password redis-cli --no-auth-warning -h 127.0.0.1 -p "$(cat "$dir/port")" "$@"; }

# await WHAT COMMAND…: until it succeeds, at most 30 s.
await() {
    local what=$1 tries
    shift
    for ((tries = 0; tries < 600; tries++)); do
        "$@" && return
        sleep 0.05
    done
    tail -n 20 "$dir/server.log" >&2 || true
    fail "Redis in $dir: $what"
}

answers() { [ "$(cli ping 2>/dev/null)" = PONG ]; }
ended() { ! running; }

start() {
    command -v redis-server >/dev/null || fail "No Redis server found (Debian: apt-get install redis-server)"
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    if ! running; then
        [ "$port" != 0 ] || port=$(cat "$dir/port" 2>/dev/null || python3 scripts/free_port.py)
        printf '%s\n' "$port" >"$dir/port"
        (
            umask 077
            cat >"$dir/redis.conf" <<END
bind 127.0.0.1
port $port
dir $dir
daemonize yes
pidfile $dir/redis.pid
logfile $dir/server.log
requirepass $password
masterauth $password
appendonly yes
save ""
${REDIS_SETTINGS:-}
END
        )
        # shellcheck disable=SC2086
        redis-server "$dir/redis.conf" ${REDIS_FLAGS:-} >/dev/null </dev/null || fail "Redis did not start in $dir"
    fi
    await 'it did not answer in time' answers
    url
}

stop() {
    running || return 0
    kill -"$1" "$(cat "$dir/redis.pid")"
    await 'it did not end in time' ended
    rm -f "$dir/redis.pid"
}

case $command in
    start) start ;;
    stop) stop TERM ;;
    kill) stop KILL ;;
    url) url ;;
    *) usage ;;
esac
