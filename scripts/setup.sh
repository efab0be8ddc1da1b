#!/usr/bin/env bash
# Installs what is missing on this machine: scripts/setup.sh run|test|bench|forward|deploy
#
# Debian and Ubuntu by apt-get (as root or with sudo), macOS by Homebrew; elsewhere it names what to install. Nothing
# is asked of the network when nothing is missing. The Python environment of the tests lives in .cache/venv.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

purpose=${1:-run}
case $purpose in
    run) sets='run' ;;
    test) sets='run test bench' ;;
    bench) sets='run bench' ;;
    forward) sets='run bench forward' ;;
    deploy) sets='deploy' ;;
    *) fail "usage: scripts/setup.sh run|test|bench|forward" ;;
esac

# set | what shows that it is there | Debian, Ubuntu | Homebrew | Fedora
needs='
run   | header uv.h            | libuv1-dev         | libuv       | libuv-devel
run   | header sqlite3.h       | libsqlite3-dev     | sqlite      | sqlite-devel
run   | header sodium.h        | libsodium-dev      | libsodium   | libsodium-devel
run   | header zlib.h          | zlib1g-dev         | zlib        | zlib-devel
run   | header libpq-fe.h      | libpq-dev          | libpq       | libpq-devel
run   | header hiredis/async.h | libhiredis-dev    | hiredis     | hiredis-devel
run   | header http_parser.h   | libhttp-parser-dev | http-parser | http-parser-devel
test  | header wslay/wslay.h   | libwslay-dev       | wslay       | wslay-devel
test  | postgres               | postgresql         | postgresql  | postgresql-server
test  | redis                  | redis-server       | redis       | redis
test  | compiler               | gcc                | llvm        | gcc
test  | command ip             | iproute2           | iproute2mac | iproute
test  | command openssl        | openssl            | openssl@3   | openssl
test  | python                 | python3            | python      | python3
test  | venv                   | python3-venv       | python      | python3
test  | browser                | chromium           | chromium    | chromium
bench | compiler               | gcc                | llvm        | gcc
bench | python                 | python3            | python      | python3
bench | command taskset        | util-linux         | util-linux  | util-linux
bench | postgres               | postgresql         | postgresql  | postgresql-server
forward | redis                | redis-server       | redis       | redis
forward | venv                 | python3-venv       | python      | python3
forward | command nats-server  | nats-server        | nats-server | nats-server
deploy | command debootstrap   | debootstrap        | debootstrap | debootstrap
'

present() {
    case $1 in
        'header '*) has_header "${1#header }" ;;
        'command '*) [ "$(uname)" != Linux ] || command -v "${1#command }" >/dev/null ;;
        python) command -v python3 >/dev/null ;;
        venv) python3 -c 'import venv, ensurepip' 2>/dev/null ;;
        # Debian's packages also start servers on ports 5432 and 6379, which the tests leave alone: theirs are private.
        postgres) scripts/postgres.sh find 2>/dev/null ;;
        redis) command -v redis-server ;;
        browser) command -v chromium || command -v chromium-browser || command -v google-chrome || [ -d /Applications/Chromium.app ] ;;
        compiler) command -v cc || command -v clang || command -v gcc ;;
    esac >/dev/null
}

trim() {
    local text=$1
    text=${text#"${text%%[! ]*}"}
    printf '%s' "${text%"${text##*[! ]}"}"
}

missing_apt=() missing_brew=() missing_dnf=()
look_for_what_is_missing() {
    missing_apt=() missing_brew=() missing_dnf=()
    local set probe apt brew dnf
    while IFS='|' read -r set probe apt brew dnf; do
        set=$(trim "$set")
        [ -n "$set" ] && [[ " $sets " = *" $set "* ]] || continue
        present "$(trim "$probe")" && continue
        apt=$(trim "$apt")
        # Ubuntu has no package of that name; its chromium-browser brings the snap.
        [ "$apt" = chromium ] && grep -qs '^ID=ubuntu' /etc/os-release && apt=chromium-browser
        missing_apt+=("$apt") missing_brew+=("$(trim "$brew")") missing_dnf+=("$(trim "$dnf")")
    done <<<"$needs"
}

install_by_apt() {
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || { [ ! -t 0 ] && ! sudo -n true 2>/dev/null; }; then
            fail "Missing packages, and no right to install them. As root: apt-get install ${missing_apt[*]}"
        fi
        as_root=(sudo)
    fi
    say "Installing ${missing_apt[*]}"
    "${as_root[@]}" apt-get update -q || say "apt-get update failed; trying with the lists that are there"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing_apt[@]}" \
        || fail "apt-get could not install: ${missing_apt[*]}"
}

find_swift
look_for_what_is_missing
if [ ${#missing_apt[@]} -gt 0 ]; then
    if [ "$(uname)" = Darwin ]; then
        command -v brew >/dev/null || fail "Missing: ${missing_brew[*]}. Install Homebrew (https://brew.sh), then: brew install ${missing_brew[*]}"
        say "Installing ${missing_brew[*]}"
        brew install "${missing_brew[@]}"
    elif command -v apt-get >/dev/null; then
        install_by_apt
    else
        fail "Missing libraries or programs. Their packages: ${missing_dnf[*]} (Fedora's names), ${missing_apt[*]} (Debian's names)"
    fi
    look_for_what_is_missing
    [ ${#missing_apt[@]} -eq 0 ] || fail "Still missing after the installation: ${missing_apt[*]}"
fi

# The Python environment of the end-to-end tests; made again when the list of its packages changes.
if [ "$purpose" = test ] || [ "$purpose" = forward ]; then
    wanted=Tests/EndToEnd/requirements.txt
    venv=.cache/venv
    if ! cmp -s "$wanted" "$venv/requirements.txt" || ! "$venv/bin/python" -c '' 2>/dev/null; then
        say "Making the tests' Python environment in $venv"
        rm -rf "$venv"
        mkdir -p .cache
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted" \
            || { rm -rf "$venv"; fail "pip could not install the packages of $wanted (is PyPI reachable?)"; }
        cp "$wanted" "$venv/requirements.txt"
    fi
fi
