"""The output items of one answer, in the making: which event is about which, and what each has said."""

import itertools
from typing import Any

import msgspec

from ..events import Extra
from .lenient import passed_on
from .responses_items import MessagePart, ReasoningItem
from .responses_own import OWN_CALLS
from .responses_tools import KINDS, OUTPUTS, Call, result
from .responses_wire import ITEMS_PASSED_ON, OutputItem, ResponseEvent, decode_item
from .unknown import count
from .upstream import Item


class Output(msgspec.Struct):
    """An output item.

    Attributes:
        item: As it was added, or as it is when it is done.
        parts: Of a message.
    """

    type: str
    item: OutputItem
    done: bool = False
    parts: dict[int, MessagePart] = msgspec.field(default_factory=dict)
    reasoning: ReasoningItem | None = None
    call: Call | None = None


class Outputs:
    """All output items of an answer.

    Args:
        unknown: Where types of items and parts are counted that are not known here.

    Attributes:
        refused: The model has said that it will not answer.
        asks: There is something for the caller to do: a call to run, or to approve.
    """

    def __init__(self, unknown: dict[str, int]) -> None:
        self.refused = self.asks = False
        self._unknown = unknown
        self._outputs: dict[int, Output] = {}
        self._numbers = itertools.count()
        self._ids: dict[str, str] = {}

    def about(self, said: ResponseEvent, kind: str) -> Output:
        """The item an event is about, of this kind if nobody announced it."""
        index = said.output_index or 0
        output = self._outputs.get(index)
        if output is None:
            output = self._outputs[index] = Output(kind, OutputItem(kind))
        return output

    def part(self, output: Output, index: int) -> MessagePart:
        part = output.parts.get(index)
        if part is None:
            part = output.parts[index] = MessagePart(next(self._numbers))
        return part

    def reasoning(self, output: Output) -> ReasoningItem:
        if output.reasoning is None:
            output.reasoning = ReasoningItem(self._numbers.__next__)
        return output.reasoning

    def call(self, output: Output, kind: str) -> Call:
        if output.call is None:
            output.call = Call(kind, self._new_id, self._numbers.__next__)
        return output.call

    def add(self, said: ResponseEvent, batch: list[Item]) -> None:
        """Take an item that begins, with what it has said already."""
        item = decode_item(said.item)
        if item is None:
            return
        output = self._announced(said, item)
        if output.done:
            return
        output.type, output.item = item.type, item
        if item.type == "message":
            self._message(output, item, batch, whole=False)
        elif item.type in KINDS:
            self.call(output, item.type).begin(item, batch)
            self._note(output)

    def finish(self, said: ResponseEvent, batch: list[Item]) -> None:
        """Take an item that is done."""
        item = decode_item(said.item)
        if item is not None:
            self._finish(self._announced(said, item), item, said.item, batch)

    def content_part(self, output: Output, index: int, part: Any, batch: list[Item], *, whole: bool) -> None:
        """Pass on what was not said of a content part."""
        match part:
            case {"type": "output_text" | "text", "text": str(text)}:
                made = self.part(output, index)
                made.whole_text(text, batch)
                made.cite_missing(part.get("annotations") or [], batch)
            case {"type": "refusal", "refusal": str(text)}:
                self.refused = True
                self.part(output, index).whole_refusal(text, batch)
            case {"type": "reasoning_text", "text": str(text)}:
                self.reasoning(output).whole_text("content", index, text, batch)
            case {"type": str(kind)} if whole and self.part(output, index).pass_on(kind, part, batch):
                count(self._unknown, kind)

    def make_good(self, given: list[Any], batch: list[Item]) -> None:
        """Pass on what only the whole response has, if it numbers its items as the stream did.

        Some leave items out of it, and then nobody can tell which is which.
        """
        items = [decode_item(value) for value in given]
        kinds = [None if item is None else item.type for item in items]
        # A slice: a number may be beyond them, or below zero.
        if any(kinds[index : index + 1] != [output.type] for index, output in self._outputs.items()):
            return
        for index, item in enumerate(items):
            if item is not None:
                self._finish(self._outputs.setdefault(index, Output(item.type, item)), item, given[index], batch)

    def close(self, batch: list[Item], *, whole: bool) -> None:
        """No item will be done any more; pass on what calls that are not had to say."""
        for output in self._outputs.values():
            if output.call is not None:
                output.call.close(output.item, batch, whole=whole)
                self._note(output)

    def _announced(self, said: ResponseEvent, item: OutputItem) -> Output:
        """The item of an event that brings one. Some servers give all of them the same index."""
        output = self.about(said, item.type)
        if output.done and output.item.id != item.id:
            output = self._outputs[said.output_index or 0] = Output(item.type, item)
        return output

    def _finish(self, output: Output, item: OutputItem, given: Any, batch: list[Item]) -> None:
        if output.done:
            return
        output.done, output.item = True, item
        if item.type == "message":
            self._message(output, item, batch, whole=True)
        elif item.type == "reasoning":
            self.reasoning(output).whole(item, batch)
        elif item.type in KINDS:
            call = self.call(output, item.type)
            call.end(item, batch)
            self._note(output)
            if item.type in OWN_CALLS and call.awaited:
                batch.append(Extra(item.type, passed_on(given)))
        elif item.type in OUTPUTS:
            native = item.call_id or item.id or ""
            batch.append(result(self._ids.get(native, native), item))
        else:
            self._pass_on(item.type, given, batch)

    def _message(self, output: Output, item: OutputItem, batch: list[Item], *, whole: bool) -> None:
        for index, part in enumerate(item.content or ()):
            self.content_part(output, index, part, batch, whole=whole)

    def _pass_on(self, kind: str, given: Any, batch: list[Item]) -> None:
        # An approval is for the caller to give, as the result of a call is.
        self.asks = self.asks or kind == "mcp_approval_request"
        if kind not in ITEMS_PASSED_ON:
            count(self._unknown, kind)
        batch.append(Extra(kind, passed_on(given)))

    def _note(self, output: Output) -> None:
        self.asks = self.asks or (output.call is not None and output.call.awaited)

    def _new_id(self, native: str | None) -> str:
        """Our id of a call: the provider's own, unless that is missing or another call's."""
        made = native or f"call_{len(self._ids)}"
        if made in self._ids:
            made = f"{made}_{len(self._ids)}"
        self._ids[native or made] = self._ids[made] = made
        return made
