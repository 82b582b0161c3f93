"""Tool calls of a Responses stream: functions, custom tools, and all that the API runs by itself or has run by us.

The arguments of each are passed on as JSON text, whatever the wire makes of them: a custom tool's input, which is free
text, as a JSON string; the code of the code interpreter as `{"code": …}`; what a search or a shell was asked as is.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from ..events import File, ToolArguments, ToolCall, ToolResult
from .responses_items import Said
from .responses_wire import OutputItem
from .upstream import Item


class _Shape(NamedTuple):
    """How text that comes in increments becomes JSON text, increment by increment."""

    before: str
    written: Callable[[str], str]
    after: str


def _escaped(text: str) -> str:
    return msgspec.json.encode(text)[1:-1].decode()


_JSON = _Shape("", str, "")
_STRING = _Shape('"', _escaped, '"')
_CODE = _Shape('{"code":"', _escaped, '"}')


class _Kind(NamedTuple):
    """A type of tool call.

    Attributes:
        name: Of the tool; None where each call names its own.
        asked: The field with what the tool is to do.
        answered: The field with what came of it; None where the result is an item of its own, or the caller's to give.
        provider_run: Whether the provider runs it; None where each call says so.
        shape: Of what is asked.
    """

    name: str | None
    asked: str
    answered: str | None
    provider_run: bool | None
    shape: _Shape = _JSON


KINDS = {
    "function_call": _Kind(None, "arguments", None, False),
    "custom_tool_call": _Kind(None, "input", None, False, _STRING),
    "mcp_call": _Kind(None, "arguments", "output", True),
    "code_interpreter_call": _Kind("code_interpreter", "code", "outputs", True, _CODE),
    "program": _Kind("program", "code", None, True, _CODE),
    "web_search_call": _Kind("web_search", "action", "action", True),
    "file_search_call": _Kind("file_search", "queries", "results", True),
    "image_generation_call": _Kind("image_generation", "revised_prompt", "result", True),
    "tool_search_call": _Kind("tool_search", "arguments", None, None),
    "shell_call": _Kind("shell", "action", None, None),
    "local_shell_call": _Kind("local_shell", "action", None, False),
    "apply_patch_call": _Kind("apply_patch", "operation", None, False),
    "computer_call": _Kind("computer", "action", None, False),
}

# Results that are items of their own, and their field with the result.
OUTPUTS = {
    "function_call_output": "output",
    "custom_tool_call_output": "output",
    "program_output": "result",
    "tool_search_output": "tools",
    "shell_call_output": "output",
    "local_shell_call_output": "output",
    "apply_patch_call_output": "output",
    "computer_call_output": "output",
}

# Of a web search's action: what was found, and not what was asked.
_FOUND = "sources"


class Call:
    """One tool call.

    Args:
        kind: A key of `KINDS`.
        ids: Gives our id for the provider's, which may be missing or another call's.
        number: Gives the next free number of a part.

    Attributes:
        awaited: It has begun, and the caller is to run it.
    """

    def __init__(self, kind: str, ids: Callable[[str | None], str], number: Callable[[], int]) -> None:
        self.awaited = False
        self._kind = KINDS[kind]
        self._ids = ids
        self._number = number
        self._call: str | None = None
        self._said = Said()
        self._opened = self._closed = False

    def begin(self, item: OutputItem, batch: list[Item]) -> None:
        """Pass on that it begins, as soon as its name is known, and what was said of it before."""
        name = self._kind.name or item.name
        if self._call is not None or not name:
            return
        provider_run = _is_provider_run(self._kind, item)
        self.awaited = not provider_run
        self._call = self._ids(item.call_id or item.id)
        batch.append(ToolCall(self._call, name, part=self._number(), provider_run=provider_run))
        self._write(self._said.text, batch)

    def delta(self, text: str, batch: list[Item]) -> None:
        self._said.add(text)
        self._write(text, batch)

    def whole(self, text: str, batch: list[Item]) -> None:
        """Pass on what is missing of what is asked."""
        self._write(self._said.add_missing(text), batch)

    def end(self, item: OutputItem, batch: list[Item]) -> None:
        """Pass on what is missing of it, and the result if the item has it."""
        if self.close(item, batch, whole=item.status != "incomplete") and self._kind.answered is not None:
            batch.extend(_answers(self._call or "", item, getattr(item, self._kind.answered)))

    def close(self, item: OutputItem, batch: list[Item], *, whole: bool) -> bool:
        """Nothing more will come of what is asked; when nothing has, a `whole` call asks for nothing.

        Returns:
            False when it was closed before or never began.
        """
        self.begin(item, batch)
        if self._call is None or self._closed:
            return False
        self._write(self._said.add_missing(_asked(self._kind, item)), batch)
        self._closed = True
        shape = self._kind.shape
        if self._opened:
            self._say(shape.after, batch)
        elif whole:
            self._say(shape.before + shape.after or "{}", batch)
        return True

    def _write(self, text: str, batch: list[Item]) -> None:
        if text and self._call is not None:
            shape = self._kind.shape
            before = "" if self._opened else shape.before
            self._opened = True
            self._say(before + shape.written(text), batch)

    def _say(self, text: str, batch: list[Item]) -> None:
        if text and self._call is not None:
            batch.append(ToolArguments(call=self._call, text=text))


def result(call: str, item: OutputItem) -> ToolResult:
    """The result that an item of `OUTPUTS` is."""
    return _result(call, item, getattr(item, OUTPUTS[item.type]))


def _is_provider_run(kind: _Kind, item: OutputItem) -> bool:
    if kind.provider_run is not None:
        return kind.provider_run
    place = item.environment.get("type") if isinstance(item.environment, dict) else None
    return item.execution == "server" or place not in (None, "local")


def _asked(kind: _Kind, item: OutputItem) -> str:
    """What the tool is to do, as the shape of its kind has it."""
    value = getattr(item, kind.asked)
    if isinstance(value, str) and kind.asked != "revised_prompt":
        return value
    if value is None:
        return "" if item.actions is None else _json({"actions": item.actions})
    if not isinstance(value, dict):
        return _json({kind.asked: value})
    if kind.asked == kind.answered:
        value = {name: asked for name, asked in value.items() if name != _FOUND}
    return _json(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _answers(call: str, item: OutputItem, answer: Any) -> Iterator[Item]:
    """The result of a tool that the provider has run, and the files it made."""
    if item.type == "image_generation_call":
        if isinstance(answer, str) and answer:
            kind = item.output_format or "png"
            yield File("image/svg+xml" if kind == "svg" else f"image/{kind}", data=answer)
        answer = None
    elif item.type == "web_search_call":
        answer = answer.get(_FOUND) if isinstance(answer, dict) else None
    elif item.type == "code_interpreter_call" and isinstance(answer, list):
        images = [output for output in answer if _is_image(output)]
        yield from (File("image/png", url=image["url"]) for image in images)
        answer = [output for output in answer if output not in images]
    yield _result(call, item, answer)


def _is_image(output: Any) -> bool:
    return isinstance(output, dict) and output.get("type") == "image" and isinstance(output.get("url"), str)


def _result(call: str, item: OutputItem, answer: Any) -> ToolResult:
    content = next((value for value in (item.error, answer) if value is not None), {"status": item.status})
    return ToolResult(call, content, is_error=item.error is not None or item.status in ("failed", "incomplete"))
