"""The chunks of a Chat Completions stream, in the dialects of the servers that speak it, and what they mean.

Only what is used is declared: msgspec skips the rest of a chunk, which is most of it. What servers disagree about is
typed loosely, because one odd field must not end a generation.
"""

from typing import Any

import msgspec

from ..errors import RealtimeError
from ..events import Extra, Reason, Reasoning, Refusal, Source, Text, ToolArguments, ToolCall, Usage
from .base import Ended
from .event_stream import ServerEvent
from .faults import from_garbage, from_in_band
from .upstream import Item, tolerant_json

REASONS: dict[str, Reason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}

# Some servers give a failure as the reason of an end; a part of an answer is not a success.
FAILURES = {
    "error": "upstream_overloaded",
    "insufficient_system_resource": "upstream_overloaded",
    "abort": "upstream_truncated",
}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Fragment(msgspec.Struct):
    """A piece of a tool call; `index` tells the calls of a message apart where servers send it."""

    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | dict[str, Any] | None = None
    refusal: str | None = None
    tool_calls: list[_Fragment] | None = None
    function_call: _Function | None = None
    annotations: list[Any] | None = None
    images: Any = None
    audio: Any = None


_NO_DELTA = _Delta()
_NO_FUNCTION = _Function()
_NOTHING = msgspec.Raw(b"null")


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None
    usage: msgspec.Raw = _NOTHING


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _NOTHING
    error: Any = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_usage = msgspec.json.Decoder(_Usage, strict=False).decode


class _Call(msgspec.Struct):
    """A tool call as far as it is known.

    Attributes:
        call: Our id of it: the provider's own, unless that is missing or another call's.
        held: Arguments that came before its name.
    """

    call: str
    native_id: str | None
    begun: bool = False
    held: str = ""


class ChatTranslator:
    """See `Translator`. One per stream: it remembers the tool calls that have begun."""

    def __init__(self) -> None:
        self.ended: Ended | None = None
        self.done = False
        self._calls: dict[int, _Call] = {}
        self._ids: set[str] = set()
        self._refused = False
        self._usage: Usage | None = None

    def take(self, event: ServerEvent, batch: list[Item]) -> None:
        data = event.data
        if self.done or not data:
            return
        if data.startswith(b"[DONE]"):
            self.done = True
            return
        chunk = self._chunk(event)
        for choice in chunk.choices or ():
            if not choice.index:
                self._choice(choice, batch)
        if chunk.usage != _NOTHING:
            self._take_usage(chunk.usage, batch)

    def _chunk(self, event: ServerEvent) -> _Chunk:
        try:
            chunk = _decode_chunk(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            chunk = self._decode_odd(event.data)
        if chunk.error:
            raise from_in_band(chunk.error)
        if chunk.choices is None and chunk.usage == _NOTHING:
            _refuse_bare_error(event)
        return chunk

    def _decode_odd(self, data: bytes) -> _Chunk:
        try:
            return _decode_chunk(tolerant_json(data))
        except (ValueError, RecursionError):
            raise from_garbage("The provider sent a chunk that is no chat completion.", data) from None

    def _choice(self, choice: _Choice, batch: list[Item]) -> None:
        delta = choice.delta or _NO_DELTA
        # Servers that renamed the field send both, with the same text.
        reasoning = delta.reasoning_content or delta.reasoning
        if reasoning and isinstance(reasoning, str):
            batch.append(Reasoning(reasoning))
        content = delta.content
        if content:
            if isinstance(content, str):
                batch.append(Text(content))
            else:
                _take_parts(content, batch)
        if delta.refusal:
            self._refused = True
            batch.append(Refusal(delta.refusal))
        for fragment in delta.tool_calls or ():
            self._take_fragment(fragment, batch)
        if delta.function_call is not None:
            self._take_fragment(_Fragment(index=-1, function=delta.function_call), batch)
        _take_extras(delta, batch)
        if choice.finish_reason:
            self._finish(choice.finish_reason, batch)
        if choice.usage != _NOTHING:
            self._take_usage(choice.usage, batch)

    def _take_fragment(self, fragment: _Fragment, batch: list[Item]) -> None:
        function = fragment.function or _NO_FUNCTION
        index = fragment.index if fragment.index is not None else self._index_of(fragment)
        call = self._calls.get(index)
        # Some servers number every call 0 and send each whole; a new id with a name is a new call.
        if call is None or (call.begun and function.name and fragment.id and fragment.id != call.native_id):
            call = self._calls[index] = _Call(self._new_id(fragment.id), fragment.id)
        call.held += function.arguments or ""
        if function.name and not call.begun:
            call.begun = True
            batch.append(ToolCall(call.call, function.name))
        if call.begun and call.held:
            batch.append(ToolArguments(call=call.call, text=call.held))
            call.held = ""

    def _new_id(self, native: str | None) -> str:
        made = native or f"call_{len(self._ids)}"
        if made in self._ids:
            made = f"{made}_{len(self._ids)}"
        self._ids.add(made)
        return made

    def _index_of(self, fragment: _Fragment) -> int:
        """A fragment without an index goes on with the last call, unless it begins another."""
        if not self._calls:
            return 0
        last = max(self._calls)
        call = self._calls[last]
        named = fragment.function is not None and fragment.function.name
        another = named and call.begun and (fragment.id is None or fragment.id != call.native_id)
        return last + 1 if another else last

    def _finish(self, native: str, batch: list[Item]) -> None:
        if native in FAILURES:
            raise RealtimeError(FAILURES[native])
        reason = REASONS.get(native, "other")
        if reason == "stop" and self._refused:
            reason = "refusal"
        self.ended = Ended(reason, native)
        if self._usage is not None:
            # It came early and it may be all there is.
            batch.append(msgspec.structs.replace(self._usage, estimated=False))

    def _take_usage(self, raw: msgspec.Raw, batch: list[Item]) -> None:
        try:
            usage = _to_usage(_decode_usage(raw), final=self.ended is not None)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        self._usage = usage
        batch.append(usage)
        self.done = self.done or self.ended is not None


def _refuse_bare_error(event: ServerEvent) -> None:
    """An error without its envelope: the whole event is the error object."""
    value = msgspec.json.decode(tolerant_json(event.data))
    if event.name == b"error" or "error" in (value.get("object"), value.get("type")):
        raise from_in_band(value)


def _take_parts(parts: list[Any], batch: list[Item]) -> None:
    """Content as a list of parts, which reasoning models of some servers send."""
    for part in parts:
        match part:
            case {"type": "text", "text": str(text)}:
                batch.append(Text(text))
            case {"type": "thinking", "thinking": [*inner]}:
                text = "".join(str(item.get("text") or "") for item in inner if isinstance(item, dict))
                batch.append(Reasoning(text))
            case {"type": str(kind)}:
                batch.append(Extra(kind, part))


def _take_extras(delta: _Delta, batch: list[Item]) -> None:
    for annotation in delta.annotations or ():
        match annotation:
            case {"type": "url_citation", "url_citation": {"url": str(url)} as cited}:
                title = cited.get("title")
                batch.append(Source(url=url, title=title if isinstance(title, str) else None, detail=annotation))
            case _:
                batch.append(Extra("annotation", annotation))
    if delta.images:
        batch.append(Extra("images", delta.images))
    if delta.audio:
        batch.append(Extra("audio", delta.audio))


def _to_usage(given: _Usage, *, final: bool) -> Usage:
    prompt_details = given.prompt_tokens_details or _PromptDetails()
    reasoning = given.completion_tokens_details.reasoning_tokens if given.completion_tokens_details else None
    prompt, output, total = given.prompt_tokens or 0, given.completion_tokens or 0, given.total_tokens
    if reasoning and total == prompt + output + reasoning:
        # xAI counts reasoning beside the completion, everybody else inside it; it is paid for as output.
        output += reasoning
    cached = prompt_details.cached_tokens
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        cached_input_tokens=given.prompt_cache_hit_tokens if cached is None else cached,
        cache_write_input_tokens=prompt_details.cache_write_tokens,
        reasoning_tokens=reasoning,
        estimated=not final,
    )
