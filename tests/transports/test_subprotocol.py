"""The two WebSocket subprotocols: one envelope, two encodings, the same values."""

import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import RealtimeError
from realtime.events import AnyEvent, Entry
from tests.unit.logs import GENERATION
from transports.subprotocol import JSON_MESSAGES, MSGPACK_MESSAGES, SUBPROTOCOLS, Subprotocol

from .strategies import events, json_values, relaxed


def unpacked(wire: Subprotocol, data: bytes) -> Any:
    """A message, by a decoder that is not ours."""
    return msgpack.unpackb(data) if wire.binary else json.loads(data)


def packed(wire: Subprotocol, value: Any) -> bytes | str:
    """A message of a client, by an encoder that is not ours."""
    return bytes(msgpack.packb(value)) if wire.binary else json.dumps(value)


def test_their_names_and_frames() -> None:
    """As negotiated in the handshake; one text, one binary; to the metrics both are `ws`."""
    kinds = {name: (wire.subprotocol, wire.binary, wire.name) for name, wire in SUBPROTOCOLS.items()}
    assert kinds == {
        "realtime.v1.json": ("realtime.v1.json", False, "ws"),
        "realtime.v1.msgpack": ("realtime.v1.msgpack", True, "ws"),
    }


@relaxed
@given(st.lists(events, max_size=6))
def test_a_slice_is_one_message(all_events: list[AnyEvent]) -> None:
    """The envelope around the very frames, equal in both encodings."""
    entries = [Entry(seq, seq, event) for seq, event in enumerate(all_events, 1)]
    messages = []
    for wire in SUBPROTOCOLS.values():
        frames = [wire.frame("e", entry) for entry in entries]
        message = wire.join(GENERATION, frames)
        assert all(frame in message for frame in frames)
        messages.append(unpacked(wire, message))
        assert messages[-1] == {
            "type": "events",
            "generation": GENERATION,
            "events": [unpacked(wire, frame) for frame in frames],
        }
    assert messages[0] == messages[1]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65_535, 65_536])
@pytest.mark.parametrize("wire", SUBPROTOCOLS.values(), ids=SUBPROTOCOLS)
def test_a_slice_of_any_length(wire: Subprotocol, count: int) -> None:
    """MessagePack counts arrays in three ways; ours are of one."""
    one = b"\x01" if wire.binary else b"1"
    assert unpacked(wire, wire.join(GENERATION, [one] * count))["events"] == [1] * count


@relaxed
@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5))
@pytest.mark.parametrize("wire", SUBPROTOCOLS.values(), ids=SUBPROTOCOLS)
def test_replies_are_read_back(wire: Subprotocol, reply: dict[str, Any]) -> None:
    """Whatever `ref` a client chose comes back as it was."""
    assert unpacked(wire, wire.reply(reply)) == reply


@pytest.mark.parametrize("wire", SUBPROTOCOLS.values(), ids=SUBPROTOCOLS)
def test_commands_are_read(wire: Subprotocol) -> None:
    """In the encoding that was negotiated."""
    command = {"type": "observe", "ref": "é🧭", "generation": GENERATION, "flush_ms": 50}
    assert wire.decode(packed(wire, command)) == command


@pytest.mark.parametrize(
    "value", [2**53 + 1, {"a": [-(2**53) - 1]}, [[[[]]]] * 2 + [1e400]], ids=["integer", "inside", "infinite"]
)
@pytest.mark.parametrize("wire", SUBPROTOCOLS.values(), ids=SUBPROTOCOLS)
def test_what_clients_cannot_share_is_refused(wire: Subprotocol, value: Any) -> None:
    """Under the same bounds in both."""
    with pytest.raises(RealtimeError, match="bad_request"):
        wire.decode(packed(wire, value))


def test_the_other_encoding_is_refused() -> None:
    """JSON sent as msgpack, and msgpack as JSON, is malformed and not half understood."""
    for wire, message in ((MSGPACK_MESSAGES, b'{"type":"ping"}'), (JSON_MESSAGES, b"\x81\xa4type\xa4ping")):
        with pytest.raises(RealtimeError, match="bad_request"):
            wire.decode(message)
