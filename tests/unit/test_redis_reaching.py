"""What a Redis says of itself at the start, and what a person is told where it will not do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from realtime.bus.redis import reach
from realtime.errors import RealtimeError

from ..support.redis_access import certificates, documented_rights
from ..support.redis_server import RedisServer


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried again but by the test that is about that."""
    monkeypatch.setattr("realtime.bus.redis.reaching._PATIENCE_S", 0)


async def refusal(url: str) -> str:
    """Why the one there will not do."""
    with pytest.raises(RealtimeError) as caught:
        await reach(url)
    assert caught.value.code == "bus_unavailable"
    assert "s3cret" not in str(caught.value)
    return caught.value.error.message


@asynccontextmanager
async def answering(answer: str) -> AsyncIterator[int]:
    """The port of one who answers each command with this."""

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.read(1000):
            words = said.decode().replace("\r\n", " ")
            writer.write(answer.format(said=words).encode() * words.count("*"))
        writer.close()

    server = await asyncio.start_server(answered, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_one_that_will_do() -> None:
    """With a user who has the rights that are documented, and no others."""
    async with RedisServer() as server:
        client = server.client()
        await client.execute_command("ACL", "SETUSER", "realtime", "on", ">s3cret", *documented_rights())  # type: ignore[no-untyped-call]
        await reach(f"redis://realtime:s3cret@127.0.0.1:{server.port}/0")
        assert await client.acl_log() == []
        await client.aclose()


async def test_one_that_comes_a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for."""
    monkeypatch.setattr("realtime.bus.redis.reaching._PATIENCE_S", 20.0)
    async with RedisServer() as server:
        await server.kill()
        reaching = asyncio.create_task(reach(server.url))
        await asyncio.wait({reaching}, timeout=0.1)
        assert not reaching.done()
        await server.start()
        await reaching


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://u:s3cret@127.0.0.1:1/0", "127.0.0.1:1: the connection is refused."),
        ("redis://u:s3cret@no-such-host.invalid", "no-such-host.invalid: the name is not known."),
        ("redis+cluster://u:s3cret@127.0.0.1:1,127.0.0.1:2", "127.0.0.1:1,127.0.0.1:2: the connection is refused."),
        ("redis+sentinel://u:s3cret@127.0.0.1:1/main", "127.0.0.1:1: no Sentinel answers that knows a master"),
        # Of a password that is not encoded nothing passes for a host.
        ("redis://s3cret/x@127.0.0.1:1", "the name is not known."),
        ("redis://u:1/s3cret@127.0.0.1", ""),
    ],
)
async def test_one_that_is_not_there(url: str, why: str) -> None:
    """It is said where it was looked for, and never with which password."""
    assert (await refusal(url)).startswith(why)


async def test_one_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for without end."""
    monkeypatch.setattr("realtime.bus.redis.nodes.CALL_S", 0.2)
    async with RedisServer() as server:
        server.pause()
        assert "no answer within" in await refusal(server.url)
        server.resume()


async def test_one_that_lets_in_only_whom_it_knows() -> None:
    """A password that is wrong, one that is missing, and a right."""
    async with RedisServer() as server:
        client = server.client()
        rights = [right for right in documented_rights() if right != "+subscribe"]
        await client.execute_command("ACL", "SETUSER", "realtime", "on", ">right", *rights)  # type: ignore[no-untyped-call]
        assert "lacks a right" in await refusal(f"redis://realtime:right@127.0.0.1:{server.port}/0")
        assert "password is wrong" in await refusal(f"redis://realtime:s3cret@127.0.0.1:{server.port}/0")
        await client.execute_command("ACL", "SETUSER", "default", "off")  # type: ignore[no-untyped-call]
        assert "or missing" in await refusal(server.url)
        await client.aclose()


async def test_one_whose_address_asks_for_too_much() -> None:
    """A database that it has not, and a cluster that it is not of."""
    async with RedisServer() as server:
        assert "no such database" in await refusal(f"redis://127.0.0.1:{server.port}/99")
        assert "in no cluster" in await refusal(f"redis+cluster://127.0.0.1:{server.port}")


async def test_a_cluster_that_is_none_yet() -> None:
    """A node that has no slots does not serve."""
    async with RedisServer(cluster=True) as node:
        assert "the cluster is down" in await refusal(f"redis+cluster://127.0.0.1:{node.port}")


async def test_one_by_tls(tmp_path: Path) -> None:
    """A certificate that is trusted will do; one that is not, and a connection that is not by TLS, are told apart."""
    tls = certificates(tmp_path)
    async with RedisServer(*tls.options, tls=True) as server:
        place = f"127.0.0.1:{server.tls_port}"
        await reach(f"rediss://{place}/0?ssl_ca_certs={tls.authority}")
        assert "certificate is not trusted" in await refusal(f"rediss://{place}/0")
        assert "file of certificates" in await refusal(f"rediss://{place}/0?ssl_ca_certs={tmp_path / 'absent'}")
        assert "may want TLS" in await refusal(f"redis://{place}/0")


async def test_one_that_is_too_old() -> None:
    """One that says so, and one that knows nothing of the question and repeats it, with the password in it."""
    async with answering("%1\r\n$7\r\nversion\r\n$5\r\n6.2.9\r\n") as port:
        assert "it is Redis 6.2.9, and 7.0" in await refusal(f"redis://127.0.0.1:{port}")
    async with answering("-ERR unknown command, with args beginning with: {said}\r\n") as port:
        assert "older than 7.0" in await refusal(f"redis://u:s3cret@127.0.0.1:{port}")
