"""The seam between a session and a model API.

A provider's raw items are chunks, and chunks never leave its module: what comes out are events. They come in batches,
one per read of the provider's socket, because a batch costs one wake-up of the driver and a token each would cost many.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from ..events import Content, Reason, Usage
from ..policy import Deadlines
from ..prompt import Prompt


class Ended(msgspec.Struct, frozen=True):
    """The provider's own terminal event was seen; without it the end of a stream is a failure.

    Attributes:
        unknown: How often something came that has no name here, by kind: an operator should see a wire change.
    """

    reason: Reason
    native_reason: str | None = None
    unknown: Mapping[str, int] = {}


# What a stream gives: content, usage as far as it is known (`estimated` while the provider has not said its last
# word), and `Ended`, last. An empty batch is a sign of life, such as a keep-alive.
Batch = Sequence[Content | Usage | Ended]
Take = Callable[[Batch], Awaitable[None] | None]
"""Is given each batch. What it returns, if anything, is to be awaited before more is read; what it raises ends it."""


class ProviderStream(Protocol):
    """One answer, on its way.

    It is pushed and not iterated over: from a socket a batch comes to the log within the call that read it, where to
    wake a task for each token would cost more than all the rest of its way.
    """

    async def run(self, take: Take) -> None:
        """Give every batch to `take`, in order, until `Ended` was given or the provider broke off. Called once.

        Raises:
            RealtimeError: What went wrong upstream, after all that came before it was given.
        """
        ...


class Provider(Protocol):
    """One model API under one alias.

    Every method raises only `RealtimeError`; foreign exceptions are mapped inside, and their text stays there.
    """

    def check(self, prompt: Prompt) -> None:
        """Refuse what this provider cannot honour, before anything is started.

        Raises:
            RealtimeError: `bad_request` naming the option.
        """
        ...

    def open(self, prompt: Prompt, deadlines: Deadlines) -> AbstractAsyncContextManager[ProviderStream]:
        """Make the request. Leaving the context closes the upstream connection, at whatever point that happens.

        Args:
            deadlines: The session keeps them all but `connect_s`, which only the provider can see.
        """
        ...

    async def models(self) -> Sequence[str]:
        """Names of its models, without the alias; empty when it cannot be asked."""
        ...

    async def close(self) -> None:
        """Release its connections."""
        ...
