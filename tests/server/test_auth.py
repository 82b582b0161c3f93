"""With a key set, nothing of `/v1` answers without it, and the key is nowhere to be read."""

import hmac
import logging
from pathlib import Path

import pytest

from realtime.errors import RealtimeError
from realtime.principal import ANONYMOUS
from realtime.server.auth import anonymous, bearer
from realtime.server.settings import Settings
from tests.support.server import RunningServer, serving

from .refusals import ask, assert_problem, handshake_bytes, request_bytes

KEY = "k3y-of-the-server"
ID = "0123456789abcdef" * 2

WRONG = [
    None,
    "",
    KEY,
    "Bearer",
    "Bearer ",
    f"Bearer {KEY}x",
    f"Bearer x{KEY}",
    f"Bearer {KEY[:-1]}",
    f"Bearer {KEY.upper()}",
    f"Basic {KEY}",
    f"Bearer {KEY},{KEY}",
    f"Bearer {KEY} {KEY}",
    f"Bearer\t{KEY}",
    "Bearer \xff\xfe",
    "Bearer " + "x" * 4000,
]


def routes(server: RunningServer) -> list[tuple[str, str]]:
    """Method and path of everything below `/v1`, as the server itself describes it."""
    described = server.application.app.openapi()["paths"].items()
    found = [
        (method.upper(), path.format(generation=ID, conversation="c"))
        for path, operations in described
        if path.startswith("/v1/")
        for method in operations
    ]
    assert len(found) == 10
    return found


def header(authorization: str | None) -> dict[str, str]:
    """The header, if any."""
    return {} if authorization is None else {"Authorization": authorization}


@pytest.mark.parametrize("authorization", WRONG)
async def test_wrong_key(authorization: str | None) -> None:
    """What is not the key is refused with the challenge, on every route and on the handshake."""
    async with serving(api_key=KEY) as server:
        for method, target in routes(server):
            request = request_bytes(server.address, method, target, header(authorization))
            answer = await ask(server.address, request)
            assert_problem(answer, "unauthorized", "Authorization")
            assert answer.headers["www-authenticate"] == "Bearer"
        handshake = handshake_bytes(server.address, header(authorization).items())
        assert_problem(await ask(server.address, handshake), "unauthorized", "Authorization")


@pytest.mark.parametrize("authorization", [f"Bearer {KEY}", f"bearer {KEY}", f"BEARER  {KEY} "])
async def test_right_key(authorization: str) -> None:
    """With the key every route goes on to look at the request; the scheme is in any case, as RFC 9110 has it."""
    async with serving(api_key=KEY) as server:
        for method, target in routes(server):
            answer = await ask(server.address, request_bytes(server.address, method, target, header(authorization)))
            assert answer.status in {200, 204, 404, 415}, (method, target, answer)
        handshake = handshake_bytes(server.address, header(authorization).items())
        assert (await ask(server.address, handshake)).status == 101


async def test_key_comes_first() -> None:
    """Who has no key is not told what else is wrong with the request, nor that a generation is there."""
    async with serving(api_key=KEY) as server:
        for method, target in routes(server):
            request = request_bytes(server.address, method, f"{target}?colour=red&wire=x&limit=0", {}, b"\xff")
            assert_problem(await ask(server.address, request), "unauthorized", "Authorization")
        handshake = handshake_bytes(server.address, target="/v1/ws?colour=red", protocol="unknown")
        assert_problem(await ask(server.address, handshake), "unauthorized", "Authorization")


@pytest.mark.parametrize("place", ["?key=", "?api_key=", "?access_token=", "?authorization=Bearer%20"])
async def test_key_in_the_query(place: str) -> None:
    """A key in a URL, where proxies log it, is not looked at."""
    async with serving(api_key=KEY) as server:
        answer = await ask(server.address, request_bytes(server.address, "GET", f"/v1/models{place}{KEY}"))
        assert_problem(answer, "unauthorized", "Authorization")


async def test_what_needs_no_key() -> None:
    """Machines and readers of the API reference need no key; the playground is off where there is one."""
    async with serving(api_key=KEY) as server:
        for target in ("/livez", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/assets/icon.svg"):
            answer = await ask(server.address, request_bytes(server.address, "GET", target))
            assert answer.status == 200, target
            assert KEY.encode() not in answer.body
        assert_problem(await ask(server.address, request_bytes(server.address, "GET", "/")), "not_found")


async def test_playground_with_a_key() -> None:
    """The playground can be asked for all the same."""
    async with serving(api_key=KEY, playground=True) as server:
        assert (await ask(server.address, request_bytes(server.address, "GET", "/"))).status == 200


async def test_key_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the key nor what was sent instead is in any log line, at the lowest level there is."""
    caplog.set_level(logging.DEBUG)
    async with serving(api_key=KEY) as server:
        for sent in (KEY, "wr0ng-key"):
            given = header(f"Bearer {sent}")
            await ask(server.address, request_bytes(server.address, "GET", f"/v1/models?key={sent}", given))
            await ask(server.address, handshake_bytes(server.address, given.items(), target=f"/v1/ws?key={sent}"))
            await ask(server.address, handshake_bytes(server.address, given.items()))
            await ask(server.address, handshake_bytes(server.address, [*given.items(), ("Origin", "null")]))
    assert KEY not in caplog.text
    assert "wr0ng-key" not in caplog.text


async def test_key_is_not_shown() -> None:
    """The key is in no representation of what holds it."""
    settings = Settings.model_validate({"api_key": KEY})
    assert settings.key() == KEY
    for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert KEY not in shown
    async with serving(api_key=KEY) as server:
        holders = (server.application, server.application.service, server.sessions, bearer(KEY))
        assert all(KEY not in repr(holder) for holder in holders)


async def test_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a comparison takes says nothing about how much of a key is right."""
    compared = []
    original = hmac.compare_digest

    def spy(given: bytes, expected: bytes) -> bool:
        compared.append((given, expected))
        return original(given, expected)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    authenticate = bearer(KEY)
    for given in ("wrong", KEY[:4]):
        with pytest.raises(RealtimeError, match="unauthorized"):
            await authenticate({"headers": [(b"authorization", f"Bearer {given}".encode())]})
    await authenticate({"headers": [(b"authorization", f"Bearer {KEY}".encode())]})
    assert compared == [(given.encode(), KEY.encode()) for given in ("wrong", KEY[:4], KEY)]


async def test_key_beyond_ascii() -> None:
    """A key is compared as the bytes that were sent."""
    authenticate = bearer("clé")
    assert await authenticate({"headers": [(b"authorization", "Bearer clé".encode())]}) == ANONYMOUS


async def test_anonymous() -> None:
    """Without a key everyone is the one principal."""
    assert await anonymous({"headers": []}) == ANONYMOUS


async def test_key_of_a_file(tmp_path: Path) -> None:
    """A key in a file is as good as one in a variable; the line end of the file is not part of it."""
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    async with serving(api_key_file=path) as server:
        answer = await ask(server.address, request_bytes(server.address, "GET", "/v1/models", header(f"Bearer {KEY}")))
        assert answer.status == 200
        answer = await ask(server.address, request_bytes(server.address, "GET", "/v1/models"))
        assert_problem(answer, "unauthorized", "Authorization")
