"""Answers as a provider gives them, event by event, for property tests."""

import base64
import json
from typing import Any

from hypothesis import strategies as st

from realtime.events import (
    Content,
    Data,
    Extra,
    File,
    Reasoning,
    Refusal,
    Source,
    Text,
    ToolArguments,
    ToolCall,
    ToolResult,
)

_words = st.text(st.characters(codec="utf-8"), max_size=12)
_sealed = st.binary(min_size=1, max_size=9).map(lambda seal: base64.b64encode(seal).decode())
_values = st.dictionaries(_words, st.none() | st.booleans() | st.integers(-9, 9) | _words, max_size=3)


@st.composite
def _deltas(draw: st.DrawFn, kind: type[Text | Reasoning | Refusal], number: int) -> list[Content]:
    return [kind(text, part=number) for text in draw(st.lists(_words, min_size=1, max_size=3))]


@st.composite
def _thought(draw: st.DrawFn, number: int) -> list[Content]:
    """Sealed by the provider, encrypted by it, or neither."""
    match draw(st.sampled_from(["sealed", "redacted", "open"])):
        case "sealed":
            seal = Reasoning("", part=number, signature=draw(_sealed))
            return [*draw(_deltas(Reasoning, number)), seal]
        case "redacted":
            return [Reasoning("", part=number, redacted=draw(_sealed))]
    return draw(_deltas(Reasoning, number))


@st.composite
def _call(draw: st.DrawFn, number: int) -> list[Content]:
    arguments = json.dumps(draw(_values))
    cut = draw(st.integers(0, len(arguments)))
    call = f"call_{number}"
    pieces = [ToolArguments(piece, call=call) for piece in (arguments[:cut], arguments[cut:]) if piece]
    return [ToolCall(call, draw(st.sampled_from(["add", "look-up"])), part=number), *pieces]


@st.composite
def _run(draw: st.DrawFn, number: int) -> list[Content]:
    """A tool that the provider ran, with its result."""
    call = f"srvtoolu_{number}"
    result: Any = draw(st.lists(_values, max_size=2))
    return [
        ToolCall(call, "web_search", part=number, provider_run=True),
        ToolArguments(json.dumps(draw(_values)), call=call),
        ToolResult(call, result),
    ]


@st.composite
def _other(draw: st.DrawFn, number: int) -> list[Content]:
    others: list[Content] = [
        Source(url=draw(_words), title=None, part=number, detail=draw(_values)),
        Data("progress", draw(_values)),
        Extra("search_hint", draw(_values)),
        File(draw(_words), url=draw(st.none() | _words), data=draw(st.none() | _words), name=draw(st.none() | _words)),
    ]
    return [draw(st.sampled_from(others))]


@st.composite
def answers(draw: st.DrawFn) -> list[Content]:
    """The content events of one whole answer, part after part."""
    kinds = draw(st.lists(st.sampled_from(["text", "refusal", "thought", "call", "run", "other"]), max_size=6))
    events: list[Content] = []
    for number, kind in enumerate(kinds):
        made: dict[str, st.SearchStrategy[list[Content]]] = {
            "text": _deltas(Text, number),
            "refusal": _deltas(Refusal, number),
            "thought": _thought(number),
            "call": _call(number),
            "run": _run(number),
            "other": _other(number),
        }
        events += draw(made[kind])
    return events
