"""What a provider says to a prompt, gathered for a test."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from realtime.errors import ErrorObject, RealtimeError
from realtime.events import Event, Usage
from realtime.message import Message, assemble
from realtime.policy import Deadlines
from realtime.prompt import Message as Turn
from realtime.prompt import Prompt
from realtime.providers.base import Batch, Ended, Provider, ProviderStream

HELLO = Prompt("scripted", (Turn("user", "Hello?"),))


@dataclass
class Heard:
    """Everything a stream gave, and the error that ended it if one did."""

    batches: list[Batch] = field(default_factory=list)
    error: ErrorObject | None = None

    @property
    def events(self) -> list[Any]:
        return [item for batch in self.batches for item in batch if isinstance(item, Event)]

    @property
    def usage(self) -> list[Usage]:
        return [item for batch in self.batches for item in batch if isinstance(item, Usage)]

    @property
    def ended(self) -> list[Ended]:
        return [item for batch in self.batches for item in batch if isinstance(item, Ended)]

    @property
    def message(self) -> Message:
        return assemble(self.events)

    @property
    def code(self) -> str | None:
        return None if self.error is None else self.error.code


class _EnoughError(Exception):
    """Ends a stream that is read no further."""


async def all_of(stream: ProviderStream) -> list[Batch]:
    """All batches of a stream."""
    batches: list[Batch] = []
    await stream.run(batches.append)
    return batches


async def first(stream: ProviderStream, wanted: int = 1) -> list[Batch]:
    """The first so many batches of a stream, which is read no further."""
    batches: list[Batch] = []

    def take(batch: Batch) -> None:
        batches.append(batch)
        if len(batches) == wanted:
            raise _EnoughError

    with suppress(_EnoughError):
        await stream.run(take)
    return batches


async def hear(provider: Provider, prompt: Prompt = HELLO, deadlines: Deadlines | None = None) -> Heard:
    """Read one stream to its end, as a session does: no further than `Ended`."""
    heard = Heard()
    try:
        async with provider.open(prompt, deadlines or Deadlines()) as stream:
            await stream.run(heard.batches.append)
    except RealtimeError as error:
        heard.error = error.error
    return heard
