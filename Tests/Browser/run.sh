#!/bin/sh
# Runs the browser tests: Tests/Browser/run.sh PATH-OF-THE-BINARY [words of the tests wanted…]
# With --stand-in in place of the path the pages run against the stand-in node, for work on the pages alone.
# CHROME names another Chromium. The last line is `N passed, N failed`; the status is 0 only where all passed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
if [ $# -lt 1 ]; then
    echo "usage: $0 PATH-OF-THE-BINARY | --stand-in [words]" >&2
    exit 2
fi

venv=${TUMULTE_BROWSER_VENV:-$here/../../.cache/browser-venv}
if ! "$venv/bin/python" -c 'import websockets' 2>/dev/null; then
    rm -rf "$venv"
    python3 -m venv "$venv" || {
        echo "cannot make a Python environment: install the package python3-venv" >&2
        exit 1
    }
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'websockets>=13'
fi
exec "$venv/bin/python" -B "$here/main.py" "$@"
