"""A blocking generator in a thread of its own: order, bounds, wake-ups, and every way it can end."""

import asyncio
import itertools
import logging
import threading
from collections.abc import Generator, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from realtime.providers.handover import BOUND, threaded


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Every thread a test started ends with it."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


def endless() -> Generator[str, None, None]:
    while True:
        yield "more"


async def test_what_is_yielded_arrives_in_order_with_few_wake_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items are handed over together: the loop is woken far less often than there are items."""
    loop = asyncio.get_running_loop()
    wake, wakes = loop.call_soon_threadsafe, itertools.count()

    def counted(*args: Any, **more: Any) -> Any:
        next(wakes)
        return wake(*args, **more)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    async with aclosing(threaded((n for n in range(20_000)), "rows")) as batches:
        assert [item async for batch in batches for item in batch] == list(range(20_000))
    assert next(wakes) < 2_000


async def test_the_first_item_goes_at_once() -> None:
    """It arrives while the generator is still busy with the second."""
    received = threading.Event()

    def two() -> Generator[str, None, None]:
        yield "first"
        yield "second" if received.wait(30) else "too late"

    async with aclosing(threaded(two(), "two")) as batches:
        assert await anext(batches) == ["first"]
        received.set()
        assert await anext(batches) == ["second"]


async def test_a_thread_waits_for_its_reader() -> None:
    """A reader that does not come back keeps the generator at a bound, and one that does finds no hole."""
    made, at_bound = 0, threading.Event()

    def rows() -> Generator[int, None, None]:
        nonlocal made
        for made in range(100_000):
            if made == BOUND + 1:
                at_bound.set()
            yield made

    async with aclosing(threaded(rows(), "rows")) as batches:
        taken = len(await anext(batches))
        assert await asyncio.to_thread(at_bound.wait, 5)
        # What it could make beyond the bound by now it has made: it is given the processor for a while.
        await asyncio.to_thread(threading.Event().wait, 0.1)
        assert made <= taken + BOUND
        following = await anext(batches)
        assert len(following) <= BOUND
        assert following == list(range(taken, taken + len(following)))
    assert made < 100_000


async def test_an_error_comes_after_what_was_yielded_before_it() -> None:
    """The very exception of the generator is raised, in its turn."""
    error = ZeroDivisionError("by user code")

    def failing() -> Generator[str, None, None]:
        yield "before"
        raise error

    async with aclosing(threaded(failing(), "failing")) as batches:
        assert await anext(batches) == ["before"]
        with pytest.raises(ZeroDivisionError) as caught:
            await anext(batches)
    assert caught.value is error


async def test_an_exit_is_a_failure_and_no_exit() -> None:
    """`sys.exit` in a generator does not end the server."""

    def leaving() -> Generator[str, None, None]:
        yield "before"
        raise SystemExit(3)

    async with aclosing(threaded(leaving(), "leaving")) as batches:
        await anext(batches)
        with pytest.raises(RuntimeError, match="raised SystemExit"):
            await anext(batches)


async def test_a_generator_is_closed_in_its_daemon_thread() -> None:
    """Leaving runs its `finally`, in the thread that ran the rest."""
    threads: list[threading.Thread] = []

    def recording() -> Generator[str, None, None]:
        threads.append(threading.current_thread())
        try:
            yield from endless()
        finally:
            threads.append(threading.current_thread())

    async with aclosing(threaded(recording(), "recording")) as batches:
        await anext(batches)
    assert len(threads) == 2
    assert threads[0] is threads[1] is not threading.current_thread()
    assert threads[0].daemon


async def test_a_thread_that_is_stuck_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    """Leaving does not wait for it; when its `next` returns the generator is closed and the thread ends."""
    stuck, closed = threading.Event(), threading.Event()

    def sticky() -> Generator[str, None, None]:
        try:
            yield "first"
            stuck.wait(30)
            yield "never seen"
        finally:
            closed.set()

    async with asyncio.timeout(2), aclosing(threaded(sticky(), "sticky")) as batches:
        await anext(batches)
    assert not closed.is_set()
    assert "the thread of sticky is still running" in caplog.text
    stuck.set()
    assert await asyncio.to_thread(closed.wait, 5)


async def test_an_error_after_the_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody reads any more, so the failure of a generator's clean-up goes to the log."""

    def failing_late() -> Generator[str, None, None]:
        try:
            yield from endless()
        finally:
            raise ZeroDivisionError

    with caplog.at_level(logging.ERROR, logger="realtime"):
        async with aclosing(threaded(failing_late(), "failing late")) as batches:
            await anext(batches)
    assert "a generator failed after it was closed" in caplog.text


def test_a_stuck_thread_may_outlive_its_loop() -> None:
    """When it comes back, the loop it would tell is gone, and that is no error."""
    stuck = threading.Event()

    def sticky() -> Generator[str, None, None]:
        yield "first"
        stuck.wait(30)

    async def leave() -> None:
        async with aclosing(threaded(sticky(), "sticky")) as batches:
            await anext(batches)

    asyncio.run(leave())
    stuck.set()
