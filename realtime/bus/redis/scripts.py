"""The scripts that Redis runs, each one atomic step on keys of one slot. They are read from files beside this one."""

from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple

_FOLDER = files(__package__) / "lua"
# A script that says so may write where Redis is full; one that does not may only take away.
_THOUGH_FULL = "#!lua flags=allow-oom\n"


class Script(NamedTuple):
    """One script: its text, and how Redis names it."""

    text: str
    sha: str


def _read(name: str, *, though_full: bool = False) -> Script:
    text = (_THOUGH_FULL if though_full else "") + (_FOLDER / f"{name}.lua").read_text()
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


CREATE = _read("create")
APPEND = _read("append")
RESTORE = _read("restore")
CLAIM = _read("claim")
OVERDUE = _read("overdue")

# Small, and bounded by what there is already: with these a full Redis is left in order, and comes to have room again.
APPEND_THOUGH_FULL = _read("append", though_full=True)
STOP = _read("stop", though_full=True)
TAKE_OVER = _read("take_over", though_full=True)
PRESENT = _read("present", though_full=True)
ERASE = _read("erase", though_full=True)
