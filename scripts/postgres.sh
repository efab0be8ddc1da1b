#!/usr/bin/env bash
# A private PostgreSQL for tests: scripts/postgres.sh start|stop|kill DIR [PORT]
#
# `start` makes a cluster in DIR where there is none, serves it on 127.0.0.1:PORT (password by SCRAM) and on a Unix
# socket in DIR (no password), and prints the URL. PORT 0 or none takes a free one, and keeps it when started again.
# Settings in POSTGRES_SETTINGS (`-c fsync=off`) go to the server; POSTGRES_PRELOAD is a library that it is to load
# first, with the folder DIR/trouble in TROUBLE. `stop` ends it and keeps DIR; `kill` does not ask.
# `find` prints where PostgreSQL's programs are. As root the server runs as the user `postgres`, since it refuses root: DIR must be reachable for that user.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

command=${1:-} dir=${2:-} port=${3:-0}
[ -n "$dir" ] || [ "$command" = find ] || fail "usage: scripts/postgres.sh start|stop|kill DIR [PORT]"

find_postgres() {
    local place
    for place in "$(command -v initdb || true)" /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb \
        /opt/homebrew/opt/postgresql*/bin/initdb /usr/local/opt/postgresql*/bin/initdb; do
        # The last one wins: the newest version.
        [ -x "$place" ] && BIN=$(dirname "$place")
    done
    [ -n "${BIN:-}" ] || fail "No PostgreSQL server found (Debian: apt-get install postgresql)"
}

# Runs a program of PostgreSQL, as another user where this one is root.
as_owner() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid=postgres --regid=postgres --init-groups env HOME="$dir" "$@"
    else
        "$@"
    fi
}

start() {
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    if [ ! -e "$dir/data/PG_VERSION" ]; then
        printf 'tumulte\n' >"$dir/password"
        [ "$(id -u)" -ne 0 ] || chown -R postgres: "$dir"
        as_owner "$BIN/initdb" -D "$dir/data" -U tumulte --pwfile="$dir/password" --auth-local=trust \
            --auth-host=scram-sha-256 --encoding=UTF8 --no-locale --no-sync >"$dir/initdb.log" 2>&1 \
            || { cat "$dir/initdb.log" >&2; fail "initdb failed in $dir"; }
    fi
    [ "$port" != 0 ] || port=$(cat "$dir/port" 2>/dev/null || python3 scripts/free_port.py)
    printf '%s\n' "$port" >"$dir/port"
    # A server that was killed leaves its lock; pg_ctl knows how to tell.
    as_owner ${POSTGRES_PRELOAD:+env "LD_PRELOAD=$POSTGRES_PRELOAD" "TROUBLE=$dir/trouble"} \
        "$BIN/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -t 60 -s \
        -o "-p $port -k $dir -c listen_addresses=127.0.0.1 -c max_connections=200 ${POSTGRES_SETTINGS:-}" \
        start >/dev/null 2>&1 </dev/null \
        || { tail -n 20 "$dir/server.log" >&2; fail "PostgreSQL did not start in $dir"; }
    printf 'postgres://tumulte:tumulte@127.0.0.1:%s/postgres\n' "$port"
}

end() {
    [ -e "$dir/data/postmaster.pid" ] || return 0
    dir=$(cd "$dir" && pwd)
    as_owner "$BIN/pg_ctl" -D "$dir/data" -w -t 60 -s -m "$1" stop
}

find_postgres
case $command in
    start) start ;;
    stop) end fast ;;
    kill) end immediate ;;
    find) printf '%s\n' "$BIN" ;;
    *) fail "usage: scripts/postgres.sh start|stop|kill DIR [PORT]" ;;
esac
