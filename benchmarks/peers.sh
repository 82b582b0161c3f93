#!/bin/sh
# Installs what the benchmarks compare with: nginx with Nchan (Debian's packages, which need root once), python-socketio
# and LiteLLM, each in an environment of its own because LiteLLM needs an older openai than we do. Whatever cannot be
# installed is a row that says so; this script then ends with 1 and can be run again.
set -u
cd "$(dirname "$0")/.."
python="${PYTHON:-.venv/bin/python}"
peers=.make/peers
missing=0

nginx() {
    [ -f /usr/lib/nginx/modules/ngx_nchan_module.so ] && [ -x /usr/sbin/nginx ] && return
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo -n"
    # The benchmarks start nginx with a file of their own; the packaged service would take port 80.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null && $sudo chmod +x "$policy" || return 1
        trap '$sudo rm -f "$policy"' EXIT
    fi
    $sudo apt-get update -qq &&
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            -o DPkg::Lock::Timeout=120 nginx libnginx-mod-nchan >/dev/null
}

# environment <name> <requirement> …
environment() {
    name=$1
    shift
    [ -x "$peers/$name/bin/python" ] || "$python" -m venv "$peers/$name" || return 1
    "$peers/$name/bin/python" -m pip install -q "$@" && touch "$peers/$name/installed"
}

mkdir -p "$peers"
nginx || { echo "not installed: nginx with Nchan" >&2; missing=1; }
environment socketio "python-socketio==5.18.1" "uvicorn==0.54.0" "uvloop==0.23.0" "httptools==0.9.0" "websockets==17.4" ||
    { echo "not installed: python-socketio" >&2; missing=1; }
environment litellm "litellm[proxy]==1.106.2" || { echo "not installed: LiteLLM" >&2; missing=1; }
exit $missing
