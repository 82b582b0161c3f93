"""The folder of several processes' metrics: whose it is, and who removes it."""

import os
import subprocess
import sys
from pathlib import Path

_SCRIPT = """
import os, sys, tempfile
from realtime.server.shared_figures import shared_figures
with shared_figures():
    {}
"""
# A parent that ends as one does that was killed, and a worker that outlives it until it is told something.
_DIES = "os.fork() or sys.stdin.read(); os._exit(0)"
_LISTS = "print(sorted(os.listdir(tempfile.gettempdir())))"


def script(does: str, place: Path) -> "subprocess.Popen[str]":
    """A process that has such a folder there, and does this."""
    command, env = (sys.executable, "-c", _SCRIPT.format(does)), {**os.environ, "TMPDIR": str(place)}
    return subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def folders(place: Path) -> list[str]:
    """Those that another parent finds, its own among them."""
    with script(_LISTS, place) as process:
        said, _ = process.communicate()
    found: list[str] = sorted(word.strip("'[]\n") for word in said.split(", "))
    return found


def names(place: Path) -> list[str]:
    """All that is there."""
    return sorted(each.name for each in place.iterdir())


def test_what_is_left_is_removed_when_nobody_uses_it(tmp_path: Path) -> None:
    """It stays while a worker lives whose parent has died, and is removed by the next parent after that."""
    with script(_DIES, tmp_path) as process:
        process.wait()
        (left,) = names(tmp_path)
        assert left.startswith("realtime-metrics-")
        assert len(folders(tmp_path)) == 2
        assert names(tmp_path) == [left]
        # Until all have ended who could write to it.
        process.communicate()
    (own,) = folders(tmp_path)
    assert own != left
    assert names(tmp_path) == []


def test_a_parent_that_ends_removes_its_own(tmp_path: Path) -> None:
    """And nothing else that is there, by whatever name."""
    (tmp_path / "realtime-metrics-file").touch()
    (tmp_path / "another").mkdir()
    assert len(folders(tmp_path)) == 3
    assert names(tmp_path) == ["another", "realtime-metrics-file"]
