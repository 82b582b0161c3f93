"""Connections that are kept, each asked for many things at once.

redis-py's pipeline takes a connection from its pool for every round trip, packs what it is given piece by piece and
looks at every answer through several layers. For some dozen appends of a few bytes that was more than all the rest.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from redis.asyncio.connection import Connection
from redis.exceptions import ResponseError

# The words and numbers that commands are made of; many are the same from one to the next.
_PARTS = 8192


class Parts(NamedTuple):
    """Parts of a command that are sent again and again, as Redis reads them.

    Attributes:
        first: The first of them.
        many: How many they are.
    """

    first: str
    many: int
    data: bytes


def parts_of(first: str, *others: str | int) -> Parts:
    """Several that follow each other."""
    return Parts(first, 1 + len(others), b"".join(map(_part, (first, *others))))


Part = bytes | str | int | Parts
"""What a command is made of."""


class Pool(Protocol):
    """Who knows how to connect; a connection pool of redis-py."""

    def make_connection(self) -> Connection:
        """A connection that is nobody else's, not connected yet."""
        ...


class Lines:
    """See the module. There are as many as are asked at once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._idle: list[Connection] = []
        self._closed = False

    async def ask(self, commands: Sequence[Sequence[Part]]) -> list[Any]:
        """The answers to several commands; of one that is refused its error.

        Raises:
            redis.exceptions.RedisError: Whether any of it was done is not known; and OSError likewise.
        """
        connection = self._idle.pop() if self._idle else self._pool.make_connection()
        try:
            await _be_connected(connection)
            await connection.send_packed_command(b"".join(map(_packed, commands)), check_health=False)
            answers: list[Any] = []
            for _ in commands:
                try:
                    answers.append(await connection.read_response())
                except ResponseError as error:
                    answers.append(error)
            return answers
        except BaseException:
            # What would be read from it next may be an answer to this.
            await connection.disconnect(nowait=True)
            raise
        finally:
            self._idle.append(connection)
            if self._closed:
                await self.close()

    async def leave_others(self, host: str, port: int) -> None:
        """Close those that are kept to any other place."""
        for connection in self._idle:
            if (connection.host, connection.port) != (host, port):
                await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Close those that are kept, and each that comes back."""
        self._closed = True
        for connection in self._idle:
            await connection.disconnect(nowait=True)


async def _be_connected(connection: Connection) -> None:
    if connection.is_connected and await connection.can_read():
        # Its end, or something that nobody has asked for.
        await connection.disconnect(nowait=True)
    if not connection.is_connected:
        await connection.connect()  # type: ignore[no-untyped-call]


def _packed(command: Sequence[Part]) -> bytes:
    """A command as Redis reads it."""
    count, parts = 0, [b""]
    for part in command:
        count += 1
        if type(part) is bytes:
            parts.append(b"$%d\r\n%b\r\n" % (len(part), part))
        elif isinstance(part, Parts):
            count += part.many - 1
            parts.append(part.data)
        else:
            parts.append(_part(part))
    parts[0] = b"*%d\r\n" % count
    return b"".join(parts)


@lru_cache(_PARTS)
def _part(value: str | int) -> bytes:
    data = str(value).encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)
