"""Bedrock's framing against AWS's own reading of the same bytes, and against the specification where that has more."""

import json
from collections.abc import AsyncIterator, Iterable
from struct import pack
from typing import Any

import pytest
from anthropic.lib.bedrock._stream_decoder import AWSEventStreamDecoder
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import RealtimeError
from realtime.providers.aws_event_stream import AwsSplitter
from realtime.providers.event_stream import MAX_EVENT_BYTES, ServerEvent

from ..upstream import cut, messages
from ..upstream.bedrock import chunk, exception, framed, header, message

STREAM = b"".join(framed(messages.text("Hel", "lo", " wörld 😀")))


def fed(reads: Iterable[bytes]) -> list[ServerEvent]:
    splitter = AwsSplitter()
    return [event for read in reads for event in splitter.feed(read)]


async def of_sdk(stream: bytes) -> list[Any]:
    """What the SDK makes of it, with botocore."""

    async def reads() -> AsyncIterator[bytes]:
        yield stream

    return [json.loads(event.data) async for event in AWSEventStreamDecoder().aiter_bytes(reads())]


@pytest.mark.parametrize("dialect", sorted(messages.dialects()))
async def test_the_same_as_the_sdk(dialect: str) -> None:
    """Every event of every dialect comes out as the SDK and AWS's library have it."""
    stream = b"".join(framed(messages.dialects()[dialect]))
    assert [json.loads(event.data) for event in fed([stream])] == await of_sdk(stream)


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_however_it_is_cut(places: list[int]) -> None:
    """Where the network cuts the bytes changes nothing."""
    assert fed(cut(STREAM, *places)) == fed([STREAM])


@given(st.integers(0, len(STREAM) - 1), st.integers(1, 255))
def test_a_damaged_byte_is_noticed(place: int, change: int) -> None:
    """No byte can change on its way and leave an event that looks well; those before it are good."""
    damaged = bytearray(STREAM)
    damaged[place] ^= change
    events, good = AwsSplitter().feed(bytes(damaged)), iter(fed([STREAM]))
    with pytest.raises(RealtimeError) as caught:  # noqa: PT012 - those before it are looked at
        while True:
            assert next(events) == next(good)
    assert caught.value.code == "upstream_protocol"


@pytest.mark.parametrize("kind", ["throttlingException", "modelStreamErrorException", "validationException"])
async def test_an_exception_is_an_error_event(kind: str) -> None:
    """What Bedrock calls an exception is told as Anthropic's own error event, without a word of its text."""
    event = fed([chunk(b'{"type":"ping"}') + exception(kind, "sk-secret")])[1]
    assert event == ServerEvent(b"error", b'{"type":"error","error":{"type":"%b"}}' % kind.encode())
    told = (await of_sdk(exception(kind)))[0]["error"]["type"]
    assert told == kind


def test_an_error_without_a_type() -> None:
    """A message of the kind `error` names itself by a code."""
    (event,) = fed([message({":message-type": "error", ":error-code": "InternalFailure"}, b"")])
    assert b'"InternalFailure"' in event.data


def test_headers_of_every_type() -> None:
    """What the specification allows in a header is passed over, whatever its length."""
    more = b"".join(
        [
            header("a", 0, b""),
            header("b", 1, b""),
            header("c", 2, b"\x01"),
            header("d", 3, b"\x00\x01"),
            header("e", 4, b"\x00" * 4),
            header("f", 5, b"\x00" * 8),
            header("g", 6, pack(">H", 3) + b"\x00\xff\x00"),
            header("h", 8, b"\x00" * 8),
            header("i", 9, b"\x00" * 16),
        ]
    )
    headers = {":event-type": "chunk", ":message-type": "event"}
    assert fed([message(headers, b'{"bytes":"e30="}', more=more)]) == [ServerEvent(b"", b"{}")]


def test_an_event_of_another_type() -> None:
    """It keeps its name, to be counted, and nothing else."""
    assert fed([message({":event-type": "metering"}, b'{"x":1}')]) == [ServerEvent(b"metering", b"{}")]


@pytest.mark.parametrize(
    "stream",
    [
        b"<html>Bad gateway</html>",
        b'data: {"type":"ping"}\n\n',
        message({":event-type": "chunk"}, b"not json"),
        message({":event-type": "chunk"}, b'{"bytes":"!"}'),
        message({}, b"", more=header("x", 10, b"")),
        message({}, b"", more=b"\xff"),
    ],
)
def test_what_is_no_such_stream(stream: bytes) -> None:
    """A body of another kind, and a message that is none, are the provider's fault and nothing worse."""
    with pytest.raises(RealtimeError) as caught:
        fed([stream])
    assert caught.value.code == "upstream_protocol"


def test_a_message_too_large() -> None:
    """A length beyond the limit is refused before anything of it is held."""
    large = message({":event-type": "chunk"}, b"x" * (MAX_EVENT_BYTES + 1))
    with pytest.raises(RealtimeError) as caught:
        fed([large[:12]])
    assert caught.value.error.limit == MAX_EVENT_BYTES // 1024 // 1024
