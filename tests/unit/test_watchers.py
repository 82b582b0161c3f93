"""Telling everyone who watches: a few at once, many in batches, and less often where it takes long."""

import asyncio

import pytest

from realtime.watchers import _BATCH, _FEW, Waiter, Watchers


class Noting:
    """A watcher that notes in a common list that it was told."""

    def __init__(self, told: list["Noting"]) -> None:
        self._told = told

    def moved(self) -> None:
        """See `Watcher`."""
        self._told.append(self)


async def turns(count: int) -> None:
    """Let the loop go round that many times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_few_are_told_at_once_and_in_a_flood_once_a_turn() -> None:
    """What comes within a millisecond of the last time leaves together, a turn later."""
    watchers, told = Watchers(), list[Noting]()
    both = [Noting(told), Noting(told)]
    for watcher in both:
        watchers.add(watcher)
    watchers.tell()
    assert told == both
    for _ in range(3):
        watchers.tell()
    assert told == both
    await turns(2)
    assert told == 2 * both


async def test_many_are_told_in_the_next_turn() -> None:
    """Whoever appends does not wait for all of them."""
    watchers, told = Watchers(), list[Noting]()
    many = [Noting(told) for _ in range(_FEW + 1)]
    for watcher in many:
        watchers.add(watcher)
    watchers.tell()
    assert told == []
    await turns(2)
    assert told == many


async def test_who_has_left_is_told_no_more() -> None:
    """And leaving twice does no harm."""
    watchers, told = Watchers(), list[Noting]()
    stays, leaves = Noting(told), Noting(told)
    watchers.add(leaves)
    watchers.add(stays)
    for _ in range(2):
        watchers.remove(leaves)
    watchers.tell()
    await turns(2)
    assert told == [stays]


async def test_many_are_told_in_batches_and_others_have_their_turn_in_between() -> None:
    """What is told while a round lasts is told to all again, after it."""
    watchers, told = Watchers(), list[Noting]()
    many = [Noting(told) for _ in range(2 * _BATCH + 1)]
    for watcher in many:
        watchers.add(watcher)
    watchers.tell()
    seen = []
    while len(told) < len(many):
        await turns(1)
        seen.append(len(told))
        if len(told) == _BATCH:
            watchers.tell()
    assert {_BATCH, 2 * _BATCH, len(many)} <= set(seen)
    async with asyncio.timeout(20):
        while len(told) < 2 * len(many):
            await turns(1)
    assert told == [*many, *many]


@pytest.mark.parametrize(("lasted_s", "pauses"), [(0.0, False), (0.0009, False), (0.004, True), (5.0, True)])
async def test_a_long_round_is_followed_by_a_pause(
    lasted_s: float, *, pauses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three times its length, and of 20 ms at most: what comes meanwhile goes with the next."""
    watchers, told = Watchers(), list[Noting]()
    watchers.add(Noting(told))
    loop = asyncio.get_running_loop()
    watchers._began_s, watchers._lasted_s = loop.time(), lasted_s
    later: list[float] = []
    monkeypatch.setattr(loop, "call_later", lambda delay_s, *_: later.append(delay_s))
    watchers.tell()
    assert len(later) == pauses
    assert all(delay_s == pytest.approx(min(lasted_s * 4, 0.02), abs=0.01) for delay_s in later)


async def test_a_waiter_may_be_told_twice() -> None:
    """Its future is its own, and is done once."""
    waiter = Waiter()
    waiter.moved()
    waiter.moved()
    await waiter.future
