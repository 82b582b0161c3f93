"""From a generator that blocks to a task that must not: a thread of its own, and a bounded hand-over between the two.

A thread from a shared pool would let a few blocking generators starve all others, so each has one, for as long as it
runs. What stops a generator is its own next yield: a thread cannot be interrupted inside it.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncGenerator, Generator
from contextlib import closing, suppress
from typing import Generic, TypeVar

_logger = logging.getLogger("realtime")

# Items between a thread and the loop: enough that a wake-up is shared by many, little enough to be no memory.
BOUND = 1024
# What leaving waits for the thread; one that is busy for longer is left behind.
_MOMENT_S = 0.25

T = TypeVar("T")


async def threaded(source: Generator[T, None, None], name: str) -> AsyncGenerator[list[T], None]:
    """Run `source` in a daemon thread called `name`, and give what it yields, as much at once as there is.

    An error of the generator is raised here after all that it yielded before. It is closed in its thread.
    """
    handover: _Handover[T] = _Handover(asyncio.get_running_loop())
    threading.Thread(target=_iterate, args=(source, handover), name=name, daemon=True).start()
    try:
        while batch := await handover.take():
            yield batch
    finally:
        await handover.close(name)


def _iterate(source: Generator[T, None, None], handover: "_Handover[T]") -> None:
    """In the thread: hand over what the generator yields, until it ends or nobody wants more."""
    try:
        with closing(source):
            for item in source:
                if not handover.put(item):
                    break
    except BaseException as error:  # noqa: BLE001 - it is raised again, in the session's task.
        handover.end(error)
    else:
        handover.end(None)


class _Handover(Generic[T]):
    """A bounded queue from one thread to one task that wakes the task once for all that has gathered.

    The task is woken only when it said that it waits, which it does on finding nothing: so the first item goes at
    once, and of a thousand rows in a row one wakes the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: deque[T] = deque()
        self._room = threading.Condition()
        self._waiting = self._closed = self._ended = False
        self._error: BaseException | None = None
        self._wake = asyncio.Event()
        self._thread_ended = asyncio.Event()

    def put(self, item: T) -> bool:
        """In the thread: wait for room, and hand over; False when nobody wants more."""
        with self._room:
            while len(self._items) >= BOUND and not self._closed:
                self._room.wait()
            if self._closed:
                return False
            self._items.append(item)
            if self._waiting:
                self._waiting = False
                self._loop.call_soon_threadsafe(self._wake.set)
        return True

    def end(self, error: BaseException | None) -> None:
        """In the thread, last: there is no more, because of `error` if it is one."""
        with self._room:
            self._ended, self._error = True, error
            unseen = error if self._closed else None
        if unseen is not None:
            _logger.error("a generator failed after it was closed", exc_info=unseen)
        # The loop may be gone when a generator was stuck for long.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._note_end)

    async def take(self) -> list[T]:
        """All that has gathered, after waiting for something; nothing at the end."""
        while True:
            with self._room:
                gathered, ended = list(self._items), self._ended
                self._items.clear()
                self._room.notify()
                self._waiting = not gathered and not ended
                if self._waiting:
                    self._wake.clear()
            if gathered:
                if len(gathered) >= BOUND:
                    # A thread that is faster than its reader must not keep the loop to itself through it.
                    await asyncio.sleep(0)
                return gathered
            if ended:
                self._raise_error()
                return []
            await self._wake.wait()

    async def close(self, name: str) -> None:
        """Want no more, and see the thread off if it ends in a moment."""
        with self._room:
            self._closed, self._waiting = True, False
            self._items.clear()
            self._room.notify()
        try:
            async with asyncio.timeout(_MOMENT_S):
                await self._thread_ended.wait()
        except TimeoutError:
            _logger.warning("the thread of %s is still running; it ends at the next yield", name)

    def _note_end(self) -> None:
        self._thread_ended.set()
        self._wake.set()

    def _raise_error(self) -> None:
        # Let go of it: an exception that is held by what its own traceback holds is freed late.
        error, self._error = self._error, None
        if isinstance(error, Exception):
            raise error
        if error is not None:
            # `sys.exit` in a generator is its failure, not the server's end.
            raise RuntimeError(f"The generator raised {type(error).__name__}.") from error
