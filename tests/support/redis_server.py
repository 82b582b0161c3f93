"""A redis-server of a test's own, on a free port, that can be stopped, killed and started again."""

import asyncio
import shutil
import signal
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import redis.asyncio as aioredis

_STARTS_S = 20.0
_LOOK_S = 0.01


class RedisServer:
    """Runs while its block does.

    Args:
        options: Of its command line, beside those that keep it quiet and to itself.
        tls: Listen on `tls_port` too.
        sentinel_of: Be a Sentinel that knows the one at this port as `main`, and no server.
        cluster: Be a node of a cluster, which others hear on `bus_port`.
    """

    def __init__(self, *options: str, tls: bool = False, sentinel_of: int | None = None, cluster: bool = False) -> None:
        self.port, self.tls_port, self.bus_port = _free_port(), _free_port(), _free_port()
        self._options = (*options, "--tls-port", str(self.tls_port)) if tls else options
        if cluster:
            self._options = (*self._options, "--cluster-enabled", "yes", "--cluster-port", str(self.bus_port))
        self._sentinel_of = sentinel_of
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """As `REALTIME_REDIS_URL` takes it."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="realtime-redis-"))
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def start(self) -> None:
        """Start it, again after a `kill`; what it had kept it reads."""
        begin = ["redis-server"]
        if self._sentinel_of is not None:
            # A Sentinel wants a file that it can write.
            config = self._folder / "sentinel.conf"
            config.write_text(f"sentinel monitor main 127.0.0.1 {self._sentinel_of} 1\n")
            begin += [str(config), "--sentinel"]
        self._process = await asyncio.create_subprocess_exec(
            *begin, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder),
            *self._options, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        client = self.client()
        try:
            async with asyncio.timeout(_STARTS_S):
                while not await _answers(client):  # noqa: ASYNC110 - another process has no event to wait for
                    await asyncio.sleep(_LOOK_S)
        finally:
            await client.aclose()

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def pause(self) -> None:
        """Stand still, with every connection open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> "aioredis.Redis":
        """A client of its own, for a test to look by."""
        return aioredis.Redis(host="127.0.0.1", port=self.port)


async def _answers(client: "aioredis.Redis") -> bool:
    try:
        return bool(await client.ping())
    except (aioredis.RedisError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
