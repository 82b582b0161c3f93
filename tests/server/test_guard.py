"""Foreign Hosts and Origins are turned away before anything else is looked at, on HTTP and on the handshake alike."""

import asyncio
import json

import pytest

from realtime.server.guard import PROBES
from tests.support.server import RunningServer, serving

from .refusals import Answer, ask, assert_problem, connected, handshake_bytes, read_answer, request_bytes

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("quiet")]


async def ask_both(server: RunningServer, headers: list[tuple[str, str]]) -> list[Answer]:
    """The answer to a request and to a handshake with these headers."""
    address = server.address
    request = request_bytes(address, "GET", "/v1/models", headers)
    return [await ask(address, request), await ask(address, handshake_bytes(address, headers))]


FOREIGN_HOSTS = [
    "example.com",
    "example.com:{port}",
    "127.0.0.1.example.com",
    "example.com.127.0.0.1",
    "localhost.example.com:{port}",
    "notlocalhost",
    "localhost@example.com",
    "example.com#localhost",
    "example.com/localhost",
    "localhost:{port}:80",
    "localhost:http",
    "localhost:-1",
    "localhost:",
    "localhost.",
    "127.0.0.2",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "0.0.0.0",
    "::1",
    "[::1",
    "[::1]:",
    "[::1].example.com",
    "[::ffff:127.0.0.1]",
    "localhost, example.com",
    "localhost\xb2",
    "x" * 5000,
    "",
]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
async def test_foreign_host(server: RunningServer, host: str) -> None:
    """A page whose name was made to point here is told by the name it still sends."""
    for answer in await ask_both(server, [("Host", host.format(port=server.address.port))]):
        assert_problem(answer, "misdirected", "Host")


@pytest.mark.parametrize(
    "hosts", [("localhost", "example.com"), ("example.com", "localhost"), ("localhost", "localhost")]
)
async def test_two_hosts(server: RunningServer, hosts: tuple[str, str]) -> None:
    """Of two Hosts neither is believed, in whatever order they come."""
    for answer in await ask_both(server, [("Host", host) for host in hosts]):
        assert answer.status in (400, 421)


async def test_no_host(server: RunningServer) -> None:
    """Who does not say whom it wants is not served."""
    for data in (b"GET /v1/models HTTP/1.1\r\n\r\n", b"GET /v1/models HTTP/1.0\r\n\r\n"):
        assert_problem(await ask(server.address, data), "misdirected", "Host")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "localhost:1", "[::1]", "[::1]:80"])
async def test_own_host(server: RunningServer, host: str) -> None:
    """Loopback's own names are ours, on whatever port a tunnel has put us."""
    plain, socket = await ask_both(server, [("Host", host)])
    assert (plain.status, socket.status) == (200, 101)


FOREIGN_ORIGINS = [
    "null",
    "",
    "http://example.com",
    "https://example.com:{port}",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "http://127.0.0.1:{port}0",
    "http://localhost:{port}",
    "http://127.0.0.1:{port}.example.com",
    "http://127.0.0.1:{port}@example.com",
    "http://example.com@127.0.0.1:{port}",
    "http://user@127.0.0.1:{port}",
    "http://example.com/127.0.0.1:{port}",
    "http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#",
    "http://127.0.0.1:{port} http://example.com",
    "http://example.com, http://127.0.0.1:{port}",
    "127.0.0.1:{port}",
    "//127.0.0.1:{port}",
    "file://127.0.0.1:{port}",
    "chrome-extension://127.0.0.1:{port}",
    "javascript:127.0.0.1:{port}",
    "http://[",
    "http://[::1",
    "http://]",
    "http:\\\\127.0.0.1:{port}",
    "http://127.0.0.1\xb7:{port}",
    "*",
]


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
async def test_foreign_origin(server: RunningServer, origin: str) -> None:
    """A page of another origin is refused, however much its name looks like ours."""
    for answer in await ask_both(server, [("Origin", origin.format(port=server.address.port))]):
        assert_problem(answer, "forbidden", "Origin")


async def test_two_origins(server: RunningServer) -> None:
    """A foreign Origin does not hide behind one of ours, nor before it."""
    own, foreign = ("Origin", server.url), ("Origin", "http://example.com")
    for headers in ([own, foreign], [foreign, own], [own, own]):
        plain, socket = await ask_both(server, headers)
        assert_problem(plain, "forbidden", "Origin")
        assert socket.status in (400, 403)


async def test_own_origin(server: RunningServer) -> None:
    """The playground's own requests pass, and so does who sends no Origin."""
    for headers in ([], [("Origin", server.url)], [("Origin", server.url.replace("http", "https"))]):
        plain, socket = await ask_both(server, headers)
        assert (plain.status, socket.status) == (200, 101)


@pytest.mark.parametrize(
    "target",
    ["/", "/docs", "/assets/icon.svg", "/openapi.json", "/livez/", "/metricsx", "/v1/generations", "/nope"],
)
async def test_every_route(server: RunningServer, target: str) -> None:
    """No route is left out, not even one that is not there."""
    foreign = request_bytes(server.address, "GET", target, {"Host": "example.com"})
    assert_problem(await ask(server.address, foreign), "misdirected", "Host")
    foreign = request_bytes(server.address, "GET", target, {"Origin": "http://example.com"})
    assert_problem(await ask(server.address, foreign), "forbidden", "Origin")


@pytest.mark.parametrize("target", sorted(PROBES))
async def test_probes(server: RunningServer, target: str) -> None:
    """A probe asks by the address of a pod and is answered, by no cache; a page of another origin is not."""
    answer = await ask(server.address, request_bytes(server.address, "GET", target, {"Host": "10.0.0.7:8000"}))
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    headers = {"Host": "10.0.0.7:8000", "Origin": "http://example.com"}
    assert_problem(
        await ask(server.address, request_bytes(server.address, "GET", target, headers)), "forbidden", "Origin"
    )
    handshake = handshake_bytes(server.address, [("Host", "10.0.0.7:8000")], target=target)
    assert_problem(await ask(server.address, handshake), "misdirected", "Host")


async def test_a_foreign_start_is_not_read(server: RunningServer) -> None:
    """A page cannot spend anyone's money: its start is refused before its body has come."""
    headers = {"Origin": "http://example.com", "Content-Length": "100", "Content-Type": "application/json"}
    answer = await ask(server.address, request_bytes(server.address, "POST", "/v1/generations", headers))
    assert_problem(answer, "forbidden", "Origin")
    assert server.sessions.statistics().live == 0


async def test_allowed_hosts() -> None:
    """Further names are a setting, and are compared whole."""
    async with serving(allowed_hosts="api.example.com, other.example") as server:
        for host, status in [
            ("api.example.com", 200),
            ("API.example.com:443", 200),
            ("other.example", 200),
            ("localhost", 200),
            ("example.com", 421),
            ("xapi.example.com", 421),
            ("api.example.com.evil.example", 421),
        ]:
            answer = await ask(server.address, request_bytes(server.address, "GET", "/v1/models", {"Host": host}))
            assert answer.status == status, host


async def test_any_host() -> None:
    """A star is for whoever has a proxy that checks; two Hosts are still one too many."""
    async with serving(allowed_hosts="*") as server:
        assert (await ask(server.address, request_bytes(server.address, "GET", "/docs", {"Host": "x"}))).status == 200
        twice = request_bytes(server.address, "GET", "/docs", [("Host", "x"), ("Host", "y")])
        assert (await ask(server.address, twice)).status in (400, 421)


async def test_cors_origins() -> None:
    """An origin that is named may call, is told so by CORS, and may open sockets; its neighbours may not."""
    async with serving(cors_origins="https://app.example.com") as server:
        plain, socket = await ask_both(server, [("Origin", "https://app.example.com")])
        assert (plain.status, socket.status) == (200, 101)
        assert plain.headers["access-control-allow-origin"] == "https://app.example.com"
        assert "access-control-allow-credentials" not in plain.headers
        for origin in ("http://app.example.com", "https://app.example.com:444", "https://xapp.example.com", "null"):
            for answer in await ask_both(server, [("Origin", origin)]):
                assert_problem(answer, "forbidden", "Origin")


async def test_preflight() -> None:
    """A preflight of a named origin allows what the wire needs; one of another is refused."""
    async with serving(cors_origins="https://app.example.com") as server:
        asked = {
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,last-event-id,prefer",
        }
        preflight = await ask(server.address, request_bytes(server.address, "OPTIONS", "/v1/generations", asked))
        assert preflight.status == 200, preflight
        assert "POST" in preflight.headers["access-control-allow-methods"]
        foreign = {**asked, "Origin": "https://example.com"}
        answer = await ask(server.address, request_bytes(server.address, "OPTIONS", "/v1/generations", foreign))
        assert_problem(answer, "forbidden", "Origin")


async def test_connection_is_usable_after_a_refusal(server: RunningServer) -> None:
    """A refusal does not spoil the connection for what is sent on it next."""
    async with connected(server.address) as (reader, writer):
        writer.write(request_bytes(server.address, "GET", "/docs", {"Host": "example.com"}))
        assert (await read_answer(reader)).status == 421
        writer.write(request_bytes(server.address, "GET", "/livez"))
        assert json.loads((await asyncio.wait_for(read_answer(reader), 10)).body) == {"status": "ok"}
