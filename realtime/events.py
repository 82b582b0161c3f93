"""The nouns: what one generation can say, in which order, and the summary that is left of it.

An event is frozen and knows neither its number nor its time; the log gives it both and keeps the pair as an `Entry`.
So a provider, a user's generator and a test all make the same plain values, and one event can be in many encodings.

Two rules keep this file honest: everything that decides what may follow what is in `PHASES` and `FOLLOWS`, and a
field that a client may see is declared here and nowhere else.
"""

from typing import Any, Literal

import msgspec

from .errors import ErrorObject

Outcome = Literal["completed", "stopped", "failed"]
StoppedBy = Literal["owner", "disconnect", "replaced", "server"]
State = Literal["queued", "starting", "streaming", "stopping", "finished"]

# Why a completed generation ended, whatever the provider calls it; `native_reason` keeps the provider's own word.
Reason = Literal["stop", "length", "tool_calls", "content_filter", "refusal", "pause", "other"]


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one generation; `estimated` when any figure was counted from the log and not given by the provider."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    estimated: bool = False


class Timings(msgspec.Struct, frozen=True, omit_defaults=True):
    """Milliseconds since `started`; None for what never happened."""

    duration_ms: int
    first_event_ms: int | None = None


class Event(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True):
    """One thing a generation said. Subclasses are the closed set of types; `type` on the wire is their tag."""

    def size(self) -> int:
        """Bytes that count against the log's limit: the payload, not its frame."""
        return len(msgspec.json.encode(self))


class _Delta(Event, frozen=True, gc=False):
    """A text increment. `gc=False`: it can hold no cycle, and a busy server keeps hundreds of thousands of them."""

    text: str

    def size(self) -> int:
        return len(self.text) if self.text.isascii() else len(self.text.encode())


class Started(Event, frozen=True, tag="started"):
    """The first event: the generation was admitted. Its time is the zero of every `at`.

    Attributes:
        generation: The server-made id.
        model: As asked for, `<provider>/<model>`.
        created_ms: Unix time in milliseconds.
    """

    generation: str
    model: str
    created_ms: int
    conversation: str | None = None
    metadata: dict[str, Any] | None = None


class Queued(Event, frozen=True, tag="queued"):
    """The generation waits for a place at a provider; said again, but not more than once a second, when it moves up.

    Attributes:
        position: In the line, from 1.
    """

    position: int


class Attempt(Event, frozen=True, tag="attempt"):
    """A provider is being called; `error` says why the attempt before this one did not do."""

    n: int
    provider: str
    model: str
    error: ErrorObject | None = None


class Text(_Delta, frozen=True, tag="text"):
    """An increment of the answer; `part` numbers the content parts of a message that has several."""

    part: int = 0


class Reasoning(_Delta, frozen=True, tag="reasoning"):
    """An increment of the model's reasoning.

    Attributes:
        signature: The provider's seal over the part, to be sent back with it in the next turn.
        redacted: Opaque reasoning the provider encrypted, to be sent back as it is.
    """

    part: int = 0
    signature: str | None = None
    redacted: str | None = None


class Refusal(_Delta, frozen=True, tag="refusal"):
    """An increment of the model's words for why it will not answer."""

    part: int = 0


class ToolCall(Event, frozen=True, tag="tool_call"):
    """A tool call begins; `provider_run` when the provider executes it and its result will follow here."""

    call: str
    name: str
    part: int = 0
    provider_run: bool = False


class ToolArguments(_Delta, frozen=True, tag="tool_arguments"):
    """An increment of the JSON text of one call's arguments."""

    call: str


class ToolResult(Event, frozen=True, tag="tool_result"):
    """The result of a tool that the provider, or the generator that drives this log, has run."""

    call: str
    content: Any
    is_error: bool = False


class Source(Event, frozen=True, tag="source"):
    """A citation."""

    url: str | None = None
    title: str | None = None
    part: int = 0
    detail: Any = None


class File(Event, frozen=True, tag="file"):
    """A generated file: a URL, or base64 in `data`."""

    media_type: str
    url: str | None = None
    data: str | None = None
    name: str | None = None


class Data(Event, frozen=True, tag="data"):
    """Any JSON value under a name of the application's choosing."""

    name: str
    value: Any


class Extra(Event, frozen=True, tag="extra"):
    """A part of the provider's wire that has no type here yet, passed on rather than dropped."""

    kind: str
    value: Any


class Finished(Event, frozen=True, tag="finished"):
    """The terminal event: last, once, durable.

    Attributes:
        reason: Why it `completed`; None for the other outcomes.
        native_reason: The provider's own word for it.
        stopped_by: A role, never a name; set when `stopped`.
        error: Set when `failed`.
    """

    outcome: Outcome
    reason: Reason | None = None
    native_reason: str | None = None
    stopped_by: StoppedBy | None = None
    error: ErrorObject | None = None
    usage: Usage = Usage()
    timings: Timings = Timings(duration_ms=0)


Content = Text | Reasoning | Refusal | ToolCall | ToolArguments | ToolResult | Source | File | Data | Extra
AnyEvent = Started | Queued | Attempt | Content | Finished

Phase = Literal["new", "started", "queued", "attempt", "content", "finished"]

PHASES: dict[type[Event], Phase] = {
    Started: "started",
    Queued: "queued",
    Attempt: "attempt",
    Text: "content",
    Reasoning: "content",
    Refusal: "content",
    ToolCall: "content",
    ToolArguments: "content",
    ToolResult: "content",
    Source: "content",
    File: "content",
    Data: "content",
    Extra: "content",
    Finished: "finished",
}

# A provider is called again only while nothing was said: `attempt` never follows content.
FOLLOWS: dict[Phase, frozenset[Phase]] = {
    "new": frozenset({"started"}),
    "started": frozenset({"queued", "attempt", "finished"}),
    "queued": frozenset({"queued", "attempt", "finished"}),
    "attempt": frozenset({"queued", "attempt", "content", "finished"}),
    "content": frozenset({"content", "finished"}),
    "finished": frozenset(),
}


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An event in its log: `seq` counts from 1 without a hole, `at` is in milliseconds since `started`."""

    seq: int
    at: int
    event: AnyEvent


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """The one frozen record of an ended generation: what the ledger, the metrics and `on_finished` are given.

    Attributes:
        provider: The alias of the provider that was asked last.
        model: Its own name for the model, without the alias.
        created_ms: Unix time in milliseconds.
        events: Number of the terminal event.
        attempts: How often a provider was asked.
        cost: In US dollars, where the prices of the model are known.
    """

    generation: str
    tenant: str
    subject: str | None
    provider: str
    model: str
    created_ms: int
    outcome: Outcome
    usage: Usage
    timings: Timings
    events: int
    attempts: int = 1
    cost: float | None = None
    reason: Reason | None = None
    native_reason: str | None = None
    stopped_by: StoppedBy | None = None
    error: ErrorObject | None = None
    conversation: str | None = None
    metadata: dict[str, Any] | None = None
