"""To give a client its job, and to be one: a job on stdin, what was seen on stdout."""

import ctypes
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from benchmarks.machine import CLIENT_CORE

_SLACK_S = 30.0
_SHOWN_CHARS = 2000
_PR_SET_PDEATHSIG = 1

J = TypeVar("J", bound=msgspec.Struct)
S = TypeVar("S", bound=msgspec.Struct)


def ask(client: str, job: msgspec.Struct, seen: type[S], longest_s: float) -> S:
    """Run one client to its end."""
    return ask_all(client, [job], seen, longest_s)[0]


def ask_all(client: str, jobs: Sequence[msgspec.Struct], seen: type[S], longest_s: float) -> list[S]:
    """Run several at once, each in a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.clients.{client}"]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for job in jobs:
            one = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            running.append(one)
            assert one.stdin is not None
            one.stdin.write(msgspec.json.encode(job))
            one.stdin.close()
            one.stdin = None
        return [_result(one, client, seen, longest_s + _SLACK_S) for one in running]
    finally:
        for one in running:
            one.kill()
            one.communicate()


def answer(job: type[J], run: Callable[[J], msgspec.Struct]) -> None:
    """What a client's `main` does."""
    # Whatever becomes of who asked, nobody loads a machine on his behalf after that.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.sched_setaffinity(0, {CLIENT_CORE})
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=job)
    gc.disable()
    sys.stdout.buffer.write(msgspec.json.encode(run(asked)))


def _result(one: subprocess.Popen[bytes], client: str, seen: type[S], limit_s: float) -> S:
    out, said = one.communicate(timeout=limit_s)
    if one.returncode:
        raise RuntimeError(f"the client {client} failed:\n{said.decode()[-_SHOWN_CHARS:]}")
    return msgspec.json.decode(out, type=seen)
