"""Tool calls out of the fragments of a Chat Completions stream.

By the book the `index` of a fragment names its call, and the first one brings id and name. Servers leave out the
index, the id or both, number every call 0, repeat ids, or say the name again with each fragment. What is relied on is
what they have in common: a fragment with a name begins a call unless it repeats the one at hand, and one without goes
on with a call that was begun.
"""

import msgspec

from ..events import Extra, ToolArguments, ToolCall
from .chat_wire import Fragment, Function
from .faults import from_garbage
from .lenient import passed_on
from .unknown import count
from .upstream import Item

# Characters of arguments that wait for a name. It comes with them or right behind, where it comes late at all.
_MAX_HELD = 65_536
# No model is given more tools than this at once, and each costs memory until the end.
MAX_CALLS = 1024

_NO_FUNCTION = Function()


class _Call(msgspec.Struct):
    """A tool call as far as it is known.

    Attributes:
        call: Our id of it: the provider's own, unless that is missing or another call's.
        held: Arguments that came before its name.
        spoken: Arguments were given.
    """

    call: str
    native_id: str | None
    name: str = ""
    held: str = ""
    spoken: bool = False


class Calls:
    """The calls of one answer."""

    def __init__(self, unknown: dict[str, int]) -> None:
        self._unknown = unknown
        self._at: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._all: dict[str, _Call] = {}
        self._last: _Call | None = None

    @property
    def begun(self) -> bool:
        """Whether there is any."""
        return self._last is not None

    def take(self, fragment: Fragment, batch: list[Item]) -> None:
        """Append what a fragment adds to `batch`.

        Raises:
            RealtimeError: `upstream_protocol` when there are too many, or too much of one without a name.
        """
        function = fragment.function or _NO_FUNCTION
        given = function.arguments
        if given.__class__ is dict:
            given = msgspec.json.encode(passed_on(given)).decode()
        call = self._last = self._call(fragment, function.name)
        if function.name and not call.name:
            call.name = function.name
            batch.append(ToolCall(call.call, call.name))
        if given:
            self._say(call, str(given), batch)
        elif call.name and call.held:
            self._say(call, "", batch)
        if fragment.extra_content:
            batch.append(Extra("extra_content", {"call": call.call, "value": passed_on(fragment.extra_content)}))

    def finish(self, batch: list[Item]) -> None:
        """A call without arguments takes none, which is `{}` in JSON; one without a name can be called by nobody."""
        for call in self._all.values():
            if not call.name:
                count(self._unknown, "tool_call.nameless")
            elif not call.spoken:
                self._say(call, "{}", batch)

    def _say(self, call: _Call, text: str, batch: list[Item]) -> None:
        if call.held:
            text, call.held = call.held + text, ""
        if call.name:
            call.spoken = True
            batch.append(ToolArguments(call=call.call, text=text))
            return
        if len(text) > _MAX_HELD:
            raise from_garbage("The provider sent arguments of a call without a name.")
        call.held = text

    def _call(self, fragment: Fragment, name: str | None) -> _Call:
        """The call that a fragment belongs to, which may begin with it."""
        native = str(fragment.id) if fragment.id else None
        index = fragment.index
        call = None if index is None else self._at.get(index)
        if name:
            if index is None:
                call = self._by_id.get(native or "", self._last)
            if call is None or _begins_another(call, index, native, name):
                call = self._new(native)
        elif call is None or native not in (None, call.native_id):
            # Some servers number the rest of a call unlike its beginning, others give each fragment a new id.
            call = self._by_id.get(native or "") or call or (self._last if native is None else None)
            call = call or self._new(native)
        if index is not None:
            self._at[index] = call
        return call

    def _new(self, native: str | None) -> _Call:
        if len(self._all) >= MAX_CALLS:
            raise from_garbage(f"The provider made more than {MAX_CALLS} tool calls.")
        made = native or f"call_{len(self._all)}"
        if made in self._all:
            made = f"{made}_{len(self._all)}"
        call = self._all[made] = _Call(made, native)
        if native is not None:
            self._by_id[native] = call
        return call


def _begins_another(call: _Call, index: int | None, native: str | None, name: str) -> bool:
    """Whether a fragment with a name, which its number or the lack of one gives to `call`, is a call of its own."""
    if native is not None and call.native_id is not None:
        return native != call.native_id
    return bool(call.name) and (index is None or name != call.name)
