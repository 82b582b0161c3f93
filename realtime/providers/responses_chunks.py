"""The events of a Responses stream, in the dialects of the servers that speak it, and what they mean.

Types of events and items that are not known here are passed on as `Extra`, since OpenAI adds some with every tool, and
counted, so that one can see what is missed.
"""

from collections.abc import Callable
from typing import Any

from ..errors import RealtimeError
from ..events import Extra, Reason
from .base import Ended
from .event_stream import ServerEvent
from .faults import from_garbage, from_in_band
from .responses_items import MessagePart
from .responses_outputs import Outputs
from .responses_wire import (
    MAX_REASON,
    PASSED_ON,
    QUIET,
    Response,
    ResponseEvent,
    content_of,
    decode_event,
    decode_response,
    decode_usage,
)
from .unknown import count
from .upstream import Item

# Of a response that is incomplete.
REASONS: dict[str, Reason] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "max_messages": "length",
    "content_filter": "content_filter",
}


class ResponsesTranslator:
    """See `Translator`. One per answer, which may come over several connections: see `resume`.

    Attributes:
        response_id: The provider's id of the answer, once it was said.
        sequence: The number of the last event; None where the server numbers none.
        unknown: How often each type of event or item came that is not known here.
    """

    def __init__(self) -> None:
        self.ended: Ended | None = None
        self.done = False
        self.response_id: str | None = None
        self.sequence: int | None = None
        self._seen = -1
        self.unknown: dict[str, int] = {}
        self._outputs = Outputs(self.unknown)

    def resume(self) -> None:
        """What comes next is another connection's: what was seen already may come again, and is skipped."""
        self._seen = -1 if self.sequence is None else self.sequence

    def take(self, event: ServerEvent, batch: list[Item]) -> None:
        data = event.data
        if self.done or not data or data.startswith(b"[DONE]"):
            return
        said = decode_event(event)
        number = said.sequence_number
        if number is not None:
            if number <= self._seen:
                return
            self.sequence = number
        kind = said.type
        if kind == "response.output_text.delta":
            if isinstance(said.delta, str) and said.delta:
                self._part(said).text(said.delta, batch)
        elif (taken := _TAKEN.get(kind)) is not None:
            taken(self, said, batch)
        elif kind not in QUIET:
            self._pass_on(kind, data, batch)

    def _part(self, said: ResponseEvent) -> MessagePart:
        return self._outputs.part(self._outputs.about(said, "message"), said.content_index or 0)

    def _take_id(self, said: ResponseEvent, _batch: list[Item]) -> None:
        if self.response_id is None:
            self.response_id = decode_response(said).id

    def _take_text(self, said: ResponseEvent, batch: list[Item]) -> None:
        if said.text:
            self._part(said).whole_text(said.text, batch)

    def _take_refusal(self, said: ResponseEvent, batch: list[Item]) -> None:
        self._outputs.refused = True
        if isinstance(said.delta, str) and said.delta:
            self._part(said).refusal(said.delta, batch)
        elif said.refusal:
            self._part(said).whole_refusal(said.refusal, batch)

    def _take_annotation(self, said: ResponseEvent, batch: list[Item]) -> None:
        if said.annotation is not None:
            self._part(said).cite(said.annotation, batch)

    def _take_content_part(self, said: ResponseEvent, batch: list[Item]) -> None:
        outputs = self._outputs
        whole = said.type.endswith(".done")
        outputs.content_part(outputs.about(said, "message"), said.content_index or 0, said.part, batch, whole=whole)

    def _take_summary(self, said: ResponseEvent, batch: list[Item]) -> None:
        text = said.part.get("text") if isinstance(said.part, dict) else said.text
        self._take_reasoning("summary", said.summary_index or 0, said, text, batch)

    def _take_reasoning_text(self, said: ResponseEvent, batch: list[Item]) -> None:
        self._take_reasoning("content", said.content_index or 0, said, said.text, batch)

    def _take_reasoning(self, field: str, index: int, said: ResponseEvent, whole: Any, batch: list[Item]) -> None:
        reasoning = self._outputs.reasoning(self._outputs.about(said, "reasoning"))
        if isinstance(said.delta, str):
            reasoning.text(field, index, said.delta, batch)
        elif isinstance(whole, str):
            reasoning.whole_text(field, index, whole, batch)

    def _take_arguments(self, said: ResponseEvent, batch: list[Item]) -> None:
        """Of a tool call, whatever its kind calls them: a delta, or in whole."""
        kind = _ARGUMENTS_OF[said.type.rpartition(".")[0]]
        call = self._outputs.call(self._outputs.about(said, kind), kind)
        whole = next((text for text in (said.arguments, said.input, said.code) if isinstance(text, str)), "")
        if isinstance(said.delta, str):
            call.delta(said.delta, batch)
        elif whole:
            call.whole(whole, batch)

    def _take_added(self, said: ResponseEvent, batch: list[Item]) -> None:
        self._outputs.add(said, batch)

    def _take_done(self, said: ResponseEvent, batch: list[Item]) -> None:
        self._outputs.finish(said, batch)

    def _end(self, said: ResponseEvent, batch: list[Item]) -> None:
        response = decode_response(said)
        status = response.status or said.type.removeprefix("response.")
        self.done = True
        if status not in _FAILED:
            self._outputs.make_good(response.output or [], batch)
            self._outputs.close(batch, whole=status == "completed")
        usage = decode_usage(response.usage)
        if usage is not None:
            batch.append(usage)
        if status == "failed":
            raise from_in_band(response.error)
        if status in _FAILED:
            raise RealtimeError("upstream_truncated", "The provider's answer was cancelled there.")
        native = _native_reason(status, response)
        self.ended = Ended(self._reason(status, native), native[:MAX_REASON])

    def _reason(self, status: str, native: str) -> Reason:
        if status == "incomplete":
            return REASONS.get(native, "other")
        if self._outputs.asks:
            return "tool_calls"
        return "refusal" if self._outputs.refused else "stop"

    def _fail(self, said: ResponseEvent, _batch: list[Item]) -> None:
        self.done = True
        raise from_in_band(said.error if isinstance(said.error, dict) else {"code": said.code})

    def _pass_on(self, kind: str, data: bytes, batch: list[Item]) -> None:
        content = content_of(data)
        if not kind and content:
            raise from_garbage("The provider sent an event that is no Responses event.", data)
        if kind not in PASSED_ON:
            count(self.unknown, kind)
        if content:
            batch.append(Extra(kind, content))


_FAILED = ("failed", "cancelled")

# Events with what a tool is asked, in deltas and in whole, and the kind of call they are about.
_ARGUMENTS_OF = {
    "response.function_call_arguments": "function_call",
    "response.custom_tool_call_input": "custom_tool_call",
    "response.mcp_call_arguments": "mcp_call",
    "response.code_interpreter_call_code": "code_interpreter_call",
}

_TAKEN: dict[str, Callable[[ResponsesTranslator, ResponseEvent, list[Item]], None]] = {
    "response.created": ResponsesTranslator._take_id,
    "response.queued": ResponsesTranslator._take_id,
    "response.in_progress": ResponsesTranslator._take_id,
    "response.output_item.added": ResponsesTranslator._take_added,
    "response.output_item.done": ResponsesTranslator._take_done,
    "response.content_part.added": ResponsesTranslator._take_content_part,
    "response.content_part.done": ResponsesTranslator._take_content_part,
    "response.output_text.done": ResponsesTranslator._take_text,
    "response.output_text.annotation.added": ResponsesTranslator._take_annotation,
    "response.refusal.delta": ResponsesTranslator._take_refusal,
    "response.refusal.done": ResponsesTranslator._take_refusal,
    "response.reasoning_summary_part.added": ResponsesTranslator._take_summary,
    "response.reasoning_summary_part.done": ResponsesTranslator._take_summary,
    "response.reasoning_summary_text.delta": ResponsesTranslator._take_summary,
    "response.reasoning_summary_text.done": ResponsesTranslator._take_summary,
    "response.reasoning_text.delta": ResponsesTranslator._take_reasoning_text,
    "response.reasoning_text.done": ResponsesTranslator._take_reasoning_text,
    **{f"{name}.{form}": ResponsesTranslator._take_arguments for name in _ARGUMENTS_OF for form in ("delta", "done")},
    "response.completed": ResponsesTranslator._end,
    "response.incomplete": ResponsesTranslator._end,
    "response.failed": ResponsesTranslator._end,
    "response.cancelled": ResponsesTranslator._end,
    "error": ResponsesTranslator._fail,
}


def _native_reason(status: str, response: Response) -> str:
    """Why an answer ended, as the provider says it: its status, and of one that is incomplete what is said of that."""
    details = response.incomplete_details if status == "incomplete" else None
    return (details.reason if details else None) or status
