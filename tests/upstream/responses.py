"""The bytes of a Responses stream."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

ID = "resp_1"
USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 18,
}


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


def numbered(events: Iterable[bytes], start: int = 0) -> list[bytes]:
    """The same events with their sequence numbers, as OpenAI has them."""
    made = []
    for number, given in enumerate(events, start):
        name, _, data = given.partition(b"\ndata: ")
        value = json.loads(data) | {"sequence_number": number}
        made.append(b"%b\ndata: %b\n\n" % (name, json.dumps(value).encode()))
    return made


def response(status: str = "in_progress", output: Sequence[Any] = (), **more: Any) -> dict[str, Any]:
    """The response object, of which servers send far more."""
    return {
        "id": ID,
        "object": "response",
        "created_at": 1_770_000_000,
        "model": "scripted",
        "status": status,
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "usage": None,
    } | more


def created() -> list[bytes]:
    return [event("response.created", response=response()), event("response.in_progress", response=response())]


def end(
    status: str = "completed", output: Sequence[Any] = (), usage: dict[str, Any] | None = USAGE, **more: Any
) -> bytes:
    """The terminal event of that status."""
    return event(f"response.{status}", response=response(status, output, usage=usage, **more))


def added(index: int, item: dict[str, Any]) -> bytes:
    return event("response.output_item.added", output_index=index, item=item)


def done(index: int, item: dict[str, Any]) -> bytes:
    return event("response.output_item.done", output_index=index, item=item)


def about(kind: str, index: int, item: str, **fields: Any) -> bytes:
    """An event about the item at `index`."""
    return event(kind, output_index=index, item_id=item, **fields)


def text_part(text: str = "", *annotations: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}


def message(*parts: dict[str, Any], status: str = "completed", name: str = "msg_1") -> dict[str, Any]:
    return {"id": name, "type": "message", "role": "assistant", "status": status, "content": list(parts)}


def message_events(index: int, *tokens: str) -> list[bytes]:
    """A message of one text, said in all the ways the wire has."""
    place, whole = {"content_index": 0}, "".join(tokens)
    return [
        added(index, message(status="in_progress")),
        about("response.content_part.added", index, "msg_1", part=text_part(), **place),
        *(
            about("response.output_text.delta", index, "msg_1", delta=token, logprobs=[], obfuscation="x", **place)
            for token in tokens
        ),
        about("response.output_text.done", index, "msg_1", text=whole, logprobs=[], **place),
        about("response.content_part.done", index, "msg_1", part=text_part(whole), **place),
        done(index, message(text_part(whole))),
    ]


def text(*tokens: str) -> list[bytes]:
    """A whole stream of text, numbered."""
    output = [message(text_part("".join(tokens)))]
    return numbered([*created(), *message_events(0, *tokens), end(output=output)])


def function(call: str, name: str, arguments: str = "", status: str = "in_progress") -> dict[str, Any]:
    return {
        "id": f"fc_{call}",
        "type": "function_call",
        "status": status,
        "call_id": call,
        "name": name,
        "arguments": arguments,
    }


def function_events(index: int, call: str, name: str, *fragments: str) -> list[bytes]:
    """A function call, said in all the ways the wire has."""
    item, whole = f"fc_{call}", "".join(fragments)
    return [
        added(index, function(call, name)),
        *(about("response.function_call_arguments.delta", index, item, delta=fragment) for fragment in fragments),
        about("response.function_call_arguments.done", index, item, arguments=whole, name=name),
        done(index, function(call, name, whole, "completed")),
    ]


def reasoning(*summaries: str, encrypted: str | None = None, content: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text} for text in summaries],
        "content": [{"type": "reasoning_text", "text": text} for text in content],
        "encrypted_content": encrypted,
    }


def summary_events(index: int, summary: int, *tokens: str) -> list[bytes]:
    """One text of a reasoning summary, said in all the ways the wire has."""
    place, whole = {"summary_index": summary}, "".join(tokens)
    part = {"type": "summary_text", "text": whole}
    return [
        about("response.reasoning_summary_part.added", index, "rs_1", part=part | {"text": ""}, **place),
        *(about("response.reasoning_summary_text.delta", index, "rs_1", delta=token, **place) for token in tokens),
        about("response.reasoning_summary_text.done", index, "rs_1", text=whole, **place),
        about("response.reasoning_summary_part.done", index, "rs_1", part=part, **place),
    ]


def rich() -> list[bytes]:
    """A whole stream of reasoning, text with a citation, and two calls at once, numbered."""
    cited = {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 1}
    place = {"content_index": 0}
    thought = reasoning("Hm, so.", "Then.", encrypted="gAAA")
    said = message(text_part("Hel\u2028lo \U0001f600", cited))
    one, two = function("a", "add", '{"n":1}', "completed"), function("b", "now", "{}", "completed")
    spoken = message_events(1, "Hel", "\u2028lo ", "\U0001f600")
    citation = about("response.output_text.annotation.added", 1, "msg_1", annotation=cited, annotation_index=0, **place)
    calls = zip(function_events(2, "a", "add", '{"n"', ":1}"), function_events(3, "b", "now", "{", "}"), strict=True)
    return numbered(
        [
            *created(),
            added(0, reasoning()),
            *summary_events(0, 0, "Hm", ", so."),
            *summary_events(0, 1, "Then."),
            done(0, thought),
            *spoken[:-2],
            citation,
            about("response.content_part.done", 1, "msg_1", part=said["content"][0], **place),
            done(1, said),
            *(event for pair in calls for event in pair),
            end(output=[thought, said, one, two]),
        ]
    )


def error(code: str = "server_error", message: str = "broken") -> bytes:
    return event("error", code=code, message=message, param=None)
