"""The driver of one generation: every way it can end, and that it ends once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

import pytest

from realtime.attempts import RetryRules
from realtime.bus.base import Claim, SealResult, Writer
from realtime.bus.memory import MemoryBus
from realtime.bus.retention import Retention
from realtime.catalogue import Catalogue
from realtime.deployments import Deployment, OnStop
from realtime.errors import RealtimeError
from realtime.events import AnyEvent, Finished, Reasoning, StoppedBy, Summary, Text, Usage
from realtime.hooks import AttemptEnded, FirstEvent, Hooks, Record
from realtime.log import EventLog
from realtime.policy import Deadlines
from realtime.prompt import Message, Prompt
from realtime.providers.base import Batch, Ended, Provider
from realtime.providers.generator import GeneratorProvider
from realtime.sessions import Session

from .logs import STARTED, make_meta
from .scripted import ScriptedProvider

PROMPT = Prompt("default", (Message("user", "x" * 40),))


class Running:
    """A session in a task, and what is needed to push it about."""

    def __init__(
        self,
        writer: Writer,
        provider: Provider,
        *,
        deadlines: Deadlines | None = None,
        grace_s: float | None = None,
        on_stop: OnStop = "abort",
    ) -> None:
        self.log = writer.log
        self.records: list[Record] = []
        self.asked: asyncio.Queue[StoppedBy] = asyncio.Queue()
        # A second try is what tests/unit/test_attempts.py is about.
        catalogue = Catalogue(
            {"demo": [Deployment(provider, alias="demo", on_stop=on_stop)]}, retries=RetryRules(attempts=1)
        )
        self.session = Session(
            writer,
            catalogue.attempts("demo/default", PROMPT),
            deadlines=deadlines or Deadlines(),
            grace_s=grace_s,
            hooks=Hooks([self.records.append]),
            ask_stop=self.asked.put_nowait,
        )
        self.task = asyncio.ensure_future(self.session.run())

    async def end(self) -> Summary:
        """The summary, once it is over."""
        summary = await asyncio.wait_for(self.task, 20)
        assert summary is not None
        return summary

    def types(self) -> list[str]:
        """Types of the events of the log."""
        return [type(entry.event).__name__ for entry in self.log.since(0)]


async def make_writer(bus: MemoryBus | None = None) -> tuple[MemoryBus, Writer]:
    """A bus and a writer whose log holds `started`."""
    bus = bus or MemoryBus()
    writer = await bus.create(make_meta(), Claim())
    assert not isinstance(writer, EventLog)
    return bus, writer


async def test_a_complete_stream_completes() -> None:
    """Content in order, the provider's reason and figures, one terminal event."""
    _, writer = await make_writer()
    usage = Usage(7, 3)
    provider = ScriptedProvider([Reasoning("hm"), Text("a")], [], [Text("b"), usage, Ended("length", "max_tokens")])
    running = Running(writer, provider)
    summary = await running.end()
    assert running.types() == ["Started", "Attempt", "Reasoning", "Text", "Text", "Finished"]
    assert (summary.outcome, summary.reason, summary.native_reason) == ("completed", "length", "max_tokens")
    assert summary.usage == usage
    assert summary.events == 6
    assert provider.closed.is_set()
    assert [type(record) for record in running.records] == [FirstEvent, AttemptEnded]


async def test_an_end_without_the_terminal_event_is_a_failure() -> None:
    """A truncated stream is never a success; what was said stays, and is counted."""
    _, writer = await make_writer()
    running = Running(writer, ScriptedProvider([Text("x" * 80)], None))
    summary = await running.end()
    assert summary.error is not None
    assert summary.error.code == "upstream_truncated"
    assert summary.usage == Usage(10, 20, estimated=True)


@pytest.mark.parametrize(("deltas", "tokens"), [(["word "] * 50, 50), (["a longer piece of twenty-eight"] * 10, 75)])
async def test_an_estimate_counts_deltas_unless_they_hold_several_tokens(deltas: list[str], tokens: int) -> None:
    """A delta is a token where deltas are short, and four bytes are one where they are long."""
    _, writer = await make_writer()
    summary = await Running(writer, ScriptedProvider([Text(delta) for delta in deltas], None)).end()
    assert summary.usage == Usage(10, tokens, estimated=True)


@pytest.mark.parametrize("content", [[], [Text("partial")]], ids=["before the first token", "after it"])
async def test_a_fault_keeps_its_code(content: Sequence[Text]) -> None:
    """What the provider raises is what the log says."""
    _, writer = await make_writer()
    fault = RealtimeError("upstream_overloaded", retry_after_s=3)
    running = Running(writer, ScriptedProvider(list(content), fault))
    assert (await running.end()).error == fault.error


async def test_a_foreign_exception_is_internal_and_its_text_stays_here(caplog: pytest.LogCaptureFixture) -> None:
    """A bug shows a code to clients and its text to the log only."""
    _, writer = await make_writer()
    with caplog.at_level(logging.ERROR):
        summary = await Running(writer, ScriptedProvider(ZeroDivisionError("sk-secret"))).end()
    assert summary.error is not None
    assert summary.error.code == "internal"
    assert "secret" not in summary.error.message
    assert "ZeroDivisionError" in caplog.text


async def test_an_event_that_breaks_the_order_is_internal() -> None:
    """A provider cannot put a second start into a log."""
    _, writer = await make_writer()
    batch: list[AnyEvent] = [STARTED]
    provider = ScriptedProvider(batch)  # type: ignore[arg-type]  # the fault that is tested
    assert (await Running(writer, provider).end()).error == RealtimeError("internal").error


@pytest.mark.parametrize("when", ["queued", "starting", "streaming"])
async def test_a_stop_closes_the_provider_at_any_time(when: str) -> None:
    """Before it was called, before the first token, and in mid-stream; the text so far stays."""
    bus, writer = await make_writer()
    said: list[Batch] = [[Text("partial"), Usage(5, 1, estimated=True)]] if when == "streaming" else []
    provider = ScriptedProvider(*said)
    running = Running(writer, provider)
    if when == "starting":
        await provider.opened.wait()
    if when == "streaming":
        await writer.log.wait(2)
    await bus.stop("default", writer.log.meta.generation, "owner")
    summary = await running.end()
    assert (summary.outcome, summary.stopped_by) == ("stopped", "owner")
    assert provider.closed.is_set() == provider.opened.is_set()
    assert provider.opened.is_set() == (when != "queued")
    if when == "streaming":
        assert summary.usage == Usage(5, 1, estimated=True)


async def test_an_end_that_came_first_wins_over_a_stop() -> None:
    """What the provider completed is completed, though somebody asked at the same moment."""
    bus, writer = await make_writer()
    provider = ScriptedProvider([Text("a"), Ended("stop")])
    running = Running(writer, provider)
    await provider.closed.wait()
    await bus.stop("default", writer.log.meta.generation, "owner")
    assert (await running.end()).outcome == "completed"


async def test_many_stops_are_one() -> None:
    """The log has one end whatever the number and the kind of interruptions."""
    bus, writer = await make_writer()
    provider = ScriptedProvider()
    running = Running(writer, provider)
    await provider.opened.wait()
    for _ in range(5):
        await bus.stop("default", writer.log.meta.generation, "owner")
        running.session.shut_down()
        await asyncio.sleep(0)
    assert (await running.end()).outcome == "stopped"
    assert running.types().count("Finished") == 1


async def test_a_shutdown_is_a_failure_that_can_be_retried() -> None:
    """worker_shutdown, with what was said."""
    _, writer = await make_writer()
    provider = ScriptedProvider([Text("a")])
    running = Running(writer, provider)
    await writer.log.wait(2)
    running.session.shut_down()
    summary = await running.end()
    assert summary.error is not None
    assert (summary.error.code, summary.error.retryable) == ("worker_shutdown", True)


@pytest.mark.parametrize(
    ("deadlines", "steps", "code"),
    [
        (Deadlines(first_event_s=0.05), [], "timeout_first_event"),
        (Deadlines(first_event_s=0.05), [[], [Usage(1)]], "timeout_first_event"),
        (Deadlines(idle_s=0.05), [[Text("a")]], "timeout_idle"),
        (Deadlines(total_s=0.05), [[Text("a")]], "timeout_total"),
    ],
)
async def test_every_deadline_has_its_own_code(deadlines: Deadlines, steps: list[Batch], code: str) -> None:
    """A provider that stays silent ends the generation, and is closed."""
    _, writer = await make_writer()
    provider = ScriptedProvider(*steps)
    summary = await Running(writer, provider, deadlines=deadlines).end()
    assert summary.error is not None
    assert summary.error.code == code
    assert provider.closed.is_set()


async def test_a_provider_that_will_not_close_does_not_hold_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """User code may swallow a cancellation; the log is sealed all the same."""
    monkeypatch.setattr("realtime.sessions._CLOSE_S", 0.05)
    bus, writer = await make_writer()
    provider = ScriptedProvider([Text("a")])
    provider.stuck = 1
    running = Running(writer, provider)
    await writer.log.wait(2)
    await bus.stop("default", writer.log.meta.generation, "owner")
    assert (await running.end()).outcome == "stopped"
    assert "did not close" in caplog.text
    assert running.session._inner is not None
    running.session._inner.cancel()
    await asyncio.wait({running.session._inner})
    assert provider.closed.is_set()


async def test_the_longest_log_fails_with_its_limit() -> None:
    """log_limit is an ending like any other."""
    _, writer = await make_writer(MemoryBus(Retention(log_limit_bytes=1000)))
    provider = ScriptedProvider([Text("x" * 600)], [Text("x" * 600)])
    summary = await Running(writer, provider).end()
    assert summary.error is not None
    assert (summary.error.code, summary.error.limit) == ("log_limit", 1000)
    assert provider.closed.is_set()


async def test_an_end_that_has_no_room_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was said last is in no log: that is told as a failure, with the figures of all that was said."""
    _, writer = await make_writer()
    seal, tried = writer.seal, list[Finished]()

    async def seal_later(finished: Finished) -> SealResult:
        tried.append(finished)
        if len(tried) == 1:
            raise RealtimeError("bus_full")
        return await seal(finished)

    monkeypatch.setattr(type(writer), "seal", lambda _, finished: seal_later(finished))
    usage = Usage(input_tokens=3, output_tokens=2)
    summary = await Running(writer, ScriptedProvider([Text("a"), usage, Ended("stop")], None)).end()
    assert (summary.outcome, summary.usage) == ("failed", usage)
    assert summary.error is not None
    assert summary.error.code == "bus_full"
    assert writer.log.finished == tried[1]


async def test_one_whom_everyone_left_asks_to_be_stopped() -> None:
    """When the last of several has left, and the grace is over."""
    _, writer = await make_writer()
    running = Running(writer, ScriptedProvider([Text("a")]), grace_s=0.01)
    await writer.log.wait(2)
    for reader in ("tab", "phone"):
        writer.log.attach(reader, 0)
    alone = []
    for reader in ("tab", "phone"):
        writer.log.detach(reader)
        alone.append(running.session._presence.grace_ends_at is not None)
    assert alone == [False, True]
    assert await asyncio.wait_for(running.asked.get(), 20) == "disconnect"
    running.session.shut_down()
    await running.end()


@pytest.mark.parametrize(("grace_s", "came"), [(60.0, 0), (60.0, 2), (None, 1)])
async def test_nobody_asks_without_need(grace_s: float | None, came: int) -> None:
    """Not when nobody was ever there, when someone came back in time, or when told to continue."""
    _, writer = await make_writer()
    running = Running(writer, ScriptedProvider([Text("a")]), grace_s=grace_s)
    await writer.log.wait(2)
    for number in range(came):
        writer.log.attach(number, 0)
        if came == 1 or number == 0:
            writer.log.detach(number)
    assert running.session._presence.grace_ends_at is None
    running.session.shut_down()
    await running.end()
    assert running.asked.empty()


async def test_a_tiny_deadline_does_not_cost_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """However short the period that is asked for, deadlines are looked at a bounded number of times."""
    looks = 0
    watch = Session._watch

    def counted(session: Session) -> None:
        nonlocal looks
        looks += 1
        watch(session)

    monkeypatch.setattr(Session, "_watch", counted)
    _, writer = await make_writer()
    await Running(writer, ScriptedProvider(), deadlines=Deadlines(idle_s=1e-9, first_event_s=0.2)).end()
    assert looks < 30


async def test_waiting_for_room_is_not_the_provider_s_silence() -> None:
    """A windowed log whose reader is slow holds the generator, and no deadline is blamed on it."""
    bus = MemoryBus(Retention(window_events=2))
    writer = await bus.create(make_meta(retain="window"), Claim())
    assert not isinstance(writer, EventLog)
    writer.log.attach("slow", 0)
    said: Batch = [Text(word) for word in "abcdef"]
    running = Running(writer, ScriptedProvider(said, [Ended("stop")]), deadlines=Deadlines(idle_s=0.05))
    await writer.log.wait(7)
    done, _ = await asyncio.wait({running.task}, timeout=0.2)
    assert not done
    writer.log.detach("slow")
    assert (await running.end()).outcome == "completed"


async def test_a_generator_that_never_awaits_lets_others_run() -> None:
    """A provider whose batches are always ready does not starve the loop."""
    _, writer = await make_writer()
    provider = ScriptedProvider(*[[Text("a")]] * 1000, [Ended("stop")])
    running = Running(writer, provider)
    turns = 0
    while not running.task.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10
    assert (await running.end()).outcome == "completed"


async def test_timings_are_in_the_terminal_event() -> None:
    """The end says how long it took and when the first content came; None when none came."""
    _, writer = await make_writer()
    await Running(writer, ScriptedProvider([Ended("stop")])).end()
    finished = writer.log.finished
    assert isinstance(finished, Finished)
    assert finished.timings.first_event_ms is None
    assert finished.timings.duration_ms >= 0


async def test_a_failure_that_came_from_another_task_leaves_that_alone() -> None:
    """What it failed with is parted from its frames, and the task that goes on behind it is not closed."""
    failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    goes_on = asyncio.Event()

    async def helping() -> str:
        try:
            int("forwarded")
        except ValueError as error:
            failing.set_exception(error)
        await goes_on.wait()
        return "went on"

    async def agent(prompt: Prompt) -> AsyncIterator[str]:
        yield "a"
        await failing

    _, writer = await make_writer()
    task = asyncio.create_task(helping())
    summary = await Running(writer, GeneratorProvider(agent)).end()
    assert summary.outcome == "failed"
    goes_on.set()
    assert await task == "went on"


async def test_a_provider_that_bills_in_full_is_read_to_its_end() -> None:
    """The observers are told at once, nothing more is written, and the summary has the provider's figures."""
    bus, writer = await make_writer()
    provider = ScriptedProvider([Text("a")])
    running = Running(writer, provider, on_stop="drain")
    await writer.log.wait(2)
    await bus.stop("default", writer.log.meta.generation, "owner")
    while (finished := running.log.finished) is None:
        await writer.log.wait(writer.log.head)
    assert finished.usage.estimated
    assert not provider.closed.is_set()
    provider.put([Text("b"), Usage(9, 8), Ended("stop")])
    summary = await running.end()
    assert running.types() == ["Started", "Attempt", "Text", "Finished"]
    assert (summary.outcome, summary.usage) == ("stopped", Usage(9, 8))
    assert provider.closed.is_set()


@pytest.mark.parametrize("how", ["shutdown", "silence"])
async def test_reading_on_after_a_stop_is_bounded(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By time, and by the end of the process; the figures are then estimates."""
    monkeypatch.setattr("realtime.sessions._READ_ON_S", 0.01 if how == "silence" else 60.0)
    bus, writer = await make_writer()
    provider = ScriptedProvider([Text("a")])
    running = Running(writer, provider, on_stop="drain")
    await writer.log.wait(2)
    await bus.stop("default", writer.log.meta.generation, "owner")
    if how == "shutdown":
        running.session.shut_down()
    assert (await running.end()).usage.estimated
    assert provider.closed.is_set()


async def test_after_a_stop_nobody_else_is_asked() -> None:
    """One that is read on for its figures and fails has failed: another try would be another bill."""
    bus, writer = await make_writer()
    provider = ScriptedProvider()
    catalogue = Catalogue({"demo": [Deployment(provider, alias="demo", on_stop="drain")]})
    session = Session(
        writer,
        catalogue.attempts("demo/default", PROMPT),
        deadlines=Deadlines(),
        grace_s=None,
        hooks=Hooks(),
        ask_stop=lambda _: None,
    )
    running = asyncio.create_task(session.run())
    await provider.opened.wait()
    await bus.stop("default", writer.log.meta.generation, "owner")
    await writer.log.wait(2)
    provider.put(RealtimeError("upstream_overloaded"))
    summary = await asyncio.wait_for(running, 20)
    assert summary is not None
    assert (summary.outcome, summary.attempts) == ("stopped", 1)
