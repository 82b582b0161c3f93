"""What Redis keeps, and the commands that the bus uses of it, each of them as far as the bus uses it.

Keys, values and answers are bytes, as in Redis; a test holds this against a real one.
"""

from collections.abc import Callable, Iterable
from typing import Any

from redis.exceptions import ResponseError


class Stream:
    """Entries by number; ids are `<number>-0`."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, list[bytes]]] = []
        self.last = 0


State = tuple[dict[bytes, Any], dict[bytes, float]]


class Keyspace:
    """See the module.

    Args:
        clock_ms: The time of day of this Redis.
        published: Called with channel and message; answers how many have heard it.
        added: Called with the key and the value of each new entry of a stream.
    """

    def __init__(
        self,
        clock_ms: Callable[[], float],
        published: Callable[[bytes, bytes], int],
        added: Callable[[bytes, bytes], None],
    ) -> None:
        self._clock_ms = clock_ms
        self._published = published
        self._added = added
        self._values: dict[bytes, Any] = {}
        self._ends: dict[bytes, float] = {}

    def saved(self) -> State:
        """All of it, as it is now."""
        return {key: _copied(value) for key, value in self._values.items()}, dict(self._ends)

    def load(self, state: State) -> None:
        """Be what was saved."""
        self._values = {key: _copied(value) for key, value in state[0].items()}
        self._ends = dict(state[1])

    def keys(self) -> Iterable[bytes]:
        """Of everything that is kept."""
        return [key for key in list(self._values) if self._kept(key) is not None]

    def call(self, *command: bytes) -> Any:
        """The answer to one command, in the form that RESP2 has for it; raises ResponseError."""
        name, *args = command
        return getattr(self, f"_{name.decode().lower()}")(*args)

    def _kept(self, key: bytes) -> Any:
        if key in self._ends and self._ends[key] <= self._clock_ms():
            self._forget(key)
        return self._values.get(key)

    def _forget(self, key: bytes) -> bool:
        self._ends.pop(key, None)
        return self._values.pop(key, None) is not None

    def _made(self, key: bytes, kind: type[Any]) -> Any:
        if self._kept(key) is None:
            self._values[key] = kind()
        return self._values[key]

    # Of any key.

    def _time(self) -> list[bytes]:
        seconds, ms = divmod(int(self._clock_ms()), 1000)
        return [b"%d" % seconds, b"%d" % (ms * 1000)]

    def _exists(self, key: bytes) -> int:
        return int(self._kept(key) is not None)

    def _unlink(self, *keys: bytes) -> int:
        return sum(self._kept(key) is not None and self._forget(key) for key in keys)

    def _pexpire(self, key: bytes, ms: bytes) -> int:
        if self._kept(key) is None:
            return 0
        self._ends[key] = self._clock_ms() + int(ms)
        return 1

    def _publish(self, channel: bytes, message: bytes) -> int:
        return self._published(channel, message)

    # Strings and hashes.

    def _get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._kept(key)
        return value

    def _set(self, key: bytes, value: bytes, px: bytes, ms: bytes) -> bytes:
        assert px == b"PX"
        self._values[key] = value
        self._ends[key] = self._clock_ms() + int(ms)
        return b"OK"

    def _hset(self, key: bytes, *pairs: bytes) -> int:
        fields: dict[bytes, bytes] = self._made(key, dict)
        before = len(fields)
        fields.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(fields) - before

    def _hget(self, key: bytes, field: bytes) -> bytes | None:
        return (self._kept(key) or {}).get(field)

    def _hmget(self, key: bytes, *names: bytes) -> list[bytes | None]:
        fields = self._kept(key) or {}
        return [fields.get(name) for name in names]

    def _hgetall(self, key: bytes) -> list[bytes]:
        return [part for pair in (self._kept(key) or {}).items() for part in pair]

    # Streams.

    def _xadd(self, key: bytes, id_: bytes, *fields: bytes) -> bytes:
        number, stream = _number(id_), self._kept(key)
        if number <= (0 if stream is None else stream.last):
            raise ResponseError("The ID specified in XADD is equal or smaller than the target stream top item")
        stream = self._made(key, Stream)
        stream.entries.append((number, list(fields)))
        stream.last = number
        self._added(key, fields[1])
        return id_

    def _xrange(self, key: bytes, first: bytes, last: bytes, *count: bytes) -> list[list[Any]]:
        assert last == b"+"
        after = -1 if first == b"-" else _number(first[1:]) if first.startswith(b"(") else _number(first) - 1
        stream = self._kept(key)
        found = [] if stream is None else [entry for entry in stream.entries if entry[0] > after]
        return [[b"%d-0" % number, fields] for number, fields in found[: int(count[1]) if count else None]]

    def _xrevrange(self, key: bytes, last: bytes, first: bytes, _: bytes, count: bytes) -> list[list[Any]]:
        return self._xrange(key, first, last)[::-1][: int(count)]

    def _xtrim(self, key: bytes, how: bytes, least: bytes) -> int:
        assert how == b"MINID"
        stream = self._kept(key)
        before = len(stream.entries)
        stream.entries = [entry for entry in stream.entries if entry[0] >= _number(least)]
        return before - len(stream.entries)

    # Sorted sets.

    def _zadd(self, key: bytes, score: bytes, member: bytes) -> int:
        scores: dict[bytes, float] = self._made(key, dict)
        before = len(scores)
        scores[member] = float(score)
        return len(scores) - before

    def _zrem(self, key: bytes, *members: bytes) -> int:
        scores = self._kept(key) or {}
        gone = [scores.pop(member) for member in members if member in scores]
        if gone and not scores:
            self._forget(key)
        return len(gone)

    def _zscore(self, key: bytes, member: bytes) -> bytes | None:
        score = (self._kept(key) or {}).get(member)
        return None if score is None else text_of(score)

    def _sorted(self, key: bytes) -> list[tuple[bytes, float]]:
        return sorted((self._kept(key) or {}).items(), key=lambda pair: (pair[1], pair[0]))

    def _zrange(self, key: bytes, first: bytes, last: bytes, *scores: bytes) -> list[bytes]:
        found = _between(self._sorted(key), first, last)
        return _flat(found) if scores else [member for member, _ in found]

    def _zrevrange(self, key: bytes, first: bytes, last: bytes) -> list[bytes]:
        return [member for member, _ in _between(self._sorted(key)[::-1], first, last)]

    def _zrevrank(self, key: bytes, member: bytes) -> int | None:
        members = [one for one, _ in self._sorted(key)[::-1]]
        return members.index(member) if member in members else None

    def _below(self, key: bytes, least: bytes, most: bytes) -> list[tuple[bytes, float]]:
        assert least == b"-inf"
        limit = float(most.removeprefix(b"("))
        open_ended = not most.startswith(b"(")
        return [pair for pair in self._sorted(key) if pair[1] < limit or (open_ended and pair[1] == limit)]

    def _zrangebyscore(
        self, key: bytes, least: bytes, most: bytes, _: bytes, __: bytes, skip: bytes, count: bytes
    ) -> list[bytes]:
        return _flat(self._below(key, least, most)[int(skip) : int(skip) + int(count)])

    def _zremrangebyscore(self, key: bytes, least: bytes, most: bytes) -> int:
        return self._zrem(key, *(member for member, _ in self._below(key, least, most)))


def text_of(number: float) -> bytes:
    """A number as Redis writes it."""
    return b"%d" % int(number) if number == int(number) else repr(number).encode()


def _number(id_: bytes) -> int:
    number, _, rest = id_.partition(b"-")
    assert rest == b"0"
    return int(number)


def _between(found: list[tuple[bytes, float]], first: bytes, last: bytes) -> list[tuple[bytes, float]]:
    assert int(first) >= 0
    return found[int(first) : len(found) + 1 + int(last) if int(last) < 0 else int(last) + 1]


def _flat(pairs: list[tuple[bytes, float]]) -> list[bytes]:
    return [part for member, score in pairs for part in (member, text_of(score))]


def _copied(value: Any) -> Any:
    if isinstance(value, Stream):
        copy = Stream()
        copy.entries, copy.last = list(value.entries), value.last
        return copy
    return value.copy() if isinstance(value, dict) else value
