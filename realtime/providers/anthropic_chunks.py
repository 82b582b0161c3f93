"""What the events of a Messages stream mean.

`messages_wire` has their form, `messages_content` knows the kinds of content. Blocks and deltas of a kind that is not
known here are passed on as `Extra`, events of such a kind are counted: Anthropic adds them without a new version.
"""

from typing import Any

import msgspec

from ..events import Extra, Reasoning, Refusal, Text
from .base import Ended
from .event_stream import ServerEvent
from .faults import from_garbage, from_in_band
from .lenient import any_json, passed_on, tolerant_json
from .messages_content import Blocks, source
from .messages_usage import Cost
from .messages_wire import DELTAS, EVENTS, MAX_REASON, REASONS, Delta, Event, decode_event
from .unknown import count
from .upstream import Item

_NO_DELTA = Delta()


class MessagesTranslator:
    """See `Translator`. One per stream: it remembers open tool calls and what the input cost.

    Attributes:
        unknown: How often each kind came that has no meaning here.
    """

    def __init__(self) -> None:
        self.ended: Ended | None = None
        self.done = False
        self.unknown: dict[str, int] = {}
        self._blocks = Blocks(self.unknown)
        self._cost = Cost()
        self._stop_reason: str | None = None

    def take(self, event: ServerEvent, batch: list[Item]) -> None:
        if self.done or not event.data:
            return
        try:
            said = decode_event(event.data)
        except (ValueError, RecursionError):
            said = _decode_odd(event.data)
        match said.type:
            case "content_block_delta":
                self._delta(said, event.data, batch)
            case "content_block_start":
                self._blocks.begin(said.index, bytes(said.content_block), batch)
            case "content_block_stop":
                self._blocks.end(said.index, batch)
            case "ping":
                pass
            case kind:
                self._of_message(kind or event.name.decode("utf-8", "replace"), said, batch)

    def _of_message(self, kind: str, said: Event, batch: list[Item]) -> None:
        """An event of the whole message, or of nothing that is known here."""
        if said.error or kind == "error":
            raise from_in_band(said.error)
        match kind:
            case "message_start":
                if said.message is not None and said.message.usage is not None:
                    self._cost.take(said.message.usage, batch, final=False)
            case "message_delta":
                self._end_message(said, batch)
            case "message_stop":
                self._blocks.end_all(batch)
                self.ended = Ended(REASONS.get(self._stop_reason or "", "other"), self._stop_reason)
                self.done = True
            case _:
                count(self.unknown, kind)

    def _delta(self, said: Event, data: bytes, batch: list[Item]) -> None:
        delta = said.delta or _NO_DELTA
        match delta.type:
            case "text_delta":
                if delta.text:
                    batch.append(Text(delta.text, part=said.index))
            case "thinking_delta":
                if delta.thinking:
                    batch.append(Reasoning(delta.thinking, part=said.index))
            case "signature_delta":
                if delta.signature:
                    batch.append(Reasoning("", part=said.index, signature=delta.signature))
            case "citations_delta":
                batch.append(source(delta.citation, said.index))
            case "input_json_delta" if self._blocks.say(said.index, delta.partial_json, batch):
                pass
            case kind:
                count(self.unknown, kind)
                batch.append(Extra(kind, _inner(data, "delta")))

    def _end_message(self, said: Event, batch: list[Item]) -> None:
        delta = said.delta or _NO_DELTA
        if delta.stop_reason:
            self._stop_reason = delta.stop_reason[:MAX_REASON]
        if delta.stop_details:
            _explain(delta.stop_details, batch)
        if delta.container:
            # The next turn names it to go on in it.
            batch.append(Extra("container", passed_on(delta.container)))
        if isinstance(said.context_management, dict) and any(said.context_management.values()):
            batch.append(Extra("context_management", passed_on(said.context_management)))
        if said.usage is not None:
            self._cost.take(said.usage, batch, final=True)


def _explain(details: Any, batch: list[Item]) -> None:
    """Why the model stopped, in its provider's words, and whatever else is said of it."""
    explanation = details.get("explanation") if isinstance(details, dict) else None
    if isinstance(explanation, str) and explanation:
        batch.append(Refusal(explanation))
    rest = {key: value for key, value in details.items() if value} if isinstance(details, dict) else {}
    if rest.keys() - {"type", "explanation"}:
        batch.append(Extra("stop_details", passed_on(rest)))


def _decode_odd(data: bytes) -> Event:
    """An event that does not fit may hold half a character, or be of a kind of its own."""
    try:
        return decode_event(tolerant_json(data))
    except msgspec.ValidationError:
        pass
    except (ValueError, RecursionError):
        raise from_garbage("The provider sent an event that is no Messages event.", data) from None
    match any_json(data):
        case {"type": "content_block_delta", "index": int(index), "delta": {"type": str(kind)}} if kind not in DELTAS:
            if 0 <= index <= 2**20:
                return Event("content_block_delta", index, Delta(kind))
        case {"type": str(kind)} if kind not in EVENTS:
            return Event(kind)
    raise from_garbage("The provider sent an event that is no Messages event.", data)


def _inner(data: bytes, name: str) -> Any:
    value = any_json(data)
    return value.get(name) if isinstance(value, dict) else None
