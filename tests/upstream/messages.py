"""The bytes of an Anthropic Messages stream."""

import json
from typing import Any

USAGE = {"input_tokens": 10, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 5, "output_tokens": 1}


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


def start(usage: dict[str, Any] | None = None) -> bytes:
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "scripted",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage or USAGE,
    }
    return event("message_start", message=message)


def begin(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_start", index=index, content_block={"type": kind, **fields})


def delta(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, **fields})


def stop(index: int) -> bytes:
    return event("content_block_stop", index=index)


def end(reason: str | None = "end_turn", output: int = 7, **more: Any) -> list[bytes]:
    """The last two events."""
    ended = {"stop_reason": reason, "stop_sequence": None, **more}
    return [event("message_delta", delta=ended, usage={"output_tokens": output}), event("message_stop")]


def text(*tokens: str, whole: bool = True) -> list[bytes]:
    """A whole stream of text; without its end when not `whole`."""
    said = [start(), begin(0, "text", text=""), *(delta(0, "text_delta", text=token) for token in tokens)]
    return [*said, stop(0), *end()] if whole else said


def tool(index: int, call: str, name: str, *fragments: str, kind: str = "tool_use") -> list[bytes]:
    """A whole tool call."""
    deltas = [delta(index, "input_json_delta", partial_json=fragment) for fragment in fragments]
    return [begin(index, kind, id=call, name=name, input={}), *deltas, stop(index)]


def error(kind: str = "overloaded_error", message: str = "broken") -> bytes:
    return event("error", error={"type": kind, "message": message})


def models(*names: str) -> dict[str, Any]:
    """The body of the list of models."""
    data = [{"id": name, "type": "model", "display_name": name, "created_at": "2026-01-01T00:00:00Z"} for name in names]
    return {"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}
