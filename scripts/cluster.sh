#!/usr/bin/env bash
# A cluster to try on this machine: PostgreSQL and Redis of its own, three nodes on 127.0.0.1:8081-8083, until Ctrl-C.
#
# TUMULTE_PORT chooses another first port; the nodes' links have the ports 100 above. Everything is kept in .cache/cluster,
# or the folder TUMULTE_CLUSTER_FOLDER: secrets, logs, data. A node that is killed, or leaves because it was declared dead
# (status 75), is started again. With the path of a program in TUMULTE_BINARY nothing is installed or built.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

first=${TUMULTE_PORT:-8081}
[[ $first =~ ^[0-9]{1,5}$ ]] && [ "$first" -ge 1 ] && [ "$first" -le 65433 ] || fail "TUMULTE_PORT must be a port: $first"
names=(a b c)
dir=${TUMULTE_CLUSTER_FOLDER:-.cache/cluster}
supervisors=()

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A secret that is made once and kept.
secret() {
    [ -s "$dir/$1" ] || (umask 077 && head -c 32 /dev/urandom | base64 | tr -d '\n' >"$dir/$1")
}

# Where PostgreSQL may have its folder: as root it runs as another user, who may not be let into this one.
database_folder() {
    [ "$(id -u)" -eq 0 ] || { printf '%s\n' "$dir/postgres"; return; }
    if [ ! -s "$dir/postgres-folder" ] || [ ! -d "$(cat "$dir/postgres-folder")" ]; then
        mktemp -d "${TMPDIR:-/tmp}/tumulte-cluster.XXXXXX" >"$dir/postgres-folder"
    fi
    cat "$dir/postgres-folder"
}

# serve NAME NUMBER: a node, for as long as it is not told to end.
serve() {
    local node='' stopping='' status
    trap 'stopping=1; [ -z "$node" ] || kill -TERM "$node" 2>/dev/null' TERM
    trap '' INT
    while :; do
        TUMULTE_NODE_NAME=$1 TUMULTE_HTTP=127.0.0.1:$((first + $2)) TUMULTE_CLUSTER=127.0.0.1:$((first + 100 + $2)) \
            TUMULTE_ADVERTISE=127.0.0.1:$((first + 100 + $2)) "$BINARY" node >>"$dir/$1.log" 2>&1 </dev/null &
        node=$!
        printf '%s\n' "$node" >"$dir/$1.pid"
        [ -z "$stopping" ] || kill -TERM "$node"
        # A signal ends `wait` before the node has ended.
        while :; do
            status=0
            wait "$node" || status=$?
            kill -0 "$node" 2>/dev/null || break
        done
        [ -z "$stopping" ] && { [ "$status" -eq 75 ] || [ "$status" -gt 128 ]; } || exit "$status"
    done
}

end() {
    trap '' INT TERM
    trap - EXIT
    say "Stopping"
    # One after the other, as they would leave in earnest: each gives its slots to those that are left.
    local pid
    for pid in ${supervisors[@]+"${supervisors[@]}"}; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    scripts/redis.sh stop "$dir/redis" || true
    scripts/postgres.sh stop "$postgres" || true
    exit "${1:-0}"
}

if [ -n "${TUMULTE_BINARY:-}" ]; then
    BINARY=$TUMULTE_BINARY
    [ -x "$BINARY" ] || fail "TUMULTE_BINARY is no program: $BINARY"
else
    scripts/setup.sh test
    find_swift
    build_release
fi
for number in "${!names[@]}"; do
    for port in $((first + number)) $((first + 100 + number)); do
        ! answers "$port" || fail "127.0.0.1:$port is taken: choose other ports with TUMULTE_PORT=9081 make cluster"
    done
done

mkdir -p "$dir"
secret cluster-secret
postgres=$(database_folder)
trap 'end 1' EXIT
trap 'end 0' INT TERM
DATABASE_URL=$(scripts/postgres.sh start "$postgres")
REDIS_URL=$(scripts/redis.sh start "$dir/redis")
export DATABASE_URL REDIS_URL TUMULTE_CLUSTER_SECRET_FILE=$dir/cluster-secret
"$BINARY" migrate
# In process groups of their own: Ctrl-C is for this script, which ends them in order.
set -m
for number in "${!names[@]}"; do
    : >"$dir/${names[number]}.log"
    serve "${names[number]}" "$number" &
    supervisors+=($!)
done
set +m
for number in "${!names[@]}"; do
    until curl -fs -o /dev/null "http://127.0.0.1:$((first + number))/health/ready"; do
        kill -0 "${supervisors[number]}" 2>/dev/null \
            || { tail -n 5 "$dir/${names[number]}.log" >&2; fail "Node ${names[number]} did not start"; }
        sleep 0.1
    done
done

a=http://127.0.0.1:$first b=http://127.0.0.1:$((first + 1)) c=http://127.0.0.1:$((first + 2))
say "Tumulte serves on $a/ $b/ $c/ (Ctrl-C stops it)"
cat <<END
Logs, data and the cluster's secret are in $dir. $a/admin shows the cluster.

Try it: a campaign made on one node, a poll launched on another, votes on the third.

  campaign=\$(curl -s $a/v1/campaigns -H 'Content-Type: application/json' \\
    -d '{"name": "The lost mine"}' | sed -E 's/.*"id":"([^"]*)".*/\1/')
  poll=\$(curl -s $b/v1/campaigns/\$campaign/polls -H 'Content-Type: application/json' \\
    -d '{"question": "Left or right?", "options": ["left", "right"], "durationSeconds": 300, "type": "UNIQUE"}' |
    sed -E 's/.*"data":\{"id":"([^"]*)".*/\1/')
  curl -sN $a/v1/campaigns/\$campaign/events &
  curl -s $c/v1/campaigns/\$campaign/polls/\$poll/votes -H 'Content-Type: application/json' \\
    -d '{"option": 1, "voter": "alice"}'

Then kill a node, vote on the others, and see it come back:

  kill -9 \$(cat $dir/a.pid)
END
wait
