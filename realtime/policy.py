"""What the server allows, and what it does where a request is silent. Every bound has its default here."""

from typing import Literal

import msgspec

from .errors import RealtimeError
from .media import MAX_MEDIA_BYTES
from .provider_tools import ALLOWED
from .request import DeadlinesRequest, StartRequest


class Deadlines(msgspec.Struct, frozen=True):
    """Seconds after which a generation fails with the matching `timeout_…`; nothing waits for ever.

    Attributes:
        connect_s: Until the provider's socket is open.
        first_event_s: Until the first content; reasoning models are silent for minutes.
        idle_s: Between two reads from the provider, keep-alives included.
        total_s: For all of it.
    """

    connect_s: float = 10.0
    first_event_s: float = 300.0
    idle_s: float = 120.0
    total_s: float = 1800.0

    def shortened(self, asked: DeadlinesRequest) -> "Deadlines":
        """These deadlines, where a request asks for less.

        Raises:
            RealtimeError: `bad_request` when it asks for more.
        """
        values = {}
        for name in ("connect", "first_event", "idle", "total"):
            limit: float = getattr(self, f"{name}_s")
            value: float | None = getattr(asked, name)
            if value is not None and value > limit:
                field = f"deadlines.{name}"
                raise RealtimeError("bad_request", f"{field} is at most {limit:g} s here.", field=field, limit=limit)
            values[f"{name}_s"] = limit if value is None else value
        return Deadlines(**values)

    def within(self, other: "Deadlines") -> "Deadlines":
        """The shorter of the two, each."""
        return Deadlines(*map(min, msgspec.structs.astuple(self), msgspec.structs.astuple(other)))


class Policy(msgspec.Struct, frozen=True):
    """Server-wide rules for starting generations.

    Attributes:
        on_disconnect: What happens when the last observer has been gone for `grace_s`.
        max_live: Generations driven at once; one more is refused as `overloaded`.
        max_prompt_chars: Characters of all text in a prompt.
        max_media_bytes: Of all images and files in a prompt, decoded.
        provider_tools: Patterns of the types of tools that callers may have a provider run; see `check_provider_tools`.
    """

    deadlines: Deadlines = Deadlines()
    on_disconnect: Literal["stop", "continue"] = "stop"
    grace_s: float = 60.0
    max_live: int = 1000
    max_prompt_chars: int = 1_000_000
    max_media_bytes: int = MAX_MEDIA_BYTES
    provider_tools: tuple[str, ...] = ALLOWED

    def grace(self, request: StartRequest) -> float | None:
        """Seconds without an observer after which this generation is stopped; None for never."""
        if (request.on_disconnect or self.on_disconnect) == "continue":
            return None
        return self.grace_s if request.grace is None else request.grace
