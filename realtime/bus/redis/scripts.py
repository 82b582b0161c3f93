"""The scripts that Redis runs, each one atomic step. They are read from files beside this one."""

from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple

_FOLDER = files(__package__) / "lua"


class Script(NamedTuple):
    """One script: its text, how Redis names it, and how many of its arguments are keys."""

    text: str
    sha: str
    keys: int


def _read(name: str, keys: int) -> Script:
    text = (_FOLDER / f"{name}.lua").read_text()
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest(), keys)


CREATE = _read("create", 3)
APPEND = _read("append", 4)
RESTORE = _read("restore", 3)
STOP = _read("stop", 3)
TAKE_OVER = _read("take_over", 2)
PRESENT = _read("present", 2)
CLAIM = _read("claim", 5)
ERASE = _read("erase", 3)
