"""What a response begins with goes out as one write, in order, and what comes later is not held back."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from realtime.server.first_write import FirstWrite
from realtime.server.short_way import HttpShortWay


class _Transport(asyncio.Transport):
    """Notes each write, and the close."""

    def __init__(self) -> None:
        self.wrote: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.wrote.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def _response() -> tuple[Any, _Transport]:
    """A response that is about to begin, and the transport below it."""
    transport = _Transport()
    cycle = SimpleNamespace(transport=transport)
    FirstWrite(cast("Any", cycle))
    return cycle, transport


async def test_the_writes_of_the_first_turn_are_one() -> None:
    """And those of the second go straight to the transport."""
    cycle, transport = _response()
    for data in (b"head", b"position", b"slice"):
        cycle.transport.write(data)
    assert transport.wrote == []
    await asyncio.sleep(0)
    assert transport.wrote == [b"headpositionslice"]
    assert cycle.transport is transport


@given(turns=st.lists(st.lists(st.binary(max_size=6000), max_size=4), max_size=4))
def test_however_it_is_written_the_bytes_are_the_same(turns: list[list[bytes]]) -> None:
    """In any number of turns, small or large."""

    async def write() -> list[bytes]:
        cycle, transport = _response()
        for turn in turns:
            for data in turn:
                cycle.transport.write(data)
            await asyncio.sleep(0)
        return transport.wrote

    assert b"".join(asyncio.run(write())) == b"".join(data for turn in turns for data in turn)


async def test_a_large_beginning_does_not_wait_for_the_turn_to_end() -> None:
    """What a slow peer makes this process hold stays bounded."""
    cycle, transport = _response()
    cycle.transport.write(b"head")
    cycle.transport.write(b"x" * 5000)
    assert [len(data) for data in transport.wrote] == [5004]


async def test_a_close_comes_after_what_was_written() -> None:
    """As after any write; and nothing is written to a transport that was closed by somebody else."""
    cycle, transport = _response()
    cycle.transport.write(b"all")
    cycle.transport.close()
    assert (transport.wrote, transport.closed) == ([b"all"], True)
    cycle, transport = _response()
    cycle.transport.write(b"all")
    transport.close()
    await asyncio.sleep(0)
    assert transport.wrote == []


async def test_an_answer_is_written_before_its_application_returns() -> None:
    """Whoever closes the connection next, at the end of a drain say, closes it behind the answer."""
    transport = _Transport()
    short_way = HttpShortWay(
        cast("Any", cycle := SimpleNamespace(transport=transport, flow=None, send=None, receive=None))
    )
    cycle.transport.write(b"answer")
    short_way.end()
    transport.close()
    await asyncio.sleep(0)
    assert transport.wrote == [b"answer"]
