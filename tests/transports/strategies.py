"""Arbitrary events, and logs of them."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from realtime.errors import ERRORS, ErrorObject
from realtime.events import (
    AnyEvent,
    Attempt,
    Data,
    Entry,
    Extra,
    File,
    Finished,
    Queued,
    Reasoning,
    Refusal,
    Source,
    Started,
    Text,
    Timings,
    ToolArguments,
    ToolCall,
    ToolResult,
    Usage,
)

# Time is nobody's business here: a busy machine is no failure.
relaxed = settings(deadline=None, max_examples=60)

# What ends a line for somebody, or has a meaning in JSON, SSE or HTML, comes up more often than by chance.
NASTY = "\r\n\u2028\u2029\u0085\0\x0b\x0c\x1c\x1d\x1e\x7f\ufeff\ufffd\"\\/:'<> ée🧭\U0010ffff"
texts = st.text(max_size=20) | st.text(st.sampled_from(NASTY), max_size=20)
maybe = st.none() | texts
parts = st.integers(0, 2**53)
integers = st.integers(-(2**63), 2**64 - 1)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(texts, inner, max_size=20),
    max_leaves=25,
)
metadata = st.none() | st.dictionaries(texts, json_values, max_size=4)
counts = st.integers(0, 2**53)
errors = st.none() | st.builds(
    ErrorObject,
    st.sampled_from(list(ERRORS)),
    texts,
    st.booleans(),
    maybe,
    st.none() | counts,
    st.none() | counts,
    maybe,
)
usages = st.builds(Usage, counts, counts, st.none() | counts, st.none() | counts, st.none() | counts, st.booleans())

events: st.SearchStrategy[AnyEvent] = st.one_of(
    st.builds(Started, texts, texts, counts, maybe, metadata),
    st.builds(Queued, counts),
    st.builds(Attempt, counts, texts, texts, errors),
    st.builds(Text, texts, parts),
    st.builds(Reasoning, texts, parts, maybe, maybe),
    st.builds(Refusal, texts, parts),
    st.builds(ToolCall, texts, texts, parts, st.booleans()),
    st.builds(ToolArguments, texts, texts),
    st.builds(ToolResult, texts, json_values, st.booleans()),
    st.builds(Source, maybe, maybe, parts, json_values),
    st.builds(File, texts, maybe, maybe, maybe),
    st.builds(Data, texts, json_values),
    st.builds(Extra, texts, json_values),
    st.builds(
        Finished,
        st.sampled_from(["completed", "stopped", "failed"]),
        st.none() | st.sampled_from(["stop", "length", "other"]),
        maybe,
        st.none() | st.sampled_from(["owner", "disconnect"]),
        errors,
        usages,
        st.builds(Timings, counts, st.none() | counts),
    ),
)
entries = st.builds(Entry, st.integers(1, 10**15 - 1), counts, events)

# Few parts and calls, so that neighbours often belong together.
_few = st.integers(0, 1)
deltas: st.SearchStrategy[AnyEvent] = st.one_of(
    st.builds(Text, texts, _few),
    st.builds(Text, texts),
    st.builds(Refusal, texts, _few),
    st.builds(Reasoning, texts, _few, st.none() | st.just("s"), st.none() | st.just("r")),
    st.builds(Reasoning, texts),
    st.builds(ToolArguments, texts, st.sampled_from(["a", "b"])),
    st.builds(Data, st.just("n"), st.just(1)),
)
histories = st.lists(deltas, max_size=30).map(lambda all_: [Entry(seq, seq * 2, it) for seq, it in enumerate(all_, 3)])
