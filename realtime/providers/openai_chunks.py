"""What the chunks of a Chat Completions stream mean, in the dialects of the servers that speak it.

`chat_wire` has their form, `chat_calls` puts tool calls together, `chat_parts` knows what is beside text.
"""

from contextlib import suppress
from typing import Any

import msgspec

from ..errors import RealtimeError
from ..events import Extra, Reason, Reasoning, Refusal, Text, Usage
from .base import Ended
from .chat_calls import Calls
from .chat_parts import take_annotations, take_audio, take_citations, take_images, take_parts, take_reasoning
from .chat_usage import usage_of
from .chat_wire import (
    EMPTY,
    FAILURES,
    KNOWN_KEYS,
    MAX_REASON,
    NOTHING,
    REASONS,
    Choice,
    Chunk,
    Delta,
    Fragment,
    decode_chunk,
    decode_closer,
    decode_delta,
)
from .event_stream import ServerEvent
from .faults import from_garbage, from_in_band
from .lenient import any_json, tolerant_json
from .unknown import count
from .upstream import Item

_NO_DELTA = Delta()
_NOT_A_CHUNK = "The provider sent a chunk that is no chat completion."


class ChatTranslator:
    """See `Translator`. One per stream: it remembers the tool calls that have begun.

    Attributes:
        unknown: How often each kind came that has no meaning here.
    """

    def __init__(self) -> None:
        self.ended: Ended | None = None
        self.done = False
        self.unknown: dict[str, int] = {}
        self._calls = Calls(self.unknown)
        self._refused = False
        self._usage: Usage | None = None
        self._cited: set[str] = set()

    def take(self, event: ServerEvent, batch: list[Item]) -> None:
        data = event.data
        if self.done or not data:
            self._take_late(data, batch)
            return
        if data.startswith(b"[DONE]"):
            self.done = True
            return
        try:
            chunk = decode_chunk(data)
        except (ValueError, RecursionError):
            chunk = _decode_odd(data)
        if chunk.error:
            raise from_in_band(chunk.error)
        said = len(batch)
        for choice in chunk.choices or ():
            if choice.index:
                _refuse_content(choice)
            else:
                self._choice(choice, batch)
        if chunk.citations:
            take_citations(chunk.citations, self._cited, batch)
        if chunk.usage is not None or chunk.x_groq is not None:
            self._take_usage(_figures(chunk), batch)
        elif len(batch) == said and self.ended is None:
            self._look_closer(event, chunk, batch)

    def _choice(self, choice: Choice, batch: list[Item]) -> None:
        delta = choice.delta or _whole(choice.message)
        # Servers that renamed the field send both, with the same text.
        reasoning = delta.reasoning_content or delta.reasoning
        if delta.reasoning_details or delta.thinking_blocks:
            take_reasoning(delta, reasoning, batch)
        elif reasoning and isinstance(reasoning, str):
            batch.append(Reasoning(reasoning))
        content = delta.content
        if content:
            if isinstance(content, str):
                batch.append(Text(content))
            else:
                take_parts(content, batch)
        if delta.tool_calls:
            for fragment in delta.tool_calls:
                self._calls.take(fragment, batch)
        if delta.refusal or delta.function_call or delta.annotations or delta.images or delta.audio:
            self._take_rarer(delta, batch)
        if choice.finish_reason:
            self._finish(choice.finish_reason, batch)
        if choice.usage is not None:
            self._take_usage(choice.usage, batch)

    def _take_rarer(self, delta: Delta, batch: list[Item]) -> None:
        if delta.refusal and isinstance(delta.refusal, str):
            self._refused = True
            batch.append(Refusal(delta.refusal))
        if delta.function_call is not None:
            self._calls.take(Fragment(index=-1, function=delta.function_call), batch)
        if delta.annotations:
            take_annotations(delta.annotations, batch)
        if delta.images:
            take_images(delta.images, batch)
        if delta.audio:
            take_audio(delta.audio, batch)

    def _finish(self, native: str, batch: list[Item]) -> None:
        # Gemini says more behind a colon; servers that pass its own words on, or Cohere's, shout.
        word = native.partition(":")[0].lower()
        if word in FAILURES:
            raise RealtimeError(FAILURES[word])
        self._calls.finish(batch)
        self.ended = Ended(self._reason(REASONS.get(word, "other")), native[:MAX_REASON])
        if self._usage is not None:
            # It came early and it may be all there is.
            batch.append(msgspec.structs.replace(self._usage, estimated=False))

    def _reason(self, told: Reason) -> Reason:
        """Some servers, and OpenAI when it was told which tool to call, call every ordinary end a stop."""
        if told != "stop":
            return told
        return "refusal" if self._refused else "tool_calls" if self._calls.begun else "stop"

    def _take_usage(self, told: Any, batch: list[Item]) -> None:
        usage = usage_of(told, final=self.ended is not None)
        if usage is not None:
            self._usage = usage
            batch.append(usage)
            self.done = self.done or self.ended is not None

    def _take_late(self, data: bytes, batch: list[Item]) -> None:
        """Behind the end nothing counts but what it cost, which some servers say only there."""
        if b'"usage"' in data and self.ended is not None:
            self._take_usage(_figures(_decode_odd(data)), batch)

    def _look_closer(self, event: ServerEvent, chunk: Chunk, batch: list[Item]) -> None:
        """A chunk that said nothing may be an error without its envelope, or say what nobody here knows yet."""
        with suppress(ValueError, RecursionError):
            closer = decode_closer(event.data)
            if chunk.choices is None:
                if event.name == b"error" or "error" in (closer.object, closer.type):
                    raise from_in_band(any_json(event.data))
                count(self.unknown, closer.type or closer.object or event.name.decode("utf-8", "replace"))
            for choice in closer.choices or ():
                for key, said in (choice.delta or {}).items():
                    if key not in KNOWN_KEYS and bytes(said) not in EMPTY and count(self.unknown, key):
                        batch.append(Extra(key, any_json(bytes(said))))


def _decode_odd(data: bytes) -> Chunk:
    try:
        return decode_chunk(tolerant_json(data))
    except (ValueError, RecursionError):
        _refuse_listed_error(data)
        raise from_garbage(_NOT_A_CHUNK, data) from None


def _refuse_listed_error(data: bytes) -> None:
    """Gemini's compatible endpoint puts an error into a list."""
    with suppress(ValueError):
        match any_json(data):
            case [{"error": _}] as listed:
                raise from_in_band(listed)


def _refuse_content(choice: Choice) -> None:
    """One choice is asked for. Words of another would be lost, or mixed into the first."""
    delta = choice.delta
    if delta is not None and (delta.content or delta.tool_calls or delta.refusal or delta.function_call):
        raise from_garbage("The provider sent a second choice, which was not asked for.")


def _whole(message: msgspec.Raw) -> Delta:
    if message == NOTHING:
        return _NO_DELTA
    try:
        return decode_delta(message)
    except (ValueError, RecursionError):
        raise from_garbage(_NOT_A_CHUNK, bytes(message)) from None


def _figures(chunk: Chunk) -> Any:
    """Groq's were in a place of its own before they came where they belong."""
    if chunk.usage is None and isinstance(chunk.x_groq, dict):
        return chunk.x_groq.get("usage")
    return chunk.usage
