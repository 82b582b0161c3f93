"""Several processes that accept on one socket: started, kept, told what the first is told, and waited for.

They are forked while there are no threads and no connections. Whoever dies is replaced; one that dies as
soon as it is started is replaced ever more slowly, so that a mistake in a setting is no storm of processes.

Signals are waited for, one after the other, and handled by nobody: between a fork and the note of it, or in the child
before it is one, a handler would leave somebody untold.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

_logger = logging.getLogger("realtime")

# A process that lives for this long has started well.
_WELL_S = 5.0
_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
# What a process ends with that was given a setting that will not do.
_REFUSED = 2

_TOLD = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_AWAITED = _TOLD | {signal.SIGCHLD, signal.SIGALRM}


class _Place:
    """What one worker after the other has.

    Attributes:
        pid: Of the one that runs.
        since: When that began; or, where none runs, when the next one is to.
        pause_s: Before the next one, should this one die.
        first: None has died here yet.
    """

    __slots__ = ("first", "number", "pause_s", "pid", "since")

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid: int | None = None
        self.since = 0.0
        self.pause_s = _PAUSE_S
        self.first = True


class Workers:
    """See the module.

    Args:
        count: How many.
        work: What each does, given its number; returns when its process is to end.
        ended: Called with each process that has ended.
    """

    def __init__(self, count: int, work: Callable[[int], None], ended: Callable[[int], None]) -> None:
        self._work = work
        self._ended = ended
        self._places = [_Place(number) for number in range(count)]
        # Nothing is ever written to it: it ends when whoever holds its other end does, however that comes.
        self._parent, self._held = os.pipe()
        self._ending = False
        self._code = 0

    def run(self) -> int:
        """Until all have ended.

        Returns:
            0 where each has ended as it was told to; else the greatest of their exit codes, in which a signal that
            ended one is 128 and its number.
        """
        # From here on they wait until they are asked for. What is ignored might not, so it has a handler.
        signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for place in self._places:
            self._start(place)
        while any(place.pid is not None for place in self._places) or not self._ending:
            caught = signal.sigwait(_AWAITED)
            if caught in _TOLD:
                self._pass_on(caught)
            self._note_ends()
            self._start_due()
        return self._code

    def _pass_on(self, caught: int) -> None:
        self._ending = self._ending or caught != signal.SIGHUP
        for place in self._places:
            if place.pid is not None:
                os.kill(place.pid, caught)

    def _note_ends(self) -> None:
        running = {place.pid: place for place in self._places if place.pid is not None}
        while running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            place = running.pop(pid, None)
            # In a container this may be process 1, and be given the children of others.
            if place is not None:
                self._note_end(place, pid, os.waitstatus_to_exitcode(status))

    def _note_end(self, place: _Place, pid: int, code: int) -> None:
        lived_s, place.pid = time.monotonic() - place.since, None
        self._ended(pid)
        if self._ending:
            self._code = max(self._code, _exit_code(code))
        elif place.first and code == _REFUSED:
            # It has said why, and any other would say the same.
            self._code = code
            self._pass_on(signal.SIGTERM)
        else:
            pause_s = _PAUSE_S if lived_s >= _WELL_S else place.pause_s
            _logger.error("worker %d (pid %d) ended with %d, next in %g s", place.number, pid, code, pause_s)
            place.since = time.monotonic() + pause_s
            place.pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        place.first = False

    def _start_due(self) -> None:
        """Start who is to be started by now, and see to being woken for the next."""
        if self._ending:
            return
        for place in self._places:
            if place.pid is None and place.since <= time.monotonic():
                self._start(place)
        waits_s = [place.since - time.monotonic() for place in self._places if place.pid is None]
        # None of them may come out as 0, which is never.
        signal.setitimer(signal.ITIMER_REAL, max(min(waits_s), 0.001) if waits_s else 0)

    def _start(self, place: _Place) -> None:
        pid = os.fork()
        if pid:
            place.pid, place.since = pid, time.monotonic()
            _logger.info("worker %d is pid %d", place.number, pid)
            return
        for caught in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(caught, signal.SIG_DFL)
        # It says to read a file again, which one that is about to read it, or has none, need not be told.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.close(self._held)
        # Before signals may come: they are for the first thread, which is to be woken by them.
        threading.Thread(target=_end_with, args=(self._parent,), name="parent", daemon=True).start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
        try:
            self._work(place.number)
        except SystemExit as error:
            os._exit(error.code if isinstance(error.code, int) else 1)
        except BaseException:
            _logger.exception("worker %d failed", place.number)
            os._exit(1)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _exit_code(code: int) -> int:
    """Of one that was told to end; a signal that came before it could hear of it has ended it too."""
    if -code in {signal.SIGTERM, signal.SIGINT}:
        return 0
    return code if code >= 0 else 128 - code


def _end_with(parent: int) -> None:
    """Drain when whoever looks after this process has died: nobody would tell it to any more.

    Args:
        parent: What ends with that.
    """
    os.read(parent, 1)
    os.kill(os.getpid(), signal.SIGTERM)
