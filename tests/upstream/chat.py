"""The bytes of a Chat Completions stream."""

import json
from typing import Any

DONE = b"data: [DONE]\n\n"
USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def event(value: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps(value).encode()


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    """One chunk of one choice; `more` are other fields of the chunk."""
    choice = {"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish}
    return event(envelope([choice]) | more)


def envelope(choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_770_000_000,
        "model": "scripted",
        "choices": choices,
    }


def usage(figures: dict[str, Any] | None = None) -> bytes:
    """The chunk that comes last, with no choice in it."""
    return event(envelope([]) | {"usage": figures or USAGE})


def text(*tokens: str, finish: str | None = "stop") -> list[bytes]:
    """A whole stream of text; cut short when `finish` is None."""
    said = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": token}) for token in tokens)]
    return said if finish is None else [*said, chunk(finish=finish), usage(), DONE]


def tool(index: int, call: str | None, name: str | None, arguments: str) -> bytes:
    """One fragment of a tool call; the first has `call` and `name`, the others have neither."""
    fragment: dict[str, Any] = {"index": index, "function": {"arguments": arguments}}
    if name is not None:
        fragment["function"]["name"] = name
        fragment["type"] = "function"
    if call is not None:
        fragment["id"] = call
    return chunk({"tool_calls": [fragment]})


def error(message: str = "broken", kind: str | None = "server_error", code: Any = None) -> bytes:
    return event({"error": {"message": message, "type": kind, "param": None, "code": code}})


def models(*names: str) -> dict[str, Any]:
    """The body of the list of models."""
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 1, "owned_by": "tests"} for name in names],
    }
