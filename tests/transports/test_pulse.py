"""One clock for all connections: heartbeats, send deadlines, ticks. Waits are for events; intervals are small."""

import asyncio

from transports.pulse import _AT_ONCE, Pulse


class Member:
    """A connection that notes what it is told."""

    def __init__(self) -> None:
        self.quiet_since_s = asyncio.get_running_loop().time()
        self.sending_since_s: float | None = None
        self.beats = 0
        self.beaten, self.slow = asyncio.Event(), asyncio.Event()

    def beat(self) -> None:
        """A heartbeat is due."""
        self.quiet_since_s = asyncio.get_running_loop().time()
        self.beats += 1
        self.beaten.set()

    def too_slow(self) -> None:
        """A write has waited too long."""
        self.slow.set()


async def until(event: asyncio.Event) -> None:
    """Wait for something that must happen."""
    async with asyncio.timeout(20):
        await event.wait()


async def test_a_quiet_connection_beats_again_and_again() -> None:
    """Each silence is counted from the last write, which a heartbeat is."""
    pulse, member = Pulse(heartbeat_s=0.02), Member()
    begun_s = member.quiet_since_s
    pulse.join(member)
    for beats in (1, 2, 3):
        await until(member.beaten)
        member.beaten.clear()
        assert member.beats >= beats
    assert asyncio.get_running_loop().time() - begun_s >= 0.06
    assert not member.slow.is_set()
    pulse.leave(member)


async def test_one_that_writes_has_no_heartbeat() -> None:
    """It beats for the quiet one beside it."""
    pulse, busy, quiet = Pulse(heartbeat_s=0.02), Member(), Member()
    busy.quiet_since_s = float("inf")
    for member in (busy, quiet):
        pulse.join(member)
    await until(quiet.beaten)
    assert (busy.beats, quiet.beats) == (0, 1)
    for member in (busy, quiet):
        pulse.leave(member)


async def test_a_write_that_waits_too_long_is_told() -> None:
    """And no heartbeat is put behind it."""
    pulse, stuck, quiet = Pulse(heartbeat_s=0.02, send_deadline_s=0.01), Member(), Member()
    stuck.sending_since_s = asyncio.get_running_loop().time()
    for member in (stuck, quiet):
        pulse.join(member)
    await until(stuck.slow)
    assert stuck.beats == 0
    assert not quiet.slow.is_set()
    for member in (stuck, quiet):
        pulse.leave(member)


async def test_a_write_within_its_deadline_is_left_alone() -> None:
    """However long the silence: it is waiting, not quiet."""
    pulse, sending, quiet = Pulse(heartbeat_s=0.02, send_deadline_s=1000), Member(), Member()
    sending.quiet_since_s -= 500
    sending.sending_since_s = sending.quiet_since_s
    for member in (sending, quiet):
        pulse.join(member)
    await until(quiet.beaten)
    assert sending.beats == 0
    assert not sending.slow.is_set()
    for member in (sending, quiet):
        pulse.leave(member)


async def test_who_left_is_not_looked_after() -> None:
    """Not even when it leaves while all are being told; leaving twice is leaving once."""
    pulse, one, two = Pulse(heartbeat_s=0.02), Member(), Member()
    pulse.join(one)
    pulse.join(one)
    pulse.join(two)
    assert len(pulse) == 2
    pulse.leave(one)
    pulse.leave(one)
    assert len(pulse) == 1
    await until(two.beaten)
    assert one.beats == 0
    pulse.leave(two)
    assert len(pulse) == 0


async def test_many_are_let_go_a_few_at_a_time() -> None:
    """Others have their turns in between; and who leaves meanwhile is told nothing."""
    pulse, loop = Pulse(send_deadline_s=0), asyncio.get_running_loop()
    many = [Member() for _ in range(3 * _AT_ONCE)]
    for member in many:
        member.sending_since_s = loop.time() - 1
        pulse.join(member)
    seen, over = list[int](), asyncio.Event()

    def note() -> None:
        seen.append(sum(member.slow.is_set() for member in many))
        if seen[-1] == _AT_ONCE:
            pulse.leave(many[-1])
        if seen[-1] < len(many) - 1:
            loop.call_soon(note)
        else:
            over.set()

    pulse._look(loop)
    note()
    await until(over)
    assert {_AT_ONCE, 2 * _AT_ONCE, 3 * _AT_ONCE - 1} <= set(seen)
    assert not many[-1].slow.is_set()


async def test_an_empty_pulse_has_no_timer_and_begins_again() -> None:
    """An idle server has nothing to wake up for."""
    pulse = Pulse(heartbeat_s=0.02)

    def waiting() -> bool:
        return pulse._next is not None and not pulse._next.cancelled()

    assert not waiting()
    for _ in range(2):
        member = Member()
        pulse.join(member)
        assert waiting()
        await until(member.beaten)
        assert waiting()
        pulse.leave(member)
        assert not waiting()


async def test_waiters_of_one_interval_wake_on_the_same_tick() -> None:
    """So that they ask for the same slice, which is then joined once."""
    pulse, woken = Pulse(), list[str]()

    async def wait(name: str, every_ms: int) -> None:
        await pulse.tick(every_ms)
        woken.append(name)

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(wait("late", 100_000))
        first = [tasks.create_task(wait(name, 50)) for name in "abc"]
        await asyncio.sleep(0)
        late, soon = (pulse._ticks[every] for every in (100_000, 50))
        assert (len(late), len(soon)) == (1, 3)
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        assert sorted(woken) == ["a", "b", "c"]
        pulse._release(100_000)
    assert woken[-1] == "late"
    assert pulse._ticks == {}


async def test_a_tick_survives_those_who_gave_up() -> None:
    """The others wake; and the next wait is for a tick of its own."""
    pulse = Pulse()
    async with asyncio.timeout(20):
        waits = [asyncio.ensure_future(pulse.tick(10)) for _ in range(3)]
        await asyncio.sleep(0)
        waits[1].cancel()
        await asyncio.wait(waits)
        assert [wait.cancelled() for wait in waits] == [False, True, False]
        await pulse.tick(10)


async def test_a_tick_takes_its_interval() -> None:
    """Not less than what was asked for."""
    pulse, loop = Pulse(), asyncio.get_running_loop()
    begun_s = loop.time()
    async with asyncio.timeout(20):
        await pulse.tick(30)
    # A timer may fire early by the clock's resolution.
    assert loop.time() - begun_s > 0.029
