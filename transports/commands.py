"""What a two-way client may send, as types; and its replies."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limit

from realtime.errors import RealtimeError
from realtime.request import StartRequest
from realtime.strict import convert

from .options import ObserveOptions

Ref = Annotated[str, Limit(max_length=64)] | int | None
Generation = Annotated[str, Limit(pattern=r"^[0-9a-f]{32}(?!\n)$")]
# Printable ASCII: it travels in a header too.
IDEMPOTENCY_KEY_FORM = r"^[!-~]{1,255}(?!\n)$"


class _Command(msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True):
    ref: Ref = None


class StartCommand(
    ObserveOptions, frozen=True, tag_field="type", tag="start", forbid_unknown_fields=True, kw_only=True
):
    """Start a generation, and observe it unless told not to."""

    request: StartRequest
    ref: Ref = None
    observe: bool = True
    idempotency_key: Annotated[str, Limit(pattern=IDEMPOTENCY_KEY_FORM)] | None = None


class ObserveCommand(
    ObserveOptions, frozen=True, tag_field="type", tag="observe", forbid_unknown_fields=True, kw_only=True
):
    """Observe a generation on this socket; a second one of the same generation moves the place."""

    generation: Generation
    ref: Ref = None


class UnobserveCommand(_Command, frozen=True, tag="unobserve", kw_only=True):
    """Stop observing; nothing of the generation comes after the reply."""

    generation: Generation


class StopCommand(_Command, frozen=True, tag="stop", kw_only=True):
    """End a generation."""

    generation: Generation


class PingCommand(_Command, frozen=True, tag="ping"):
    """Ask for an answer."""


Command = StartCommand | ObserveCommand | UnobserveCommand | StopCommand | PingCommand


def read_command(message: Any) -> Command:
    """Make a command of a decoded message.

    Raises:
        RealtimeError: `bad_request` naming the field.
    """
    if not isinstance(message, dict):
        raise RealtimeError("bad_request", "A command is an object with a type.", field="type")
    kinds = "start, observe, unobserve, stop, ping"
    if message.get("type") not in kinds.split(", "):
        raise RealtimeError("bad_request", f"type is one of {kinds}.", field="type")
    command: Command = convert(message, Command)  # type: ignore[arg-type]  # a union is a type to msgspec
    if isinstance(command, StartCommand | ObserveCommand):
        command.cursor(), command.bucket()
    return command


def ref_of(message: Any) -> str | int | None:
    """The `ref` of a message that may be no valid command, to answer it by."""
    ref = message.get("ref") if isinstance(message, dict) else None
    known = (isinstance(ref, int) and not isinstance(ref, bool)) or (isinstance(ref, str) and len(ref) <= 64)
    return ref if known else None
