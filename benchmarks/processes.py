"""Servers as processes of their own: started, pinned, waited for, and gone when their block ends."""

import ctypes
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import msgspec

from .accounts import Account, resident_mb
from .environments import ROOT
from .load import Job, Observed, Seen
from .machine import CLIENT_CORE, SERVER_CORE
from .native import load_client

# Importing the model SDKs takes seconds on a busy machine.
_READY_S = 60.0
_SLACK_S = 30.0
_SHOWN_CHARS = 2000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Server:
    """A Python module run as a process that listens on a port of 127.0.0.1.

    Args:
        command: What comes after `python -m`; `{port}` is replaced. Without one nothing listens, nor is waited for.
        env: Variables beside the few that every process needs; nothing else of ours is inherited.
        python: Of the environment it runs in; ours when not given.
    """

    def __init__(
        self,
        *command: str,
        core: int = SERVER_CORE,
        env: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> None:
        self.port = _free_port()
        self._listens = "{port}" in command
        self._command = [python, "-m", *(part.replace("{port}", str(self.port)) for part in command)]
        self._core = core
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self._env = inherited | dict(env or {})

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=self._env,
            cwd=ROOT,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - no other thread runs here
        )
        os.sched_setaffinity(self._process.pid, {self._core})
        try:
            if self._listens:
                self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + _READY_S
        while time.monotonic() < until and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        self._log.seek(0)
        said = self._log.read().decode(errors="replace")[-_SHOWN_CHARS:]
        raise RuntimeError(f"{' '.join(self._command)} did not start:\n{said}")

    def _stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()


def observe(job: Job, look: Callable[[], None] | None = None) -> Observed:
    """Run the load client, in a process of its own on its own core, and read the server's accounts as it says.

    Args:
        look: Called at both ends of the window, for whoever has accounts to read beside the server's.
    """
    limit_s = job.longest_s + _SLACK_S
    with subprocess.Popen(
        [*load_client(), *job.arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        preexec_fn=lambda: _become_client(limit_s),  # noqa: PLW1509 - no other thread runs here
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stderr is not None
        client.stdin.write(job.request + job.command)
        client.stdin.close()
        pids = (client.pid, job.pid)
        accounts = [_accounts(pids, look) for _ in ("begin", "end") if client.stdout.readline()]
        resident = resident_mb(job.pid)
        seen, said = client.stdout.read(), client.stderr.read()
    if client.returncode:
        raise RuntimeError(f"the load client failed:\n{said.decode()[-_SHOWN_CHARS:]}")
    return _observed(msgspec.json.decode(seen, type=Seen), accounts, resident)


def _accounts(pids: Sequence[int], look: Callable[[], None] | None) -> list[Account]:
    found = [Account.of(pid) for pid in pids]
    if look is not None:
        look()
    return found


def _observed(seen: Seen, accounts: Sequence[Sequence[Account]], resident: float) -> Observed:
    (client_before, before), (client_after, after) = accounts
    return Observed(
        **msgspec.structs.asdict(seen),
        cpu_us=(after.cpu_ns - before.cpu_ns) / 1000,
        waited=(after.waited_ns - before.waited_ns) / 1e9 / seen.window_s,
        client_waited=(client_after.waited_ns - client_before.waited_ns) / 1e9 / seen.window_s,
        resident_mb=resident,
    )


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _become_client(limit_s: float) -> None:
    _die_with_parent()
    os.sched_setaffinity(0, {CLIENT_CORE})
    # An alarm outlives what is executed next, and ends it should it hang.
    signal.alarm(math.ceil(limit_s))


def _die_with_parent() -> None:
    """Whatever becomes of the run, nothing it started outlives it."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
