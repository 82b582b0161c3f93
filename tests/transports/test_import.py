"""What importing this package does to others: nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_SCRIPT = """
import sys
import uvicorn
before = uvicorn.Server.handle_exit
import {module}
assert "sse_starlette" in sys.modules
assert uvicorn.Server.handle_exit is before, uvicorn.Server.handle_exit
assert before.__module__ == "uvicorn.server", before.__module__
"""
# Without our hands on it: if this stops being so, what we undo is no longer done.
_PATCHED = """
import uvicorn
before = uvicorn.Server.handle_exit
import sse_starlette
assert uvicorn.Server.handle_exit is not before
"""


def run(script: str) -> None:
    """Run a script in a fresh interpreter."""
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=25)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module", ["transports.sse", "transports.wire", pytest.param("realtime.server.app", marks=pytest.mark.slow)]
)
def test_signals_are_left_to_uvicorn(module: str) -> None:
    """sse-starlette's handler, which would cut every open stream, does not stay."""
    run(_SCRIPT.format(module=module))


def test_there_is_something_to_undo() -> None:
    """Importing sse-starlette by itself does replace the handler."""
    run(_PATCHED)
