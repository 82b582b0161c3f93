"""The scripts that Redis runs, each one atomic step. They are read from files beside this one."""

from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple

_FOLDER = files(__package__) / "lua"
# A script that says so may write where Redis is full; one that does not may only take away.
_THOUGH_FULL = "#!lua flags=allow-oom\n"


class Script(NamedTuple):
    """One script: its text, how Redis names it, and how many of its arguments are keys."""

    text: str
    sha: str
    keys: int


def _read(name: str, keys: int, *, though_full: bool = False) -> Script:
    text = (_THOUGH_FULL if though_full else "") + (_FOLDER / f"{name}.lua").read_text()
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest(), keys)


CREATE = _read("create", 3)
APPEND = _read("append", 4)
RESTORE = _read("restore", 3)
CLAIM = _read("claim", 5)

# Small, and bounded by what there is already: with these a full Redis is left in order, and comes to have room again.
APPEND_THOUGH_FULL = _read("append", 4, though_full=True)
STOP = _read("stop", 3, though_full=True)
TAKE_OVER = _read("take_over", 2, though_full=True)
PRESENT = _read("present", 2, though_full=True)
ERASE = _read("erase", 3, though_full=True)
