"""The seam between sessions and wherever logs are kept.

A session holds a Writer and nothing else of the bus; observers hold an `EventLog`. So a bus over a network can say
"acknowledged, then visible" without either of them knowing: `append` is a plain function that hands the event over, and
it becomes visible in the `EventLog` when it is in the log of record. In memory the two are the same moment.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import msgspec

from ..cursor import Cursor
from ..events import AnyEvent, Finished, StoppedBy
from ..log import EventLog, Meta

SealResult = Literal["won", "closed", "fenced"]


Orphaned = Callable[["Writer"], Awaitable[None]]
"""Ends a log whose own writer is gone."""


class Claim(msgspec.Struct, frozen=True):
    """What a start asks of the bus beside its log, decided in the same step.

    Attributes:
        idempotency_key: Scoped to (tenant, subject); None when the caller gave none.
        fingerprint: Digest of the request, equal for equal requests.
        exclusive: Refuse when the conversation already has an active generation.
    """

    idempotency_key: str | None = None
    fingerprint: bytes = b""
    exclusive: bool = True


class Writer(Protocol):
    """The one hand that writes a log."""

    @property
    def log(self) -> EventLog:
        """The log as observers of this process see it."""
        ...

    @property
    def written(self) -> tuple[int, int]:
        """Events and bytes of payload that were handed over, whether they are visible yet or not."""
        ...

    @property
    def stop_requested(self) -> StoppedBy | None:
        """Who asked for a stop, as far as this process knows."""
        ...

    def on_stop(self, callback: Callable[[StoppedBy], None]) -> None:
        """Call `callback` when a stop is asked for; at once if it already was."""
        ...

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call `callback` when another has the log now, and nothing more can be written; at once if it already has."""
        ...

    def append(self, event: AnyEvent, *, more: bool = False) -> int:
        """Number the event and hand it over. Never waits.

        Args:
            more: Others follow at once, and then `show`.

        Returns:
            Its number in the log, counting from 1 without a hole.

        Raises:
            ValueError: The event may not follow what is there.
            RealtimeError: `log_limit`, `bus_full`.
        """
        ...

    def show(self) -> None:
        """What was appended with more to follow is all there: let those who wait for it know."""
        ...

    def room(self) -> Awaitable[None] | None:
        """None while the log can take more; where a bound is reached, what is to be awaited before that.

        Raises:
            RealtimeError: `bus_full`, by what is awaited.
        """
        ...

    async def seal(self, finished: Finished) -> SealResult:
        """End the log with its terminal event.

        Returns:
            `won` for the one caller whose event ended the log, and only that one may settle; `closed` when another
            ended it first; `fenced` when another writer has taken the log over, or is left to.

        Raises:
            RealtimeError: `bus_full`: some of what was appended had no room, and was dropped. The log is to be sealed
                again, with that for its end.
        """
        ...


class Page(msgspec.Struct, frozen=True):
    """Logs, newest first, and the generation to continue after when there are more."""

    logs: Sequence[EventLog]
    next: str | None


class Bus(Protocol):
    """Where logs live. Every method that names a log takes the tenant too: it is part of the key, not a check after."""

    @property
    def healthy(self) -> bool:
        """Whether logs can be written and read at the moment, as far as it knows."""
        ...

    async def open(self, orphaned: Orphaned) -> None:
        """Begin; called once, before anything else.

        Args:
            orphaned: Awaited with a writer of each log whose own has died, with its process.

        Raises:
            RealtimeError: `bus_unavailable`.
        """
        ...

    async def claimed(self, tenant: str, subject: str | None, claim: Claim) -> EventLog | None:
        """The log that an earlier start with the claim's idempotency key made; None when there is none.

        Raises:
            RealtimeError: `idempotency_mismatch`.
        """
        ...

    async def create(self, meta: Meta, claim: Claim) -> Writer | EventLog:
        """Create a log with its first event, or find the one that the claim's idempotency key already made.

        Returns:
            A Writer for a new log, which holds `started`; the existing EventLog for a repeat.

        Raises:
            RealtimeError: `conversation_busy` naming the active generation, `idempotency_mismatch`, `bus_*`.
        """
        ...

    async def find(self, tenant: str, generation: str, cursor: Cursor | None = None) -> EventLog | None:
        """The log, ready to be observed; None when there is none, or no longer.

        Args:
            cursor: Where somebody was, perhaps in another process: if the log of record has that place, this has.

        Raises:
            RealtimeError: `bus_unavailable`.
        """
        ...

    async def stop(self, tenant: str, generation: str, by: StoppedBy) -> EventLog | None:
        """Ask for the end of a generation, durably; the first to ask is the one who is named.

        Returns:
            The log as it was found, or None. Asking again, or after the end, changes nothing.
        """
        ...

    async def conversation(self, tenant: str, subject: str | None, name: str) -> Sequence[EventLog]:
        """The kept logs of a conversation that a subject (None: everyone of the tenant) may see, oldest first.

        Each says how it stands, and may hold no more than its end: `find` has those that are to be read.

        Raises:
            RealtimeError: `bus_unavailable` where the state of any of them cannot be known.
        """
        ...

    async def page(self, tenant: str, subject: str | None, before: str | None, limit: int) -> Page:
        """The kept logs a subject (None: everyone of the tenant) may see, newest first; as `conversation` has them.

        Raises:
            RealtimeError: `bad_request` when `before` is no longer kept, `bus_unavailable`.
        """
        ...

    async def wait_created(self, tenant: str, subject: str | None, name: str, known: str | None) -> None:
        """Return when the newest log of a conversation is another than `known`."""
        ...

    async def erase(self, tenant: str, generation: str) -> bool:
        """Forget an ended log; False when there is none, or it has not ended."""
        ...

    async def close(self) -> None:
        """Release what the bus holds."""
        ...
