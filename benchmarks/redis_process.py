"""A Redis of the run's own, and what it says it has spent.

It shares the client's core, for the worker that is measured is to have its own: what Redis takes of a core is taken
from the client's and the upstream's, never from the worker's.
"""

from types import TracebackType
from typing import Any, NamedTuple, Self

import redis

from .accounts import Account
from .environments import redis_server
from .machine import CLIENT_CORE
from .processes import Server


class Spent(NamedTuple):
    """Between two looks.

    Attributes:
        cpu_us: On its core, by the scheduler.
        script_us: In scripts and what they call, by its own count.
        reads: Reads of its sockets that brought something: what came in one write of a process is one of them, or
            few where it was large.
    """

    cpu_us: float
    script_us: float
    reads: int


class Redis:
    """Runs while its block does; raises `NotInstalledError` where there is none."""

    def __init__(self) -> None:
        redis_server()
        self._server = Server("benchmarks.servers.redis_server", "{port}", core=CLIENT_CORE)
        self._looks: list[Spent] = []

    def __enter__(self) -> Self:
        self._server.__enter__()
        self.client = redis.Redis(port=self._server.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self._server.__exit__(kind, error, trace)

    @property
    def env(self) -> dict[str, str]:
        """The variable by which a server of ours finds it."""
        return {"REALTIME_REDIS_URL": f"redis://127.0.0.1:{self._server.port}/0"}

    def look(self) -> None:
        """Read what it has spent since it began; at both ends of a window."""
        commands, stats = self._info("commandstats"), self._info("stats")
        script_us = sum(one["usec"] for name, one in commands.items() if name in {"cmdstat_evalsha", "cmdstat_eval"})
        cpu_us = Account.of(self._server.pid).cpu_ns / 1000
        self._looks.append(Spent(cpu_us, script_us, stats["total_reads_processed"]))

    @property
    def spent(self) -> Spent:
        """Between the last two looks."""
        before, after = self._looks[-2:]
        return Spent(after.cpu_us - before.cpu_us, after.script_us - before.script_us, after.reads - before.reads)

    def deafen(self) -> None:
        """Cut everyone who listens, and let nobody listen again."""
        # Its own method would begin by taking every other right away too.
        self.client.execute_command("ACL", "SETUSER", "default", "-subscribe")  # type: ignore[no-untyped-call]
        self.client.client_kill_filter(_type="pubsub")

    def _info(self, section: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.info(section)
        return found
