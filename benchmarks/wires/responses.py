"""Responses: events are numbered, and each names its item; an item is said in whole when it is done, and at the end."""

from collections.abc import Callable
from functools import partial
from typing import Any

from openai.types.responses import ResponseStreamEvent

from realtime.providers.responses_chunks import ResponsesTranslator

from ..delivery import WORD
from .kind import ARGUMENTS, Kind, Wire, named
from .sdks import of_openai

# Of an id, what is its own.
_ID = "68a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8a9b0c1d2"
# What was said when an item is done: some five hundred tokens.
_TEXT = "What one reads of an answer while the rest of it is still to come. " * 34
_USAGE = {
    "input_tokens": 1117,
    "input_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 0},
    "output_tokens": 705,
    "output_tokens_details": {"reasoning_tokens": 192},
    "total_tokens": 1822,
}
_TOOL = {
    "type": "function",
    "name": "weather",
    "description": "How the weather of a city is now, and how it will be.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
    "strict": True,
}

_Item = dict[str, Any]


def _thinking(n: int, *summary: _Item) -> _Item:
    return {"id": f"rs_{_ID}{n:04}", "type": "reasoning", "summary": list(summary), "encrypted_content": "gAAA" * 256}


def _message(n: int, *content: _Item, status: str = "in_progress") -> _Item:
    return {
        "id": f"msg_{_ID}{n:04}",
        "type": "message",
        "status": status,
        "content": list(content),
        "role": "assistant",
    }


def _call(n: int, arguments: str = "", status: str = "in_progress") -> _Item:
    called = {"call_id": f"call_BenchmarkBenchmark{n:04}", "name": "weather", "arguments": arguments}
    return {"id": f"fc_{_ID}{n:04}", "type": "function_call", "status": status, **called}


def _thought(n: int) -> _Item:
    return _thinking(n, {"type": "summary_text", "text": _TEXT[:600]})


def _said(n: int) -> _Item:
    return _message(n, {"type": "output_text", "annotations": [], "logprobs": [], "text": _TEXT}, status="completed")


def _called(n: int) -> _Item:
    return _call(n, '{"city":"Lisbon","days":3}', "completed")


_ANSWER = (_thought(0), _said(1), _called(2))


def _response() -> _Item:
    """A whole answer, with all that was asked."""
    return {
        "id": f"resp_{_ID}0000",
        "object": "response",
        "created_at": 1_770_000_000,
        "status": "completed",
        "background": False,
        "completed_at": 1_770_000_009,
        "error": None,
        "incomplete_details": None,
        "instructions": "You answer in whole sentences, and look up what changes from day to day.",
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": "gpt-5-benchmark",
        "output": _ANSWER,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": "medium", "summary": "detailed"},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [_TOOL, _TOOL | {"name": "forecast"}],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _USAGE,
        "user": None,
        "metadata": {},
    }


def _event(kind: str, n: int, **fields: Any) -> bytes:
    return named(f"response.{kind}", sequence_number=n, **fields)


# Where nothing was said before an item is done, all of it is passed on, which costs the most.
def _items(state: str, item: Callable[[int], _Item]) -> Kind:
    return Kind(lambda n: _event(f"output_item.{state}", n, output_index=n, item=item(n)))


def _deltas(kind: str, delta: str, item: Callable[[int], _Item], **place: Any) -> Kind:
    fields = {"item_id": item(0)["id"], "output_index": 0, **place, "delta": delta, "obfuscation": "aB3dE6gH9"}
    return Kind(lambda n: _event(f"{kind}.delta", n + 1, **fields), (_items("added", item).nth(0),), delta=True)


RESPONSES = Wire(
    "Responses",
    of_openai(ResponseStreamEvent),
    ResponsesTranslator,
    {
        "output_text.delta": _deltas("output_text", WORD, _message, content_index=0, logprobs=[]),
        "reasoning_summary_text.delta": _deltas("reasoning_summary_text", WORD, _thinking, summary_index=0),
        "function_call_arguments.delta": _deltas("function_call_arguments", ARGUMENTS, _call),
        "output_item.added, message": _items("added", _message),
        "output_item.added, call": _items("added", _call),
        "output_item.done, message": _items("done", _said),
        "output_item.done, call": _items("done", _called),
        "completed": Kind(
            partial(_event, "completed", response=_response()),
            [_event("output_item.done", n, output_index=n, item=item) for n, item in enumerate(_ANSWER)],
        ),
    },
)
