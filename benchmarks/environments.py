"""Where the peers are that `peers.sh` installs. One that is not there is no failure: its row says so."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent
_PEERS = ROOT / ".make" / "peers"

NGINX = Path("/usr/sbin/nginx")
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


class NotInstalledError(Exception):
    """A peer that is not on this machine."""


def python_of(peer: str) -> str:
    """The interpreter of a peer's own environment."""
    python = _PEERS / peer / "bin" / "python"
    # An environment whose installation failed halfway has an interpreter and nothing for it to run.
    if not (_PEERS / peer / "installed").exists():
        raise NotInstalledError(peer)
    return str(python)


def need_nginx(module: Path | None = None) -> None:
    """Be sure of nginx, and of the module when one is given."""
    if not NGINX.exists() or not (module is None or module.exists()):
        raise NotInstalledError("nginx" if module is None else "Nchan")


def redis_server() -> str:
    """Where Redis is."""
    found = shutil.which("redis-server")
    if found is None:
        raise NotInstalledError("redis-server")
    return found
