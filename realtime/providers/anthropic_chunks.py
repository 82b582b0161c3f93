"""The events of a Messages stream and what they mean.

Only what is used is declared. Content blocks and deltas of a type that is not known here are passed on as `Extra`:
Anthropic adds types without a new version.
"""

from contextlib import suppress
from typing import Any

import msgspec

from ..events import (
    Extra,
    Reason,
    Reasoning,
    Refusal,
    Source,
    Text,
    ToolArguments,
    ToolCall,
    ToolResult,
    Usage,
)
from .base import Ended
from .event_stream import ServerEvent
from .faults import from_garbage, from_in_band
from .upstream import Item, tolerant_json

REASONS: dict[str, Reason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
}


class _Details(msgspec.Struct):
    thinking_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: _Details | None = None


class _Message(msgspec.Struct):
    usage: _Usage | None = None


class _Block(msgspec.Struct):
    """A content block of any type; a call's `input` is empty here and comes in deltas, but for some servers' whole."""

    type: str
    id: str = ""
    name: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    input: Any = None
    tool_use_id: str = ""
    content: Any = None
    is_error: bool | None = None
    citations: list[Any] | None = None


_KNOWN = {"text", "thinking", "redacted_thinking"}


class _StopDetails(msgspec.Struct):
    explanation: str | None = None


class _Delta(msgspec.Struct):
    """Of a content block, or of the message when it ends."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    citation: Any = None
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None


_NO_DELTA = _Delta()


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    delta: _Delta | None = None
    content_block: msgspec.Raw = msgspec.Raw(b"null")
    message: _Message | None = None
    usage: _Usage | None = None
    error: Any = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_block = msgspec.json.Decoder(_Block).decode


class _Call(msgspec.Struct):
    """A tool call whose arguments are coming; `whole` are those its block began with."""

    id: str
    whole: str
    spoken: bool = False


class MessagesTranslator:
    """See `Translator`. One per stream: it remembers open tool calls and what the input cost."""

    def __init__(self) -> None:
        self.ended: Ended | None = None
        self.done = False
        self._calls: dict[int, _Call] = {}
        self._stop_reason: str | None = None
        self._usage = _Usage()

    def take(self, event: ServerEvent, batch: list[Item]) -> None:
        if self.done or not event.data:
            return
        try:
            said = _decode_event(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = self._decode_odd(event.data)
        match said.type:
            case "content_block_delta":
                self._delta(said, event.data, batch)
            case "content_block_start":
                self._begin_block(said, batch)
            case "content_block_stop":
                self._end_block(said.index, batch)
            case "message_start" if said.message is not None:
                self._take_usage(said.message.usage, batch, final=False)
            case "message_delta":
                self._end_message(said, batch)
            case "message_stop":
                self.ended = Ended(REASONS.get(self._stop_reason or "", "other"), self._stop_reason)
                self.done = True
            case "error":
                raise from_in_band(said.error)

    def _decode_odd(self, data: bytes) -> _Event:
        try:
            return _decode_event(tolerant_json(data))
        except (ValueError, RecursionError):
            raise from_garbage("The provider sent an event that is no Messages event.", data) from None

    def _delta(self, said: _Event, data: bytes, batch: list[Item]) -> None:
        delta = said.delta or _NO_DELTA
        match delta.type:
            case "text_delta":
                if delta.text:
                    batch.append(Text(delta.text, part=said.index))
            case "thinking_delta":
                if delta.thinking:
                    batch.append(Reasoning(delta.thinking, part=said.index))
            case "signature_delta":
                batch.append(Reasoning("", part=said.index, signature=delta.signature))
            case "input_json_delta" if said.index in self._calls:
                self._take_arguments(self._calls[said.index], delta.partial_json, batch)
            case "citations_delta":
                batch.append(_source(delta.citation, said.index))
            case kind:
                batch.append(Extra(kind, msgspec.json.decode(tolerant_json(data))["delta"]))

    def _begin_block(self, said: _Event, batch: list[Item]) -> None:
        block, part = self._block(bytes(said.content_block)), said.index
        match block.type:
            case "text":
                if block.text:
                    batch.append(Text(block.text, part=part))
                batch.extend(_source(citation, part) for citation in block.citations or ())
            case "thinking":
                if block.thinking or block.signature:
                    batch.append(Reasoning(block.thinking or "", part=part, signature=block.signature or None))
            case "redacted_thinking":
                batch.append(Reasoning("", part=part, redacted=block.data))
            case kind if kind.endswith("tool_use"):
                whole = msgspec.json.encode(block.input or {}).decode()
                self._calls[part] = _Call(block.id, whole)
                batch.append(ToolCall(block.id, block.name, part=part, provider_run=kind != "tool_use"))
            case kind if kind.endswith("_tool_result"):
                batch.append(ToolResult(block.tool_use_id, block.content, is_error=_is_error(block)))
            case kind:
                batch.append(Extra(kind, msgspec.json.decode(tolerant_json(bytes(said.content_block)))))

    def _block(self, data: bytes) -> _Block:
        """A block whose fields are none we know is still one of its type, and passed on as such."""
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            return _decode_block(data)
        value = msgspec.json.decode(tolerant_json(data))
        with suppress(msgspec.ValidationError):
            return msgspec.convert(value, _Block)
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind in _KNOWN or kind.endswith(("tool_use", "_tool_result")):
            raise from_garbage("The provider sent a content block that is none.", data)
        return _Block(kind)

    def _take_arguments(self, call: _Call, text: str, batch: list[Item]) -> None:
        if text:
            call.spoken = True
            batch.append(ToolArguments(call=call.id, text=text))

    def _end_block(self, index: int, batch: list[Item]) -> None:
        """A call without deltas has the arguments its block began with, which are `{}` for a tool that takes none."""
        call = self._calls.pop(index, None)
        if call is not None and not call.spoken:
            batch.append(ToolArguments(call=call.id, text=call.whole))

    def _end_message(self, said: _Event, batch: list[Item]) -> None:
        delta = said.delta or _NO_DELTA
        self._stop_reason = delta.stop_reason or self._stop_reason
        if delta.stop_details is not None and delta.stop_details.explanation:
            batch.append(Refusal(delta.stop_details.explanation))
        self._take_usage(said.usage, batch, final=True)

    def _take_usage(self, given: _Usage | None, batch: list[Item], *, final: bool) -> None:
        """Figures are cumulative, and what the last event leaves out was said by the first."""
        if given is None:
            return
        known = self._usage
        for name in _Usage.__struct_fields__:
            value = getattr(given, name)
            if value is not None:
                setattr(known, name, value)
        read, written = known.cache_read_input_tokens, known.cache_creation_input_tokens
        details = known.output_tokens_details
        usage = Usage(
            # Anthropic counts what its cache read or wrote beside the input; here they are part of it.
            input_tokens=(known.input_tokens or 0) + (read or 0) + (written or 0),
            output_tokens=known.output_tokens or 0,
            cached_input_tokens=read,
            cache_write_input_tokens=written,
            reasoning_tokens=None if details is None else details.thinking_tokens,
            estimated=not final,
        )
        batch.append(usage)


def _source(citation: Any, part: int) -> Source:
    cited = citation if isinstance(citation, dict) else {}
    url, title = cited.get("url"), cited.get("title") or cited.get("document_title")
    return Source(
        url=url if isinstance(url, str) else None,
        title=title if isinstance(title, str) else None,
        part=part,
        detail=citation,
    )


def _is_error(block: _Block) -> bool:
    """Server tools tell a failure by the type of their content."""
    kind = block.content.get("type") if isinstance(block.content, dict) else None
    return bool(block.is_error) or (isinstance(kind, str) and kind.endswith("_error"))
