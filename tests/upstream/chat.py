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


def dialects() -> dict[str, list[bytes]]:
    """Whole streams, each as a kind of server sends it; their figures and words are made up."""
    return {
        "plain": text("Hel", "lo", " wörld 😀\u2028"),
        "without a [DONE]": text("Hello")[:-1],
        "with comments": [b": PROCESSING\n\n", *text("Hello"), b": bye\n\n"],
        "with CRLF": [step.replace(b"\n", b"\r\n") for step in text("Hel", "lo")],
        "filtered first": [event(envelope([]) | {"prompt_filter_results": [{"prompt_index": 0}]}), *text("Hello")],
        "reasoning_content": [chunk({"reasoning_content": word, "content": None}) for word in ("Let ", "me see.")]
        + text("Hello"),
        "reasoning": [chunk({"reasoning": "Let me see."}), *text("Hello")],
        "reasoning_details": _detailed(),
        "thinking in parts": [chunk({"content": [_thought("hm")]}), *text("Hello")],
        "a refusal": [chunk({"refusal": "I will "}), chunk({"refusal": "not."}), *text()],
        "tool calls": [
            chunk({"role": "assistant", "content": None}),
            tool(0, "call_a", "add", ""),
            tool(0, None, None, '{"n"'),
            tool(0, None, None, ":1}"),
            tool(1, "call_b", "sub", ""),
            tool(1, None, None, '{"m":2}'),
            *text(finish="tool_calls")[1:],
        ],
        "a whole tool call": [tool(0, "call_a", "add", '{"n": 1}'), *text(finish="tool_calls")[1:]],
        "a tool that takes nothing": [tool(0, "call_a", "now", ""), *text(finish="tool_calls")[1:]],
        "empty ids": [tool(0, "call_a", "add", ""), tool(0, "", None, '{"n":1}'), *text(finish="tool_calls")[1:]],
        "calls behind text": [*text("Wait.", finish=None), tool(0, "a", "add", "{}"), *text(finish="tool_calls")[1:]],
        "usage at the end": [chunk({"content": "Hello"}), chunk(finish="stop", usage=USAGE), DONE],
        "usage in the choice": [chunk({"content": "Hello"}), event(envelope([_ending() | {"usage": USAGE}])), DONE],
        "usage at Groq": [chunk({"content": "Hello"}), chunk(finish="stop", x_groq={"usage": USAGE}), DONE],
        "usage each time": [_counted("Hel", 1), _counted("lo", 2), chunk(finish="stop", usage=USAGE), usage(), DONE],
        "usage behind [DONE]": [*text("Hello")[:-2], DONE, usage()],
        "reasoning beside the completion": [*text("Hello")[:-2], usage(_beside()), DONE],
        "citations": [chunk({"content": "Hello", "annotations": [_citation()]}), *text()],
        "citations beside": [chunk({"content": "Hello"}, citations=["https://a.example"]), *text()],
        "a picture": [chunk({"images": [{"type": "image_url", "image_url": {"url": _PICTURE}}]}), *text("Look.")],
        "sound": [chunk({"audio": {"id": "audio_1", "data": "AAAA", "transcript": "Hello"}}), *text()],
        "cut for length": text("Hel", finish="length"),
        "filtered": text("Hel", finish="content_filter"),
        "an error": [*text("Hel", finish=None), error()],
        "cut short": text("Hel", "lo", finish=None),
        "a whole message": [event(envelope([_ending() | {"message": {"content": "Hello"}}])), usage(), DONE],
        "log probabilities": [chunk({"content": "Hel"}, logprobs=None, padding="x" * 400), *text("lo")],
        "what is new": [chunk({"hologram": {"x": 1}}), event({"type": "weather", "mood": "fine"}), *text("Hello")],
    }


_PICTURE = "data:image/png;base64,iVBORw0KGgo="


def _detailed() -> list[bytes]:
    said = {"type": "reasoning.text", "text": "Let me see.", "format": "anthropic-claude-v1", "index": 0}
    seal = {"type": "reasoning.text", "signature": "c2VhbA==", "format": "anthropic-claude-v1", "index": 0}
    hidden = {"type": "reasoning.encrypted", "data": "b3BhcXVl", "format": "openai-responses-v1", "index": 1}
    return [
        chunk({"reasoning": "Let me see.", "reasoning_details": [said], "content": ""}),
        chunk({"reasoning": None, "reasoning_details": [seal, hidden], "content": ""}),
        *text("Hello"),
    ]


def _thought(words: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": words}]}


def _ending() -> dict[str, Any]:
    return {"index": 0, "delta": {}, "finish_reason": "stop"}


def _counted(word: str, tokens: int) -> bytes:
    return chunk(
        {"content": word}, usage={"prompt_tokens": 11, "completion_tokens": tokens, "total_tokens": 11 + tokens}
    )


def _beside() -> dict[str, Any]:
    details = {"completion_tokens_details": {"reasoning_tokens": 340}}
    return {"prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 354, **details}


def _citation() -> dict[str, Any]:
    cited = {"url": "https://a.example", "title": "A", "start_index": 0, "end_index": 5}
    return {"type": "url_citation", "url_citation": cited}
