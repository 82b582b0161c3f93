"""The body of one response, for whoever asked: pulled piece by piece, or pushed as it arrives."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import copy_context
from typing import Any, Protocol

import httpx2

# What is held for a reader that does not come; one read of the socket may pass it (256 KiB at most).
MAX_HELD_BYTES = 64 * 1024

_EXTENSION = "realtime.body"

Feed = Callable[[bytes], Awaitable[None] | None]


class Source(Protocol):
    """What a body needs of its connection."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abort(self) -> None: ...


class Body(httpx2.AsyncByteStream):
    """See the module; it is read once, by one task.

    Args:
        source: The connection, until the last byte has come from it. It may serve another request by then.
        read_s: Seconds of silence, while somebody waits, that are too long; None for any.

    Attributes:
        timed: Somebody looks at `heard`.
        heard: The loop's time of the last sign of life, or of when somebody began to wait for it.
    """

    def __init__(self, source: Source, read_s: float | None) -> None:
        self.timed = read_s is not None
        self.heard = 0.0
        self._loop = asyncio.get_running_loop()
        self._source: Source | None = source
        self._read_s = read_s
        self._timer: asyncio.TimerHandle | None = None
        self._held = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._feed: Feed | None = None
        self._owed: Awaitable[None] | None = None
        self._whole = False
        self._error: Exception | None = None

    @property
    def over(self) -> bool:
        """Nothing more will come of its connection."""
        return self._source is None

    @property
    def held(self) -> int:
        """Bytes that came and were not taken yet."""
        return len(self._held)

    def receive(self, piece: bytes) -> None:
        """From the connection: the next bytes."""
        source = self._source
        if source is None:
            return
        feed = self._feed
        if feed is None:
            self._held += piece
            if len(self._held) > MAX_HELD_BYTES:
                source.pause()
            self.wake()
            return
        try:
            owed = feed(piece)
        except Exception as error:  # noqa: BLE001 - it is raised where the push was asked for.
            self.fail(error)
            source.abort()
            return
        if owed is not None:
            self._feed, self._owed = None, owed
            self.wake()

    def end(self) -> None:
        """From the connection: that was all of it."""
        self._whole = True
        self._part()

    def fail(self, error: Exception) -> None:
        """From the connection: that was not all, and no more will come."""
        if self._source is not None:
            self._error = error
            self._part()

    def wake(self) -> None:
        """Let whoever waits look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Wait for something to come.

        Raises:
            RuntimeError: Somebody else does.
        """
        if self._waiter is not None:
            raise RuntimeError("The response is being read by another task.")
        self._waiter = self._loop.create_future()
        if self._read_s is not None:
            self.heard = self._loop.time()
            if self._timer is None:
                self._timer = self._loop.call_later(self._read_s, self._look, self._read_s)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def check(self) -> None:
        """Once it is over: raise why it is not whole.

        Raises:
            httpx2.TransportError: The connection's fault, or it was closed; or what the feed raised.
        """
        if not self._whole:
            # Let go of it: an exception that is held by what its own traceback holds is freed late.
            error, self._error = self._error, None
            raise error or httpx2.ReadError("The response was closed.")

    async def push(self, feed: Feed) -> None:
        """Pass every read to `feed` as it arrives, what came before first; return at the end of the body.

        Nothing wakes for a read: `feed` is called by the connection, in no task, but in the context of this one. Should
        it return an awaitable, nothing is read until that is done. Whatever ends this early closes the connection.

        Raises:
            Exception: What `feed` raised; or as reading would.
        """
        # A connection's own context is that of the request which opened it.
        context = copy_context()

        def feed_in_context(piece: bytes) -> Awaitable[None] | None:
            return context.run(feed, piece)

        try:
            while not self.over or self._held:
                if self._held:
                    self._owed = feed(self._take())
                else:
                    self._feed = feed_in_context
                    await self.wait()
                self._feed = None
                await self._settle()
        finally:
            self._feed = None
            self.close()
        self.check()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while not self.over or self._held:
                if self._held:
                    yield self._take()
                else:
                    await self.wait()
            self.check()
        finally:
            self.close()

    async def aclose(self) -> None:
        """Want no more of it; an unfinished body takes its connection with it, at once."""
        self.close()

    def close(self) -> None:
        """See `aclose`."""
        if self._held:
            # Who reads on in another task must not take this for the end.
            self._held.clear()
            self._whole = False
        if isinstance(self._owed, Coroutine):
            self._owed.close()
        self._owed = None
        if self._source is not None:
            source = self._source
            self._part()
            source.abort()

    def _take(self) -> bytes:
        piece = bytes(self._held)
        self._held.clear()
        if self._source is not None:
            self._source.resume()
        return piece

    async def _settle(self) -> None:
        owed, self._owed = self._owed, None
        if owed is None:
            return
        if self._source is not None:
            self._source.pause()
        await owed
        if self._source is not None:
            self._source.resume()

    def _part(self) -> None:
        self._source = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.wake()

    def _look(self, read_s: float) -> None:
        """Look when it was last heard; a timer per read would be most of the cost of one."""
        now = self._loop.time()
        due = self.heard + read_s if self._waiter is not None else now + read_s
        if due > now:
            self._timer = self._loop.call_at(due, self._look, read_s)
        elif self._source is not None:
            source = self._source
            self.fail(httpx2.ReadTimeout(""))
            source.abort()


def body_of(response: httpx2.Response) -> Body | None:
    """The body to push, if `response` came over our transport and nobody has to decode it.

    `response.stream` is a wrapper of the client's; an extension is what survives it and both SDKs.
    """
    body = response.extensions.get(_EXTENSION)
    plain = response.headers.get("content-encoding", "identity").strip().lower() in {"", "identity"}
    return body if plain and isinstance(body, Body) else None


def extension(body: Body) -> dict[str, Any]:
    """How `body_of` finds it."""
    return {_EXTENSION: body}
