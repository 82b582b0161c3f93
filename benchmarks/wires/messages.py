"""Messages: every event is small and says its type; blocks begin, grow and end."""

from typing import Any

from anthropic.types import RawMessageStreamEvent

from realtime.providers.anthropic_chunks import MessagesTranslator

from ..delivery import WORD
from .kind import ARGUMENTS, Kind, Wire, always, named
from .sdks import of_anthropic

_USAGE = {
    "input_tokens": 93,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 1024,
    "output_tokens": 705,
    "output_tokens_details": {"thinking_tokens": 192},
}


def _begin(index: int, **block: Any) -> bytes:
    return named("content_block_start", index=index, content_block=block)


def _begin_call(n: int) -> bytes:
    return _begin(n, type="tool_use", id=f"toolu_01BenchmarkBenchmark{n:04}", name="weather", input={})


def _delta(kind: str, **fields: Any) -> bytes:
    return named("content_block_delta", index=0, delta={"type": kind, **fields})


_TEXT = _begin(0, type="text", text="")
_THINKING = _begin(0, type="thinking", thinking="", signature="")
_END = {"stop_reason": "end_turn", "stop_sequence": None}

MESSAGES = Wire(
    "Messages",
    of_anthropic(RawMessageStreamEvent),
    MessagesTranslator,
    {
        "text_delta": always(_delta("text_delta", text=WORD), _TEXT, delta=True),
        "thinking_delta": always(_delta("thinking_delta", thinking=WORD), _THINKING, delta=True),
        "input_json_delta": always(_delta("input_json_delta", partial_json=ARGUMENTS), _begin_call(0), delta=True),
        "content_block_start, text": always(_TEXT),
        "content_block_start, call": Kind(_begin_call),
        "content_block_stop": always(named("content_block_stop", index=0), _TEXT),
        "message_delta, usage": always(named("message_delta", delta=_END, usage=_USAGE)),
    },
)
