#!/bin/sh
# The runtime's side of an image.
#
#   run.sh install OUT     as root: installs the libraries and an init, makes the user `tumulte`, puts the binary in place
#   run.sh COMMAND…        (as tumulte-run) runs tumulte; secrets that are mounted in /run/secrets are used by their names
set -eu

install_here() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -y -q --no-install-recommends \
        ca-certificates libhiredis0.14 libhttp-parser2.9 libpq5 libsodium23 libsqlite3-0 libuv1 tini zlib1g
    rm -rf /var/lib/apt/lists/*
    id tumulte >/dev/null 2>&1 || useradd --system --home-dir /var/lib/tumulte --shell /usr/sbin/nologin tumulte
    install -d -o tumulte -g tumulte -m 0750 /var/lib/tumulte
    install -m 0755 "$1/tumulte" /usr/local/bin/tumulte
    install -m 0755 "$0" /usr/local/bin/tumulte-run
}

# A secret DATABASE_URL in /run/secrets becomes DATABASE_URL_FILE, unless the variable is set.
use_secrets() {
    for name in DATABASE_URL REDIS_URL TUMULTE_CLUSTER_SECRET TUMULTE_TOKEN_SECRET TUMULTE_ADMIN_TOKEN; do
        eval "value=\${$name:-\${${name}_FILE:-}}"
        if [ -z "$value" ] && [ -r "/run/secrets/$name" ]; then export "${name}_FILE=/run/secrets/$name"; fi
    done
}

if [ "${1:-}" = install ]; then
    [ -n "${2:-}" ] || { echo "usage: run.sh install OUT" >&2; exit 2; }
    install_here "$2"
else
    use_secrets
    exec tumulte "$@"
fi
