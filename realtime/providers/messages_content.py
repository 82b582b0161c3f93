"""Content blocks of a Messages stream: how each kind begins, and what becomes of a call's arguments."""

from contextlib import suppress
from typing import Any

import msgspec

from ..events import Extra, File, Reasoning, Source, Text, ToolArguments, ToolCall, ToolResult
from .faults import from_garbage
from .lenient import any_json, passed_on, tolerant_json
from .messages_wire import Block, decode_block
from .unknown import count
from .upstream import Item

_KNOWN = frozenset({"text", "thinking", "redacted_thinking", "container_upload"})
# The wire names a file of the code execution's container by its id, and says nothing of its kind.
_ANY_FILE = "application/octet-stream"


class _Call(msgspec.Struct):
    """A tool call whose arguments are coming; `whole` are those its block began with."""

    id: str
    whole: str
    spoken: bool = False


class Blocks:
    """The blocks of one answer; it remembers the calls that are open."""

    def __init__(self, unknown: dict[str, int]) -> None:
        self._unknown = unknown
        self._calls: dict[int, _Call] = {}
        self._ids: set[str] = set()

    def begin(self, part: int, data: bytes, batch: list[Item]) -> None:
        """Append what a block begins with, which is all of it for kinds that have no deltas.

        Raises:
            RealtimeError: `upstream_protocol` when it is no block.
        """
        block = _block(data)
        match block.type:
            case "text":
                if block.text:
                    batch.append(Text(block.text, part=part))
                batch.extend(source(citation, part) for citation in block.citations or ())
            case "thinking" | "redacted_thinking":
                if block.thinking or block.signature or block.data:
                    sealed, opaque = block.signature or None, block.data or None
                    batch.append(Reasoning(block.thinking or "", part=part, signature=sealed, redacted=opaque))
            case kind if kind.endswith("tool_use"):
                self._begin_call(part, block, batch)
            case kind if kind.endswith("_tool_result"):
                content = passed_on(block.content)
                batch.append(ToolResult(block.tool_use_id, content, is_error=_is_error(block)))
                batch.extend(_files(block.content))
            case "container_upload":
                batch.append(File(_ANY_FILE, name=block.file_id))
            case kind:
                count(self._unknown, kind)
                batch.append(Extra(kind, any_json(data)))

    def say(self, part: int, text: str | None, batch: list[Item]) -> bool:
        """Append an increment of a call's arguments; False when no call is open there."""
        call = self._calls.get(part)
        if call is not None and text:
            call.spoken = True
            batch.append(ToolArguments(call=call.id, text=text))
        return call is not None

    def end(self, part: int, batch: list[Item]) -> None:
        """A call without deltas has the arguments its block began with, which are `{}` for a tool that takes none."""
        call = self._calls.pop(part, None)
        if call is not None and not call.spoken:
            batch.append(ToolArguments(call=call.id, text=call.whole))

    def end_all(self, batch: list[Item]) -> None:
        """Some servers end the message and not its blocks."""
        for part in tuple(self._calls):
            self.end(part, batch)

    def _begin_call(self, part: int, block: Block, batch: list[Item]) -> None:
        self.end(part, batch)
        given = block.input or {}
        whole = given if isinstance(given, str) else msgspec.json.encode(passed_on(given)).decode()
        call = block.id or f"call_{part}"
        if call in self._ids:
            call = f"{call}_{len(self._ids)}"
        self._ids.add(call)
        self._calls[part] = _Call(call, whole)
        batch.append(ToolCall(call, block.name, part=part, provider_run=block.type != "tool_use"))


def source(citation: Any, part: int) -> Source:
    """A citation of any kind; one of a search result that the caller gave has its place in `source`."""
    cited = citation if isinstance(citation, dict) else {}
    url, title = cited.get("url") or cited.get("source"), cited.get("title") or cited.get("document_title")
    return Source(
        url=url if isinstance(url, str) else None,
        title=title if isinstance(title, str) else None,
        part=part,
        detail=passed_on(citation),
    )


def _block(data: bytes) -> Block:
    """A block whose fields are none we know is still one of its type, and passed on as such."""
    try:
        return decode_block(data)
    except (ValueError, RecursionError):
        with suppress(ValueError, RecursionError):
            return decode_block(tolerant_json(data))
    with suppress(ValueError):
        match any_json(data):
            case {"type": str(kind)} if kind not in _KNOWN and not kind.endswith(("tool_use", "_tool_result")):
                return Block(kind)
    raise from_garbage("The provider sent a content block that is none.", data)


def _is_error(block: Block) -> bool:
    """Server tools tell a failure by the type of their content."""
    kind = block.content.get("type") if isinstance(block.content, dict) else None
    return bool(block.is_error) or (isinstance(kind, str) and kind.endswith("_error"))


def _files(content: Any) -> list[File]:
    """What code made while it ran."""
    made = content.get("content") if isinstance(content, dict) else None
    found = [item.get("file_id") for item in made if isinstance(item, dict)] if isinstance(made, list) else []
    return [File(_ANY_FILE, name=name) for name in found if isinstance(name, str)]
