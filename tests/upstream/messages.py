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


def whole(*blocks: list[bytes], reason: str = "end_turn", **more: Any) -> list[bytes]:
    """A whole stream of such blocks."""
    return [start(), event("ping"), *(step for block in blocks for step in block), *end(reason, **more)]


def dialects() -> dict[str, list[bytes]]:
    """Whole streams, of every part of the wire and of servers that speak like it; their words are made up."""
    said = [begin(0, "text", text=""), delta(0, "text_delta", text="Hel"), delta(0, "text_delta", text="lo"), stop(0)]
    thought = [
        begin(0, "thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="Let me "),
        delta(0, "thinking_delta", thinking="see."),
        delta(0, "signature_delta", signature="c2VhbA=="),
        stop(0),
    ]
    answer = [begin(1, "text", text=""), delta(1, "text_delta", text="Hello wörld 😀\u2028"), stop(1)]
    hidden = [begin(0, "redacted_thinking", data="b3BhcXVl"), stop(0)]
    cited = [begin(1, "text", text="", citations=[]), delta(1, "citations_delta", citation=_CITATION), stop(1)]
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    counted = {"input_tokens": 40, "output_tokens": 9, "server_tool_use": {"web_search_requests": 1}}
    return {
        "plain": text("Hel", "lo", " wörld 😀"),
        "with CRLF": [step.replace(b"\n", b"\r\n") for step in text("Hel", "lo")],
        "thinking": whole(thought, answer),
        "redacted thinking": whole(hidden, answer),
        "tool calls": whole(tool(0, "a", "add", "", '{"n"', ":1}"), tool(1, "b", "sub", '{"m":2}'), reason="tool_use"),
        "a tool that takes nothing": whole(tool(0, "a", "now", ""), reason="tool_use"),
        "a call in its block": whole([begin(0, "tool_use", id="a", name="add", input={"n": 1}), stop(0)]),
        "a search": [
            start(),
            *tool(0, "s1", "web_search", '{"query":"x"}', kind="server_tool_use"),
            begin(1, "web_search_tool_result", tool_use_id="s1", content=[_FOUND]),
            stop(1),
            begin(2, "text", text="", citations=[]),
            delta(2, "citations_delta", citation=_CITATION),
            delta(2, "text_delta", text="Hello"),
            stop(2),
            event("message_delta", delta=ended, usage=counted),
            event("message_stop"),
        ],
        "code that ran": whole(
            tool(0, "s1", "bash_code_execution", '{"command":"ls"}', kind="server_tool_use"),
            [begin(1, "bash_code_execution_tool_result", tool_use_id="s1", content=_RAN), stop(1)],
            [begin(2, "container_upload", file_id="file_2"), stop(2)],
            container={"id": "container_1", "expires_at": "2026-01-01T00:00:00Z"},
        ),
        "citations": whole(said, cited),
        "an explained refusal": whole(reason="refusal", stop_details=_EXPLAINED),
        "a pause": whole(said, reason="pause_turn"),
        "begun twice": [start(), *text("Hello")],
        "blocks that never end": [*whole(tool(0, "a", "now"))[:-3], *end("tool_use")],
        "blocks that are whole": whole(
            [begin(0, "thinking", thinking="hm", signature="c2VhbA=="), stop(0)], [begin(1, "text", text="Hello")]
        ),
        "an error": [*text("Hel", whole=False), error()],
        "cut short": text("Hel", "lo", whole=False),
        "what is new": whole(
            [begin(0, "hologram", light={"x": 1}), delta(0, "light_delta", photons=3), stop(0)],
            [event("weather_report", mood="fine")],
        ),
    }


_FOUND = {
    "type": "web_search_result",
    "url": "https://a.example",
    "title": "A",
    "encrypted_content": "x",
    "page_age": "",
}
_CITATION = {
    "type": "web_search_result_location",
    "url": "https://a.example",
    "title": "A",
    "cited_text": "x",
    "encrypted_index": "y",
}
_RAN = {
    "type": "bash_code_execution_result",
    "content": [{"type": "bash_code_execution_output", "file_id": "file_1"}],
    "stdout": "a\n",
    "stderr": "",
    "return_code": 0,
}
_EXPLAINED = {"type": "refusal", "category": "cyber", "explanation": "No."}
