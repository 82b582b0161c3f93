"""The whole message, assembled from the log in one place: for `GET`, for the client, for `on_finished`.

Deltas of one part become one part; what is not a delta is a part of its own; parts keep the order in which they began.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from .events import (
    AnyEvent,
    Attempt,
    Finished,
    Queued,
    Reasoning,
    Refusal,
    Started,
    Text,
    ToolArguments,
    ToolCall,
)
from .prompt import Message as Turn
from .strict import convert


class Message(msgspec.Struct):
    """An assistant's turn.

    Attributes:
        content: Parts such as `{"type": "text", "text": …}`, `{"type": "reasoning", "text": …, "signature": …}` and
            `{"type": "tool_call", "call": …, "name": …, "arguments": "<JSON text>"}`.
        text: All text parts, joined: what `text/plain` sends.
    """

    role: str
    content: list[dict[str, Any]]
    text: str

    def turn(self) -> Turn:
        """The same as a turn of the next prompt; a client sends back `role` and `content` as they are.

        Raises:
            RealtimeError: `bad_request` when it calls a tool by a name or an id that no request may have.
        """
        return convert({"role": self.role, "content": self.content}, Turn)


class Assembler:
    """Folds events into a message, one at a time, so a client can do it as they come."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, object], dict[str, Any]] = {}
        self._texts: dict[tuple[str, object], list[str]] = {}

    def add(self, event: AnyEvent) -> None:
        """Take the next event of the log; events that carry no content change nothing."""
        match event:
            case Started() | Queued() | Attempt() | Finished():
                return
            case Text() | Refusal():
                self._extend(("refusal" if isinstance(event, Refusal) else "text", event.part), event.text)
            case Reasoning():
                part = self._extend(("reasoning", event.part), event.text)
                if event.signature is not None:
                    part["signature"] = event.signature
                if event.redacted is not None:
                    part["redacted"] = event.redacted
            case ToolCall():
                part = self._extend(("tool_call", event.call), "")
                part.update(call=event.call, name=event.name)
                if event.provider_run:
                    part["provider_run"] = True
            case ToolArguments():
                self._extend(("tool_call", event.call), event.text)
            case _:
                self._parts["other", len(self._parts)] = msgspec.to_builtins(event)

    def message(self) -> Message:
        """The message as far as it is known; it shares nothing with later calls."""
        content = []
        for key, part in self._parts.items():
            whole = dict(part)
            if key in self._texts:
                whole["arguments" if key[0] == "tool_call" else "text"] = "".join(self._texts[key])
            content.append(whole)
        return Message("assistant", content, "".join(part["text"] for part in content if part["type"] == "text"))

    def _extend(self, key: tuple[str, object], text: str) -> dict[str, Any]:
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = {"type": key[0]}
            self._texts[key] = []
        self._texts[key].append(text)
        return part


def assemble(events: Iterable[AnyEvent]) -> Message:
    """Fold all events of a log, or as many as there are, into a message."""
    assembler = Assembler()
    for event in events:
        assembler.add(event)
    return assembler.message()
