"""The metrics of several processes on one port: each keeps its own in a folder that all share, and whoever is asked
adds them up. A scrape reaches one of them, and nobody can say which.

prometheus_client does that where a variable names the folder as it is imported; so whoever looks after the processes
names it before they are, and imports nothing of it until then.

The folder goes with whoever made it. One that was killed leaves it behind, and the next one to come removes it: it is
locked for as long as any process lives that was to use it, whoever they are and in whichever container.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "realtime-metrics-"


@contextmanager
def shared_figures() -> Iterator[None]:
    """Have the processes that are started in this block share their figures; raises OSError where there is no room for
    temporary files."""
    _remove_left()
    made = Path(mkdtemp(prefix="realtime-new-"))
    # Of the parent and of all that it forks, until the last of them has ended.
    held = _lock(made)
    # Whoever looks for what was left sees it only now.
    folder = made.rename(made.with_name(made.name.replace("realtime-new-", _PREFIX)))
    os.environ[_VARIABLE] = str(folder)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _remove_left() -> None:
    """Remove the folders of those who were killed, and whose workers have ended too."""
    for folder in Path(gettempdir()).glob(f"{_PREFIX}*"):
        # It may be in use, or another user's.
        with suppress(OSError):
            held = _lock(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)


def _lock(folder: Path) -> int:
    """Lock a folder for as long as the file that this opens is open, here or in a process that was forked since;
    raises OSError where it is locked already."""
    # Where there is none nothing is forked either.
    import fcntl  # noqa: PLC0415

    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise
    return held


def are_figures_shared() -> bool:
    """Whether this process keeps its figures in such a folder."""
    return _VARIABLE in os.environ


def forget(pid: int) -> None:
    """A process has ended: what it counted stays counted, and what it had it has no more."""
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    mark_process_dead(pid)  # type: ignore[no-untyped-call]
