"""Several processes that accept on one socket: started, kept, told what the first is told, and waited for.

They are forked before anything is imported that has threads or connections. Whoever dies is replaced; one that dies as
soon as it is started is replaced ever more slowly, so that a mistake in a setting is no storm of processes.
"""

import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

_logger = logging.getLogger("realtime")

# A process that lives for this long has started well.
_WELL_S = 5.0
_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
_PR_SET_PDEATHSIG = 1


class Workers:
    """See the module.

    Args:
        count: How many.
        work: What each does, given its number; returns when its process is to end.
    """

    def __init__(self, count: int, work: Callable[[int], None]) -> None:
        self._work = work
        self._ending = False
        self._pause_s = _PAUSE_S
        self._count = count
        # By process: its number, and since when it runs.
        self._running: dict[int, tuple[int, float]] = {}

    def run(self) -> int:
        """Until all have ended; the worst of their exit codes."""
        for caught in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(caught, self._pass_on)
        for number in range(self._count):
            self._start(number)
        worst = 0
        while self._running:
            pid, status = os.wait()
            number, since = self._running.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if self._ending:
                worst = max(worst, abs(code))
            else:
                self._replace(number, since, code)
        return worst

    def _start(self, number: int) -> None:
        pid = os.fork()
        if pid:
            self._running[pid] = (number, time.monotonic())
            return
        for caught in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(caught, signal.SIG_DFL)
        _end_with_parent()
        try:
            self._work(number)
        except SystemExit as error:
            os._exit(error.code if isinstance(error.code, int) else 1)
        except BaseException:
            _logger.exception("worker %d failed", number)
            os._exit(1)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    def _replace(self, number: int, since: float, code: int) -> None:
        if time.monotonic() - since >= _WELL_S:
            self._pause_s = _PAUSE_S
        _logger.error("worker %d ended with %d; another one starts in %g s", number, code, self._pause_s)
        time.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if not self._ending:
            self._start(number)

    def _pass_on(self, caught: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's form
        self._ending = self._ending or caught != signal.SIGHUP
        for pid in tuple(self._running):
            os.kill(pid, caught)


def _end_with_parent() -> None:
    """Drain when whoever looks after this process is killed: nobody would tell it to any more. Where Linux is not, it
    serves on."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
