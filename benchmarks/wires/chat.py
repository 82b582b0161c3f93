"""Chat Completions: one envelope around everything, and a delta in it."""

from typing import Any

from openai.types.chat import ChatCompletionChunk

from realtime.providers.openai_chunks import ChatTranslator

from ..delivery import WORD
from ..servers.upstream import enveloped, of_choices
from .kind import ARGUMENTS, Wire, always
from .sdks import of_openai

_USAGE: dict[str, object] = {
    "prompt_tokens": 1117,
    "completion_tokens": 705,
    "total_tokens": 1822,
    "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 192,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


def _fragment(**fields: Any) -> bytes:
    return enveloped({"tool_calls": [{"index": 0, **fields}]})


_TEXT = enveloped({"content": WORD})
_CALL = _fragment(id="call_BenchmarkBenchmarkBench", type="function", function={"name": "weather", "arguments": ""})
_END = enveloped({}, "stop")

CHAT = Wire(
    "Chat Completions",
    of_openai(ChatCompletionChunk),
    ChatTranslator,
    {
        "content": always(_TEXT, delta=True),
        # As the servers that show their reasoning send it.
        "reasoning_content": always(enveloped({"content": None, "reasoning_content": WORD}), delta=True),
        "tool_calls, arguments": always(_fragment(function={"arguments": ARGUMENTS}), _CALL, delta=True),
        "finish_reason": always(_END, _TEXT),
        "usage": always(of_choices([], _USAGE), _TEXT, _END),
    },
)
