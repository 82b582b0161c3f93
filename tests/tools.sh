#!/bin/sh
# Installs what the tests need beside Python packages: Chromium, Node 20 or newer, and aimock. Needs root only when
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

npm ci --silent --no-audit --no-fund --prefix aimock
