"""Where a run was made, so that its figures can be judged later; and which core does what."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "anthropic",
    "fastapi",
    "httptools",
    "httpx2",
    "msgspec",
    "openai",
    "pydantic",
    "redis",
    "sse-starlette",
    "starlette",
    "uvicorn",
    "uvloop",
    "websockets",
)

_ROOT = Path(__file__).parent.parent

# The server has a core of its own; its load client, and the upstream it reads from, share the other.
_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = _CORES[0], _CORES[-1]


def describe() -> dict[str, object]:
    """Processor, versions and commit."""
    return {
        "cpu": _cpu_model(),
        "cores": len(_CORES),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _git("rev-parse", "HEAD"),
        "modified": bool(_git("status", "--porcelain", "--", "realtime", "transports")),
        "load_average": os.getloadavg(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
