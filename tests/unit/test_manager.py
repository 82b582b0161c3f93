"""Starting, finding, stopping: who may, what is refused, and that every ending is settled once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from realtime.bus.memory import MemoryBus
from realtime.bus.retention import Retention
from realtime.catalogue import Catalogue
from realtime.cursor import Cursor
from realtime.errors import RealtimeError
from realtime.events import Data, Finished, Summary, Text, Usage
from realtime.hooks import GenerationEnded, GenerationStarted, Record, StopRequested
from realtime.log import EventLog
from realtime.manager import SessionManager
from realtime.message import Message
from realtime.policy import Deadlines, Policy
from realtime.principal import ANONYMOUS, Principal
from realtime.prompt import Prompt
from realtime.providers.base import Ended
from realtime.providers.generator import GeneratorProvider
from realtime.request import DeadlinesRequest, StartRequest

from .scripted import ScriptedProvider


def request(**fields: object) -> StartRequest:
    """A request for the scripted provider."""
    return StartRequest(**{"model": "demo/default", "prompt": "hello", **fields})  # type: ignore[arg-type]


class Fixture:
    """A manager over a scripted provider, and everything its hooks heard."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.provider = ScriptedProvider()
        self.records: list[Record] = []
        self.finished: asyncio.Queue[tuple[Summary, Message]] = asyncio.Queue()
        self.sessions = SessionManager(
            {"demo": self.provider}, policy=policy, hooks=[self.records.append], on_finished=self._on_finished
        )

    async def _on_finished(self, summary: Summary, message: Message) -> None:
        self.finished.put_nowait((summary, message))

    async def start(self, principal: Principal = ANONYMOUS, key: str | None = None, **fields: object) -> str:
        """Start a generation; its id."""
        started = await self.sessions.start(principal, request(**fields), idempotency_key=key)
        return started.log.meta.generation

    async def refusal(self, **fields: object) -> RealtimeError:
        """What a start is refused with."""
        with pytest.raises(RealtimeError) as caught:
            await self.sessions.start(ANONYMOUS, request(**fields))
        return caught.value


@pytest.fixture
async def fixture() -> AsyncIterator[Fixture]:
    """A manager that is closed afterwards."""
    made = Fixture()
    yield made
    await made.sessions.close()


async def test_an_end_is_settled_once_with_the_whole_message(fixture: Fixture) -> None:
    """on_finished gets the summary and the assembled message; the hooks their frozen records."""
    generation = await fixture.start(metadata={"tag": 1}, conversation="c")
    fixture.provider.put([Text("Hel"), Text("lo"), Usage(1, 2), Ended("stop")])
    summary, message = await asyncio.wait_for(fixture.finished.get(), 20)
    assert message.text == "Hello"
    assert (summary.generation, summary.metadata, summary.conversation) == (generation, {"tag": 1}, "c")
    assert await fixture.sessions.tasks.drain(20)
    assert [type(r) for r in fixture.records if isinstance(r, GenerationStarted | GenerationEnded)] == [
        GenerationStarted,
        GenerationEnded,
    ]
    assert fixture.sessions.statistics().live == 0
    assert fixture.finished.empty()


async def test_before_start_may_change_or_refuse() -> None:
    """A hook of the application sees every start before it is admitted."""

    async def before(principal: Principal, asked: StartRequest) -> StartRequest | None:
        if asked.prompt == "bad":
            raise RealtimeError("forbidden", "Not that.")
        return StartRequest(model=asked.model, prompt="changed") if asked.prompt == "change" else None

    provider = ScriptedProvider()
    sessions = SessionManager({"demo": provider}, before_start=before)
    with pytest.raises(RealtimeError, match="Not that"):
        await sessions.start(ANONYMOUS, request(prompt="bad"))
    await sessions.start(ANONYMOUS, request(prompt="change"))
    await asyncio.wait_for(provider.opened.wait(), 20)
    assert provider.prompt is not None
    assert provider.prompt.messages[0].content == "changed"
    await sessions.close()


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"model": "nobody/default"}, "bad_request", "model"),
        ({"prompt": None}, "bad_request", "messages"),
        ({"prompt": " "}, "bad_request", "prompt"),
        ({"options": {"refused": 1}}, "bad_request", "options.refused"),
        ({"prompt": "x" * 101}, "too_large", "prompt"),
        ({"metadata": {"a": "x" * 5000}}, "too_large", "metadata"),
        ({"deadlines": DeadlinesRequest(total=7200)}, "bad_request", "deadlines.total"),
    ],
)
async def test_a_refused_start_names_the_field(fields: dict[str, object], code: str, field: str) -> None:
    """And leaves nothing behind."""
    fixture = Fixture(Policy(max_prompt_chars=100))
    error = (await fixture.refusal(**fields)).error
    assert (error.code, error.field) == (code, field)
    assert not (await fixture.sessions.page(ANONYMOUS, None, 9)).logs


async def test_a_full_server_refuses_and_says_when() -> None:
    """overloaded with a limit and a time to come back; a drained one says draining."""
    fixture = Fixture(Policy(max_live=1))
    await fixture.start()
    error = (await fixture.refusal()).error
    assert (error.code, error.limit) == ("overloaded", 1)
    assert error.retry_after_s is not None
    await fixture.sessions.close()
    assert (await fixture.refusal()).code == "draining"


async def test_a_repeat_is_the_first(fixture: Fixture) -> None:
    """The same key gives the same generation; the provider is called once."""
    first = await fixture.start(key="k")
    started = await fixture.sessions.start(ANONYMOUS, request(stream=True), idempotency_key="k")
    assert (started.log.meta.generation, started.replayed) == (first, True)
    with pytest.raises(RealtimeError) as caught:
        await fixture.sessions.start(ANONYMOUS, request(prompt="other"), idempotency_key="k")
    assert caught.value.code == "idempotency_mismatch"


async def test_a_repeat_is_found_when_nothing_can_be_started() -> None:
    """A client that lost its answer finds its generation on a full server, and on one that drains."""
    fixture = Fixture(Policy(max_live=1))
    first = await fixture.start(key="k")
    fixture.sessions.draining = True
    assert await fixture.start(key="k") == first
    assert (await fixture.refusal()).code == "draining"
    await fixture.sessions.close()


async def test_a_repeat_is_of_what_was_sent() -> None:
    """A before_start that changes every request does not make a repeat another one."""
    count = 0

    async def before(principal: Principal, asked: StartRequest) -> StartRequest:
        nonlocal count
        count += 1
        return request(prompt=f"changed {count}")

    sessions = SessionManager({"demo": ScriptedProvider()}, before_start=before)
    first = await sessions.start(ANONYMOUS, request(), idempotency_key="k")
    again = await sessions.start(ANONYMOUS, request(), idempotency_key="k")
    assert (again.replayed, again.log) == (True, first.log)
    await sessions.close()


async def test_many_replacements_at_once_leave_one(fixture: Fixture) -> None:
    """Each stops the one before it; none is told that the conversation is busy."""
    await fixture.start(conversation="c")
    made = await asyncio.gather(*(fixture.start(conversation="c", if_busy="replace") for _ in range(4)))
    logs = await fixture.sessions.conversation(ANONYMOUS, "c")
    assert len(made) == 4
    assert [log.finished is None for log in logs] == [False] * 4 + [True]


async def test_a_replacement_does_not_outlive_a_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits for its predecessor to end starts nothing when the server drains meanwhile."""
    monkeypatch.setattr("realtime.sessions._CLOSE_S", 0.1)
    fixture = Fixture()
    fixture.provider.stuck = 1
    first = await fixture.start(conversation="c")
    await asyncio.wait_for(fixture.provider.opened.wait(), 20)
    log = await fixture.sessions.find(ANONYMOUS, first)
    replacing = asyncio.ensure_future(fixture.refusal(conversation="c", if_busy="replace"))
    asyncio.get_running_loop().call_soon(lambda: setattr(fixture.sessions, "draining", True))
    assert (await asyncio.wait_for(replacing, 20)).code == "draining"
    assert log.finished is not None
    await fixture.sessions.close()


async def test_one_who_may_see_one_generation_waits_in_peace(fixture: Fixture) -> None:
    """A newer one that it does not see is no reason to wake it, again and again."""
    first = await fixture.start(conversation="c")
    await fixture.start(conversation="c", if_busy="allow")
    narrow = Principal(only=first)
    waiting = asyncio.ensure_future(fixture.sessions.wait_created(narrow, "c", first))
    for _ in range(5):
        await asyncio.sleep(0)
    await fixture.start(conversation="c", if_busy="allow")
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done
    waiting.cancel()


async def test_one_that_starts_while_it_is_looked_for_is_seen(
    fixture: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bus takes its time to look, and what starts meanwhile is not taken for one that is known."""
    bus = fixture.sessions._bus
    look, made = bus.conversation, list[str]()

    async def slowly(tenant: str, subject: str | None, name: str) -> Sequence[EventLog]:
        found = list(await look(tenant, subject, name))
        if not made:
            made.append(await fixture.start(conversation="c"))
        return found

    monkeypatch.setattr(bus, "conversation", slowly)
    await asyncio.wait_for(fixture.sessions.wait_created(ANONYMOUS, "c", None), 20)
    assert made


async def test_a_busy_conversation_rejects_replaces_or_allows(fixture: Fixture) -> None:
    """By the request's own choice; who was replaced knows it."""
    first = await fixture.start(conversation="c")
    assert (await fixture.refusal(conversation="c")).error.generation == first
    second = await fixture.start(conversation="c", if_busy="replace")
    finished = (await fixture.sessions.find(ANONYMOUS, first)).finished
    assert isinstance(finished, Finished)
    assert finished.stopped_by == "replaced"
    third = await fixture.start(conversation="c", if_busy="allow")
    logs = await fixture.sessions.conversation(ANONYMOUS, "c")
    assert [log.meta.generation for log in logs] == [first, second, third]


async def test_stop_is_idempotent_and_says_what_it_found(fixture: Fixture) -> None:
    """stopping, then finished; a stop of what ended is no error."""
    generation = await fixture.start()
    assert (await fixture.sessions.stop(ANONYMOUS, generation)).state == "stopping"
    summary, _ = await asyncio.wait_for(fixture.finished.get(), 20)
    assert summary.stopped_by == "owner"
    answer = await fixture.sessions.stop(ANONYMOUS, generation)
    assert answer.state == "finished"
    assert len([r for r in fixture.records if isinstance(r, StopRequested)]) == 1


async def test_what_is_not_yours_is_not_there(fixture: Fixture) -> None:
    """Another tenant or subject gets the same not_found as for an unknown id, on every verb."""
    alice, bob = Principal("t", "alice"), Principal("t", "bob")
    generation = await fixture.start(alice, conversation="c")
    server_key, stranger = Principal("t"), Principal("u", "alice")
    assert (await fixture.sessions.find(server_key, generation)).meta.subject == "alice"
    for other in (bob, stranger, Principal("t", "alice", only="f" * 32)):
        for verb in (fixture.sessions.find, fixture.sessions.stop, fixture.sessions.erase):
            with pytest.raises(RealtimeError) as caught:
                await verb(other, generation)
            assert caught.value.code == "not_found"
        assert not (await fixture.sessions.page(other, None, 9)).logs
        assert not await fixture.sessions.conversation(other, "c")
    await fixture.start(bob, conversation="c")


@pytest.mark.parametrize("scope", ["start", "observe", "stop", "erase"])
async def test_a_scope_that_is_missing_is_forbidden(fixture: Fixture, scope: str) -> None:
    """Each verb needs its own."""
    generation = await fixture.start()
    without = Principal(scopes=ANONYMOUS.scopes - {scope})
    sessions = fixture.sessions
    verbs: dict[str, Callable[[], Awaitable[object]]] = {
        "start": lambda: sessions.start(without, request()),
        "observe": lambda: sessions.find(without, generation),
        "stop": lambda: sessions.stop(without, generation),
        "erase": lambda: sessions.erase(without, generation),
    }
    with pytest.raises(RealtimeError) as caught:
        await verbs[scope]()
    assert caught.value.code == "forbidden"


async def test_a_live_generation_cannot_be_erased(fixture: Fixture) -> None:
    """not_finished while it runs, gone afterwards."""
    generation = await fixture.start()
    with pytest.raises(RealtimeError) as caught:
        await fixture.sessions.erase(ANONYMOUS, generation)
    assert caught.value.code == "not_finished"
    fixture.provider.put([Ended("stop")])
    await asyncio.wait_for(fixture.finished.get(), 20)
    await fixture.sessions.erase(ANONYMOUS, generation)
    with pytest.raises(RealtimeError):
        await fixture.sessions.find(ANONYMOUS, generation)


async def test_one_whom_everyone_left_is_stopped_as_disconnected() -> None:
    """The grace is over, the bus is asked, the log says who."""
    fixture = Fixture(Policy(grace_s=0.01))
    generation = await fixture.start()
    log = await fixture.sessions.find(ANONYMOUS, generation)
    fixture.sessions.observe(log, None, "sse").close("disconnected")
    summary, _ = await asyncio.wait_for(fixture.finished.get(), 20)
    assert summary.stopped_by == "disconnect"
    await fixture.sessions.close()


async def test_a_drain_lets_what_runs_finish(fixture: Fixture) -> None:
    """Within its time; and ends it as worker_shutdown after."""
    await fixture.start()
    draining = asyncio.ensure_future(fixture.sessions.drain(30))
    await asyncio.wait_for(fixture.provider.opened.wait(), 20)
    fixture.provider.put([Text("a"), Ended("stop")])
    await asyncio.wait_for(draining, 20)
    summary, _ = fixture.finished.get_nowait()
    assert summary.outcome == "completed"

    other = Fixture()
    await other.start()
    await other.sessions.drain(0)
    summary, _ = other.finished.get_nowait()
    assert summary.error is not None
    assert summary.error.code == "worker_shutdown"


async def test_any_generator_can_be_driven(fixture: Fixture) -> None:
    """An agent of one's own goes through the same sessions without being configured."""

    async def agent(prompt: Prompt) -> AsyncIterator[object]:
        yield "thinking"
        yield Data("step", {"n": 1})

    provider = GeneratorProvider(agent)
    started = await fixture.sessions.start(ANONYMOUS, request(model="agent/default"), provider=provider)
    summary, message = await asyncio.wait_for(fixture.finished.get(), 20)
    assert (summary.outcome, summary.provider) == ("completed", "agent")
    assert [part["type"] for part in message.content] == ["text", "data"]
    assert started.log.finished is not None


@pytest.mark.timeout(180)
async def test_a_million_rows_pass_through_a_window() -> None:
    """retain="window" keeps what the slowest observer still needs, however much went through."""
    rows = 1_000_000

    async def query(prompt: Prompt) -> AsyncIterator[object]:
        for number in range(rows):
            yield {"row": number}

    bus = MemoryBus(Retention(window_events=500))
    sessions = SessionManager({"rows": GeneratorProvider(query)}, bus=bus, policy=Policy(Deadlines()))
    started = await sessions.start(ANONYMOUS, request(model="rows/default", retain="window"))
    log = started.log
    observation = sessions.observe(log, Cursor(log.epoch, 0), "test")
    seen, most = 0, 0
    while not observation.done:
        await observation.changed()
        entries = log.since(observation.seq)
        most = max(most, log.head - log.trimmed)
        seen += sum(isinstance(entry.event, Data) for entry in entries)
        observation.move(log.head)
    assert seen == rows
    assert most < 2000
    await sessions.close()


async def test_new_settings_wait_for_a_start_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that replaces another generation is under way; what it will be driven by is closed after it."""
    monkeypatch.setattr("realtime.sessions._CLOSE_S", 0.2)
    released = asyncio.Event()

    class Noting(ScriptedProvider):
        async def close(self) -> None:
            released.set()

    old = Noting([Text("a")])
    sessions = SessionManager({"demo": old})
    first = (await sessions.start(ANONYMOUS, request(conversation="c"))).log
    await first.wait(2)
    old.stuck = 1
    starting = asyncio.create_task(sessions.start(ANONYMOUS, request(conversation="c", if_busy="replace")))
    # Until it waits, which is as far as it comes.
    for _ in range(10):
        await asyncio.sleep(0)
    assert first.stopping
    assert first.finished is None
    sessions.replace_catalogue(Catalogue.of({"demo": ScriptedProvider()}))
    second = (await asyncio.wait_for(starting, 20)).log
    old.stuck = 0
    await asyncio.wait_for(second.wait(1), 20)
    assert not released.is_set()
    await sessions.stop(ANONYMOUS, second.meta.generation)
    await asyncio.wait_for(released.wait(), 20)
    await sessions.close()
    # What would not close is left to itself by its session, and here it would be for an hour.
    (left,) = [task for task in asyncio.all_tasks() if task.get_name().startswith("drive ")]
    old.stuck = 1
    left.cancel()
    await asyncio.wait({left}, timeout=20)
