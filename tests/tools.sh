#!/bin/sh
# Installs what the tests need beside Python packages: Chromium, Node 20.15 or newer, and aimock. Needs root only when
# something of Debian's is missing.
set -eu
cd "$(dirname "$0")"

missing=""
[ -x /usr/bin/chromium ] || missing="chromium fonts-dejavu-core fonts-noto-color-emoji"
command -v node >/dev/null || missing="$missing nodejs npm"
if [ -n "$missing" ]; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    # shellcheck disable=SC2086  # the list is words on purpose
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing
fi

# aimock needs it, and Debian 12's own is 18.
if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 15) ? 0 : 1)'; then
    echo "The tests need Node 20.15 or newer and found $(node --version) at $(command -v node); put a newer one first in PATH, for example: npm install --prefix ~/.node node@22 && PATH=~/.node/node_modules/.bin:\$PATH make test" >&2
    exit 1
fi

npm ci --silent --no-audit --no-fund --prefix aimock
