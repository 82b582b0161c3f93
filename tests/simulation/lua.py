"""The scripts of the bus, run as they are, on what answers their commands.

It is the files themselves that run, so a change of a script is a change here too; a test runs every script on this and
on a real Redis.
"""

import math
import re
from collections.abc import Callable
from typing import Any

from redis.exceptions import ResponseError

from .keyspace import text_of
from .lua_parser import Parser

Call = Callable[..., Any]
"""What a script gives to `redis.call`."""


def compiled(text: str) -> Callable[[list[bytes], list[bytes], Call], Any]:
    """A script as a function of its keys, its arguments and what answers its commands; raises SyntaxError."""
    code = compile(Parser(text).python(), "script", "exec")

    calls: list[Call] = []
    names = _NAMES | {"l_redis_call": lambda *command: _to_lua(calls[-1](*map(_argument, command)))}
    exec(code, names)

    def run(keys: list[bytes], args: list[bytes], call: Call) -> Any:
        calls[:] = [call]
        return _from_lua(names["script"](keys, args))

    return run


# What a script finds there.


def _true(value: Any) -> bool:
    return value is not None and value is not False


def _number(value: Any) -> float:
    found = _tonumber(value)
    if found is None:
        raise ResponseError(f"attempt to perform arithmetic on {value!r}")
    return found


def _tonumber(value: Any) -> float | None:
    if isinstance(value, float):
        return value
    try:
        return float(value) if isinstance(value, bytes) else None
    except ValueError:
        return None


def _joined(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, float):
        raise ResponseError(f"attempt to concatenate {value!r}")
    return b"%.14g" % value


def _at(values: Any, index: float) -> Any:
    if not isinstance(values, list):
        raise ResponseError(f"attempt to index {values!r}")
    return values[int(index) - 1] if 1 <= index <= len(values) else None


def _matched(text: bytes, pattern: bytes) -> bytes | None:
    if pattern != b"^%d+":
        raise ResponseError(f"a pattern that is not known here: {pattern!r}")
    found = re.match(rb"\d+", text)
    return None if found is None else found[0]


_NAMES: dict[str, Any] = {
    "true": _true,
    "number": _number,
    "joined": _joined,
    "at": _at,
    "either_or": lambda left, right: left if _true(left) else right(),
    "either_and": lambda left, right: right() if _true(left) else left,
    "ipairs": lambda values: list(enumerate(values, start=1)),
    "l_tonumber": _tonumber,
    "l_math_floor": lambda value: float(math.floor(_number(value))),
    "l_math_max": lambda *values: max(_number(value) for value in values),
    "l_string_format": lambda form, value: form % _number(value),
    "l_string_match": _matched,
}


def _argument(value: Any) -> bytes:
    return text_of(value) if isinstance(value, float) else value


def _to_lua(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_to_lua(one) for one in answer]
    if answer is None:
        return False
    return float(answer) if isinstance(answer, int) else answer


def _from_lua(value: Any) -> Any:
    if isinstance(value, list):
        # An array ends where there is nothing in it.
        upto = next((at for at, one in enumerate(value) if one is None), len(value))
        return [_from_lua(one) for one in value[:upto]]
    if isinstance(value, float):
        return int(value)
    return 1 if value is True else None if value is False else value
