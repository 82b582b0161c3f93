"""Servers as processes of their own: started, pinned, waited for, and gone when their block ends."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import msgspec

from .load import Job, Observed
from .machine import CLIENT_CORE, SERVER_CORE

# Importing the model SDKs takes seconds on a busy machine.
_READY_S = 60.0
_SLACK_S = 30.0
_SHOWN_CHARS = 2000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Server:
    """A Python module run as a process that listens on a port of 127.0.0.1.

    Args:
        command: What comes after `python -m`; `{port}` is replaced.
        env: Variables beside the few that every process needs; nothing else of ours is inherited.
    """

    def __init__(self, *command: str, core: int = SERVER_CORE, env: Mapping[str, str] | None = None) -> None:
        self.port = _free_port()
        self._command = [part.replace("{port}", str(self.port)) for part in command]
        self._core = core
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self._env = inherited | dict(env or {})

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", *self._command],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=self._env,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - no other thread runs here
        )
        os.sched_setaffinity(self._process.pid, {self._core})
        try:
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


def observe(job: Job) -> Observed:
    """Run the load client, in a process of its own on its own core."""
    limit_s = job.longest_s + _SLACK_S
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", str(CLIENT_CORE)],
        input=msgspec.json.encode(job),
        capture_output=True,
        timeout=limit_s,
        check=False,
        preexec_fn=_die_with_parent,
    )
    if done.returncode:
        raise RuntimeError(f"the load client failed:\n{done.stderr.decode()[-_SHOWN_CHARS:]}")
    return msgspec.json.decode(done.stdout, type=Observed)


def http_request(
    method: str, path: str, port: int, body: object = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """A whole HTTP/1.1 request."""
    content = b"" if body is None else msgspec.json.encode(body)
    sent = {"Host": f"127.0.0.1:{port}", "Accept": "text/event-stream", **(headers or {})}
    if content:
        sent |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _die_with_parent() -> None:
    """Whatever becomes of the run, nothing it started outlives it."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
