"""The metrics of several processes on one port: each keeps its own in a folder that all share, and whoever is asked
adds them up. A scrape reaches one of them, and nobody can say which.

prometheus_client does that where a variable names the folder as it is imported; so whoever looks after the processes
names it before they are, and imports nothing of it until then.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def shared_figures() -> Iterator[None]:
    """Have the processes that are started in this block share their figures; raises OSError where there is no room for
    temporary files."""
    with TemporaryDirectory(prefix="realtime-metrics-") as folder:
        os.environ[_VARIABLE] = folder
        yield


def are_figures_shared() -> bool:
    """Whether this process keeps its figures in such a folder."""
    return _VARIABLE in os.environ


def forget(pid: int) -> None:
    """A process has ended: what it counted stays counted, and what it had it has no more."""
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    mark_process_dead(pid)  # type: ignore[no-untyped-call]
