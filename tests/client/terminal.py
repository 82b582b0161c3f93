"""The command line as a person meets it: a process on a pseudo-terminal of its own."""

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from types import TracebackType
from typing import Self

_DEADLINE_S = 30.0


def _sit_down() -> None:
    """Only a controlling terminal turns Ctrl-C into a signal; and tests that run in the background ignore it, which
    what they start would inherit."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Person:
    """Runs `realtime` on a terminal, reads what it shows and presses keys."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._main, side = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "realtime", *arguments],
            stdin=side,
            stdout=side,
            stderr=side,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "200", **environment},
            start_new_session=True,
            preexec_fn=_sit_down,  # noqa: PLW1509 - no threads here
        )
        os.close(side)
        self.seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._main)

    def sees(self, text: str) -> str:
        """Wait until `text` was shown; what was shown up to its end, which is then behind us."""
        until_s = time.monotonic() + _DEADLINE_S
        while text not in self.seen:
            assert self._read(until_s), f"never saw {text!r}, but {self.seen!r}"
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def types(self, keys: str) -> None:
        """Press keys; `\\x03` is Ctrl-C."""
        os.write(self._main, keys.encode())

    def insists(self, keys: str, until: str) -> None:
        """Press keys once a second until `until` was shown."""
        until_s = time.monotonic() + _DEADLINE_S
        while until not in self.seen and time.monotonic() < until_s:
            self.types(keys)
            again_s = time.monotonic() + 1.0
            while until not in self.seen and time.monotonic() < again_s:
                self._read(again_s)
        self.sees(until)

    def ends(self) -> int:
        """Wait for the end; the exit code. What was shown last is in `seen`."""
        until_s = time.monotonic() + _DEADLINE_S
        while self._read(until_s):
            pass
        return self._process.wait(_DEADLINE_S)

    def _read(self, until_s: float) -> bool:
        ready, _, _ = select.select([self._main], [], [], max(0.0, until_s - time.monotonic()))
        try:
            data = os.read(self._main, 4096) if ready else b""
        except OSError:  # Linux's way to say that nobody has the other side any more.
            data = b""
        self.seen += data.decode(errors="replace")
        return bool(data)
