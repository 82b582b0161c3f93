"""What the vectors of what the server says are made of: events, frames, cursors, histories and messages."""

from typing import Any

EPOCH = "mj2k3x9q"
GENERATION = "0123456789abcdef0123456789abcdef"

Case = dict[str, Any]

USAGE = {
    "input_tokens": 12,
    "output_tokens": 34,
    "cached_input_tokens": 5,
    "cache_write_input_tokens": 0,
    "reasoning_tokens": 6,
    "estimated": True,
}
ERROR = {
    "code": "upstream_overloaded",
    "message": "The provider is overloaded.",
    "retryable": True,
    "field": "model",
    "limit": 7,
    "retry_after_s": 1.5,
    "generation": "fedcba9876543210fedcba9876543210",
}

# Name, seq, at, the event with every field that is given, also those at their default.
EVENTS: list[tuple[str, int, int, Case]] = [
    (
        "started",
        1,
        0,
        {"type": "started", "generation": GENERATION, "model": "demo/default", "created_ms": 1700000000123},
    ),
    (
        "started, every field",
        1,
        0,
        {
            "type": "started",
            "generation": GENERATION,
            "model": "ollama/library/llama3:8b",
            "created_ms": 0,
            "conversation": "chat:7",
            "metadata": {"user": "ünï", "n": 1, "deep": {"a": [None, True, 1.5]}},
        },
    ),
    ("queued", 2, 1, {"type": "queued", "position": 3}),
    ("attempt", 2, 1, {"type": "attempt", "n": 1, "provider": "demo", "model": "default", "error": None}),
    ("attempt after an error", 3, 4, {"type": "attempt", "n": 2, "provider": "spare", "model": "m", "error": ERROR}),
    ("text", 7, 812, {"type": "text", "text": "Hello"}),
    ("text, its default given", 7, 812, {"type": "text", "text": "Hello", "part": 0}),
    ("text of another part", 8, 813, {"type": "text", "text": "Hello", "part": 3}),
    ("empty text", 9, 813, {"type": "text", "text": ""}),
    ("text in many scripts", 10, 820, {"type": "text", "text": "Zürich, Ελλάδα, मस्ते, 木漏れ日, שלום"}),
    ("emoji", 11, 821, {"type": "text", "text": "🧭 👩‍👩‍👧 🇺🇳 é"}),
    ("Unicode line ends", 12, 822, {"type": "text", "text": "a\u2028b\u2029c\u0085d"}),
    ("line ends", 13, 823, {"type": "text", "text": "a\nb\rc\r\nd\n\ndata: x\n\n"}),
    ("control characters", 14, 824, {"type": "text", "text": "\x00\x01\x08\t\x0b\x0c\x1b\x1f\x7f\x80\x9f"}),
    ("quotes and backslashes", 15, 825, {"type": "text", "text": "\"'\\/ \\u2028 </script>"}),
    ("byte order mark and last code points", 16, 826, {"type": "text", "text": "\ufeff\ufffd\uffff\U0010ffff"}),
    ("a text of 40 bytes", 17, 827, {"type": "text", "text": "0123456789" * 4}),
    ("a text of 300 bytes", 18, 828, {"type": "text", "text": "0123456789" * 30}),
    ("a late event of a long log", 999_999_999_999_999, 2**53 - 1, {"type": "text", "text": "."}),
    ("reasoning", 19, 128, {"type": "reasoning", "text": "Let me see"}),
    (
        "reasoning, every field",
        20,
        256,
        {"type": "reasoning", "text": "", "part": 1, "signature": "c2VhbA==", "redacted": "b3BhcXVl"},
    ),
    ("refusal", 21, 65536, {"type": "refusal", "text": "I cannot."}),
    ("refusal of another part", 22, 65537, {"type": "refusal", "text": "No", "part": 1}),
    ("tool call", 23, 900, {"type": "tool_call", "call": "call_1", "name": "search", "part": 0, "provider_run": False}),
    (
        "tool call, every field",
        24,
        901,
        {"type": "tool_call", "call": "call_2", "name": "web-search", "part": 2, "provider_run": True},
    ),
    ("tool arguments", 25, 902, {"type": "tool_arguments", "text": '{"q":"\\"x\\"', "call": "call_1"}),
    ("tool result", 26, 903, {"type": "tool_result", "call": "call_1", "content": None}),
    (
        "tool result, every field",
        27,
        904,
        {"type": "tool_result", "call": "call_1", "content": {"rows": [1, "two", {}], "t": ""}, "is_error": True},
    ),
    ("source, nothing known", 28, 905, {"type": "source"}),
    (
        "source, every field",
        29,
        906,
        {"type": "source", "url": "https://example.com/?a=1&b=2#c", "title": "T", "part": 1, "detail": {"start": 0}},
    ),
    ("file by URL", 30, 907, {"type": "file", "media_type": "image/png", "url": "https://example.com/a.png"}),
    ("file by value", 31, 908, {"type": "file", "media_type": "text/csv", "data": "YSxiCg==", "name": "a.csv"}),
    ("data", 32, 909, {"type": "data", "name": "step", "value": None}),
    (
        "data of every kind of value",
        33,
        910,
        {
            "type": "data",
            "name": "été\u2028",
            "value": {
                "numbers": [
                    0,
                    -1,
                    127,
                    128,
                    -32,
                    -33,
                    255,
                    256,
                    -129,
                    65536,
                    -32769,
                    2**31,
                    2**53,
                    -(2**53),
                    0.1,
                    -2.5e-7,
                ],
                "words": ["", "é", "\u2029", True, False, None],
                "\u0085": {"": {}, "[]": []},
            },
        },
    ),
    ("data of 20 items", 34, 911, {"type": "data", "name": "rows", "value": list(range(20))}),
    ("data of 20 members", 35, 911, {"type": "data", "name": "row", "value": {f"k{n:02}": n for n in range(20)}}),
    ("an integer beyond 64 bits", 35, 911, {"type": "data", "name": "n", "value": [2**63, -(2**63), 2**64]}),
    ("extra", 36, 912, {"type": "extra", "kind": "audio.delta", "value": {"b64": "AAA="}}),
    (
        "finished, its defaults given",
        37,
        1000,
        {
            "type": "finished",
            "outcome": "completed",
            "reason": "stop",
            "native_reason": None,
            "stopped_by": None,
            "error": None,
            "usage": {"input_tokens": 0, "output_tokens": 0, "estimated": False},
            "timings": {"duration_ms": 0, "first_event_ms": None},
        },
    ),
    (
        "finished, completed",
        38,
        1001,
        {
            "type": "finished",
            "outcome": "completed",
            "reason": "tool_calls",
            "native_reason": "tool_use",
            "usage": USAGE,
            "timings": {"duration_ms": 1001, "first_event_ms": 128},
        },
    ),
    (
        "finished, stopped",
        39,
        1002,
        {"type": "finished", "outcome": "stopped", "stopped_by": "owner", "timings": {"duration_ms": 1002}},
    ),
    ("finished, failed", 40, 1003, {"type": "finished", "outcome": "failed", "error": ERROR}),
]

EVENT = {name: fields for name, _, _, fields in EVENTS}

CONTROL: list[Case] = [
    {
        "type": "position",
        "generation": GENERATION,
        "cursor": f"{EPOCH}-0",
        "head": f"{EPOCH}-12",
        "state": "streaming",
        "reset": None,
    },
    {
        "type": "position",
        "generation": GENERATION,
        "cursor": f"{EPOCH}-0",
        "head": f"{EPOCH}-12",
        "state": "finished",
        "reset": "trimmed",
    },
    {"type": "heartbeat"},
    {"type": "json", "generation": GENERATION, "value": {"a": [1, "é\u2028"]}, "final": False},
    {"type": "json", "generation": GENERATION, "value": None, "final": True},
    {"type": "bye", "reason": "draining", "retry_ms": 1500},
]

VALID_CURSORS = ["0-0", "mj2k3x9q-7", "zzzzzzzzzzzz-999999999999999", "a-10", "1-1"]
MALFORMED_CURSORS = [
    "", "-", "a-", "-1", "a", "7", "a-01", "a-+1", "a--1", "a-1.0", "A-1", "a-1 ", " a-1", "a-1\n", "a_1", "a-1-1",
    "a-x", "a-\u0663", "\u0430-1", "zzzzzzzzzzzzz-1", "a-1000000000000000", "a-1\u0000", "null", '"a-1"',
]  # fmt: skip

# A log by its name: number of events, of those let go, and whether it is finished. Epoch `e`.
LOGS = {
    "live": (5, 0, False),
    "finished": (5, 0, True),
    "trimmed": (300, 256, False),
    "trimmed, finished": (300, 256, True),
}
RESUMES: list[tuple[str, str | None]] = [
    *[("live", cursor) for cursor in (None, "e-0", "e-3", "e-5", "e-6", "x-3", "x-0")],
    *[("finished", cursor) for cursor in (None, "e-0", "e-4", "e-5", "e-6", "x-5")],
    *[("trimmed", cursor) for cursor in (None, "e-0", "e-255", "e-256", "e-257", "e-300", "e-301", "x-300")],
    *[("trimmed, finished", cursor) for cursor in ("e-1", "e-299", "e-300", "x-300")],
]


def text(content: str, part: int = 0) -> Case:
    """A delta of the answer."""
    return {"type": "text", "text": content, "part": part} if part else {"type": "text", "text": content}


def arguments(content: str, call: str) -> Case:
    """A delta of a call's arguments."""
    return {"type": "tool_arguments", "text": content, "call": call}


THOUGHT = {"type": "reasoning", "text": "hm"}
MERGED: list[tuple[str, list[Case]]] = [
    ("nothing", []),
    ("one delta", [text("a")]),
    ("one part", [text("a"), text(""), text("é")]),
    ("two parts", [text("a"), text("b", 1), text("c", 1), text("d")]),
    ("two types", [text("a"), {"type": "refusal", "text": "b"}, {"type": "refusal", "text": "c"}, text("d")]),
    ("two calls", [arguments("{", "c1"), arguments("}", "c1"), arguments("[", "c2"), arguments("]", "c1")]),
    ("what is no delta parts", [text("a"), {"type": "data", "name": "n", "value": 1}, text("b")]),
    ("reasoning", [THOUGHT, THOUGHT, {**THOUGHT, "part": 1}, {**THOUGHT, "part": 1}]),
    ("a seal stays where it is", [THOUGHT, THOUGHT, {**THOUGHT, "signature": "s"}, THOUGHT, THOUGHT]),
    ("so does an encrypted part", [THOUGHT, {"type": "reasoning", "text": "", "redacted": "r"}, THOUGHT]),
    ("not deltas, twice", [{"type": "data", "name": "n", "value": 1}, {"type": "data", "name": "n", "value": 1}]),
]

MESSAGES: list[tuple[str, list[Case]]] = [
    ("nothing", []),
    ("no content", [EVENT["started"], EVENT["attempt"], EVENT["finished, completed"]]),
    ("one part", [text("Hel"), text("lo"), text("")]),
    ("two parts at once", [text("a"), text("b", 1), text("c"), text("d", 1), {"type": "refusal", "text": "no"}]),
    (
        "reasoning with a seal",
        [
            {"type": "reasoning", "text": "th"},
            {"type": "reasoning", "text": "ink"},
            {"type": "reasoning", "text": "", "signature": "s1"},
            text("x"),
            {"type": "reasoning", "text": "", "redacted": "r"},
        ],
    ),
    (
        "calls",
        [
            {"type": "tool_call", "call": "a", "name": "f"},
            {"type": "tool_call", "call": "b", "name": "g", "provider_run": True},
            arguments('{"q":', "a"),
            arguments("1}", "a"),
            {"type": "tool_result", "call": "b", "content": [1]},
        ],
    ),
    ("arguments without a call", [arguments("{}", "lost")]),
    (
        "what is not a delta",
        [
            EVENT[name]
            for name in ("source, every field", "file by value", "data", "data of every kind of value", "extra")
        ],
    ),
    ("unicode", [text("👩\u200d"), text("👧\u2028"), {"type": "data", "name": "\u0085", "value": "é"}]),
]
