"""The load client's command: `load.c`, compiled when it is first asked for, or `load.py` where there is no compiler."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .report import BUCKET_US
from .stamps import DIGITS, MARK

_SOURCE = Path(__file__).parent / "load.c"
_BINARY = Path(__file__).parent.parent / ".make" / "load"
_COMPILERS = ("cc", "gcc", "clang")


@functools.cache
def load_client() -> tuple[str, ...]:
    """What comes before a job's arguments."""
    for compiler in filter(None, map(shutil.which, _COMPILERS)):
        if _compiled(compiler):
            return (str(_BINARY),)
    return (sys.executable, "-m", "benchmarks.load")


def is_native() -> bool:
    """Whether the client is the fast one."""
    return load_client() == (str(_BINARY),)


def _compiled(compiler: str) -> bool:
    # Another run may be executing the one that is there: it is replaced, never written to.
    fresh = _BINARY.with_suffix(f".{os.getpid()}")
    fresh.parent.mkdir(exist_ok=True)
    given = {"MARK": f'"{MARK.decode()}"', "DIGITS": DIGITS, "BUCKET_US": BUCKET_US}
    defines = [f"-D{name}={value}" for name, value in given.items()]
    done = subprocess.run([compiler, "-O2", "-Wall", "-Wextra", *defines, "-o", fresh, _SOURCE], check=False)
    if done.returncode == 0:
        fresh.replace(_BINARY)
    return done.returncode == 0
