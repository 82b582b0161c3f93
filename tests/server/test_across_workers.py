"""Two servers with one Redis are one server to whoever asks: starts, conversations, lists, and what is erased."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.http import HttpExchange, Response, request, start, stop
from tests.support.observer import Observer
from tests.support.pair import Pair, paired
from tests.support.parsers import NdjsonParser
from tests.support.redis_server import RedisServer
from tests.support.server import Address, RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

_ENDLESS: dict[str, Any] = {
    "model": "demo/default", "options": {"rate": 20, "tokens": 50_000}, "on_disconnect": "continue",
}  # fmt: skip
_SLOWER: dict[str, Any] = {"model": "demo/default", "options": {"rate": 200, "tokens": 20}}
_QUICK: dict[str, Any] = {"model": "demo/default", "options": {"rate": 10_000, "tokens": 3}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair() -> AsyncIterator[Pair]:
    """Two servers for all tests of the module."""
    async with RedisServer() as redis, paired(redis) as made:
        yield made


async def ask(address: Address, key: str | None = None, **body: Any) -> Response:
    """Start a generation, or be refused."""
    headers = {} if key is None else {"Idempotency-Key": key}
    return await request(address, "POST", "/v1/generations", {"prompt": "x", **body}, headers)


async def state(server: RunningServer, conversation: str) -> tuple[str | None, str | None]:
    """What a server says is active in a conversation, and the latest."""
    found = (await request(server.address, "GET", f"/v1/conversations/{conversation}")).json()
    return found["active"], found["latest"]


async def listed(server: RunningServer, query: str) -> tuple[list[str], str | None]:
    """One page of a server's list."""
    page = (await request(server.address, "GET", f"/v1/generations?{query}")).json()
    return [each["id"] for each in page["generations"]], page["next"]


async def test_a_start_is_repeated_elsewhere(pair: Pair) -> None:
    """The same key leads to the first generation in either server, and another body is refused in both."""
    first = await ask(pair.one.address, "again", **_ENDLESS)
    assert first.status == 201
    for server in (pair.one, pair.other):
        repeat = await ask(server.address, "again", **_ENDLESS)
        assert (repeat.status, repeat.headers["idempotent-replayed"]) == (200, "true")
        assert repeat.json()["id"] == first.json()["id"]
        assert (await ask(server.address, "again", **_QUICK)).json()["code"] == "idempotency_mismatch"
    await stop(pair.other.address, first.json()["id"])


async def test_starts_at_the_same_time_are_one(pair: Pair) -> None:
    """Of ten with one key, at both servers, nine are answered with the tenth's generation."""
    asked = [ask(server.address, "at-once", **_QUICK) for server in (pair.one, pair.other) for _ in range(5)]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status for answer in answers) == [200] * 9 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_starts_at_the_same_time_in_one_conversation(pair: Pair) -> None:
    """Of ten one is admitted, and the others are refused in its name, though its log is not made yet."""
    talk = {"conversation": "rush", **_ENDLESS}
    answers = await asyncio.gather(
        *(ask(server.address, **talk) for server in (pair.one, pair.other) for _ in range(5))
    )
    assert sorted(answer.status for answer in answers) == [201] + [409] * 9
    (first,) = {answer.json()["id"] for answer in answers if answer.status == 201}
    assert {answer.json()["generation"] for answer in answers if answer.status == 409} == {first}
    await stop(pair.other.address, first)


async def test_a_conversation_is_busy_elsewhere(pair: Pair) -> None:
    """What is active in one server stands in the way in the other, is replaced from there, and stopped."""
    talk = {"conversation": "busy", **_ENDLESS}
    first = await start(pair.one.address, **talk)
    for server in (pair.one, pair.other):
        refused = await ask(server.address, **talk)
        assert (refused.status, refused.json()["generation"]) == (409, first)
        assert await state(server, "busy") == (first, first)
    second = await start(pair.other.address, if_busy="replace", **talk)
    for server in (pair.one, pair.other):
        finished = (await server.finished(first)).finished
        assert finished is not None
        assert finished.stopped_by == "replaced"
        assert await state(server, "busy") == (second, second)
    stopped = await request(pair.one.address, "POST", "/v1/conversations/busy/stop")
    assert stopped.json()["id"] == second
    for server in (pair.one, pair.other):
        await server.finished(second)
        assert await state(server, "busy") == (None, second)


async def test_the_next_of_a_conversation_is_followed_elsewhere(pair: Pair) -> None:
    """One who waits for a start is given it, and one who follows has one after the other, wherever they begin."""
    waiting = asyncio.ensure_future(
        request(pair.other.address, "GET", "/v1/conversations/next/events?wait=30&wire=ndjson")
    )
    bus: Any = pair.other.sessions._bus
    while not bus._talks._waiting:  # noqa: ASYNC110 - a server has no event for "somebody waits"
        await asyncio.sleep(0)
    first = await start(pair.one.address, conversation="next", **_QUICK)
    lines = [json.loads(line) for line in (await waiting).body.splitlines()]
    assert (lines[0]["generation"], lines[-1]["type"]) == (first, "finished")


async def test_a_conversation_that_went_on_elsewhere(pair: Pair) -> None:
    """One who comes back with an old cursor has the rest of that generation, and all of those that came after it."""
    made, first = [], ""
    for _ in range(3):
        made.append(await start(pair.one.address, conversation="old", **_SLOWER))
        await pair.one.finished(made[-1])
        first = first or (await pair.one.log(made[0])).cursor.partition("-")[0]
    exchange = HttpExchange(pair.other.address)
    await exchange.ask("GET", f"/v1/conversations/old/events?wire=ndjson&follow=1&after={first}-3")
    parser, frames = NdjsonParser(), list[dict[str, Any]]()
    async with asyncio.timeout(20):
        async for data in exchange.body():
            frames += [frame.value for frame in parser.feed(data)]
            if [frame["type"] for frame in frames].count("finished") == 3:
                break
    await exchange.close()
    positions = [frame for frame in frames if frame["type"] == "position"]
    assert [(each["generation"], each["reset"]) for each in positions] == [(one, None) for one in made]
    assert [frame["type"] for frame in frames].count("text") == 3 * 20 - 1
    assert [frame["type"] for frame in frames].count("started") == 2


async def test_lists_are_the_same(pair: Pair) -> None:
    """Both servers have the same pages, newest first, of what runs and of what has ended, and of a conversation."""
    made = []
    for server in (pair.one, pair.other) * 2:
        made.append(await start(server.address, conversation="listed", **_SLOWER))
        await server.finished(made[-1])
    made.append(await start(pair.other.address, conversation="listed", **_ENDLESS))
    newest = made[::-1]
    for server in (pair.one, pair.other):
        assert (await listed(server, "limit=3"))[0] == newest[:3]
        assert await listed(server, f"limit=1&before={newest[2]}") == ([newest[3]], newest[3])
        assert (await listed(server, "conversation=listed")) == (newest, None)
        for query in ("limit=5", "conversation=listed"):
            page = (await request(server.address, "GET", f"/v1/generations?{query}")).json()
            # Nothing was trimmed of them, however little of them was read for a list.
            assert not any("trimmed" in each for each in page["generations"])
    await stop(pair.one.address, made[-1])


async def test_what_is_erased_is_gone_everywhere(pair: Pair) -> None:
    """Though it was shown there a moment ago; its key and its place in the conversation are free again."""
    generation = (await ask(pair.one.address, "erased", conversation="erased", **_QUICK)).json()["id"]
    for server in (pair.one, pair.other):
        observer = Observer(generation)
        await observer.follow(server.address, "ndjson")
        assert observer.finished
    assert (await request(pair.other.address, "DELETE", f"/v1/generations/{generation}")).status == 204
    for server in (pair.one, pair.other):
        for path in ("", "/events"):
            assert (await request(server.address, "GET", f"/v1/generations/{generation}{path}")).status == 404
        assert (await request(server.address, "DELETE", f"/v1/generations/{generation}")).status == 404
        assert generation not in (await listed(server, "limit=100"))[0]
        assert await state(server, "erased") == (None, None)
    assert (await ask(pair.one.address, "erased", **_ENDLESS)).status == 201


async def test_what_is_kept_too_long_is_gone_everywhere() -> None:
    """With its key and its place in lists, in the server that drove it too."""
    async with RedisServer() as redis, paired(redis, ended_s=2.0) as pair:
        kept = (await ask(pair.one.address, "late", conversation="late", **_QUICK)).json()["id"]
        await asyncio.gather(*(Observer(kept).follow(server.address, "ndjson") for server in (pair.one, pair.other)))
        for server in (pair.one, pair.other):
            async with asyncio.timeout(20):
                while (await request(server.address, "GET", f"/v1/generations/{kept}")).status != 404:
                    pass
            assert await listed(server, "limit=100") == ([], None)
            assert await state(server, "late") == (None, None)
        assert (await ask(pair.other.address, "late", **_ENDLESS)).status == 201


async def test_who_has_it_all_is_told_so_elsewhere(pair: Pair) -> None:
    """A place that one server gave is good in the other: the last of an ended log, or one before it."""
    generation = await start(pair.one.address, **_QUICK)
    observer = Observer(generation)
    await observer.follow(pair.one.address, "sse")
    events = f"/v1/generations/{generation}/events?wire=ndjson&after="
    assert (await request(pair.other.address, "GET", f"{events}{observer.cursor}")).status == 204
    rest = await request(pair.other.address, "GET", events + observer.events[-2]["id"])
    assert [json.loads(line)["type"] for line in rest.body.splitlines()] == ["position", "finished"]


async def test_the_whole_message_is_waited_for_elsewhere(pair: Pair) -> None:
    """`Prefer: wait` on the other server answers when it has ended, with all of it."""
    generation = await start(pair.one.address, model="demo/default", options={"rate": 50, "tokens": 20})
    answer = await request(pair.other.address, "GET", f"/v1/generations/{generation}", headers={"Prefer": "wait=20"})
    await pair.one.finished(generation)
    here = await request(pair.one.address, "GET", f"/v1/generations/{generation}")
    assert answer.json() == here.json()
    assert answer.json()["outcome"] == "completed"
    assert answer.json()["message"]["text"]


async def test_a_thousand_who_come_back_cost_one_read(pair: Pair) -> None:
    """To a server that does not hold what they watch; it is read for all of them together."""
    generation = await start(pair.one.address, **_ENDLESS)
    first = Observer(generation)
    await first.watch(pair.one.address, "sse", count=20)
    client = pair.redis.client()
    await client.config_resetstat()
    crowd = [Observer(generation, f"{number}") for number in range(1000)]
    ends = await asyncio.gather(*(one.watch(pair.other.address, "sse", after=first.cursor, count=1) for one in crowd))
    reads = (await client.info("commandstats"))["cmdstat_xrange"]["calls"]
    await client.aclose()
    await stop(pair.one.address, generation)
    assert {(end.status, end.why) for end in ends} == {(200, "left")}
    assert {tuple(one.events[0].items()) for one in crowd} == {tuple(crowd[0].events[0].items())}
    # What there is, and what came while that was read; and what other logs were compared with meanwhile.
    assert reads <= 10
