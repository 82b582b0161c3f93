"""`python -m tests.faults.inspected_server`: the server of `realtime serve`, which also says how much it holds.

Beyond the product's own routes there is `GET /counts`, and `GET /counts?objects=1` for what is alive of each type. On
standard output come the port, and then, for every generation that was settled, what its writer wrote: rows for the
history checker, which this process does not keep. Errors are logged on standard error, and nothing else is.
"""

import asyncio
import ctypes
import gc
import resource
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from realtime.hooks import Record
from realtime.server.app import Application
from realtime.server.listening import listen
from realtime.server.log_format import configure_logging
from realtime.server.process import create_server
from realtime.server.settings import Settings
from tests.history.rows import Row, Settled, dump
from tests.support.recording import Recording

_PR_SET_PDEATHSIG = 1
# Whose types are counted: those there may be one of for each generation, observer, connection or request.
_OURS = ("realtime.", "transports.", "_asyncio.", "asyncio.", "uvicorn.", "websockets.", "starlette.")


def main() -> None:
    """Serve until killed, or until the process that started this one is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    configure_logging("text", "error")
    # Its other settings, and the provider, come by the environment.
    settings: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "demo": True}
    application = Application(Settings(**settings))
    _Telling().attach(application)
    application.app.add_api_route("/counts", _counts)
    sock = listen(application.settings)
    print(sock.getsockname()[1], flush=True)
    create_server(application).run(sockets=[sock])


class _Telling(Recording):
    """A recording that is told to the parent, generation by generation, instead of being kept."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = _Told()

    def _note(self, record: Record, /) -> None:
        pass


class _Told(list[Row]):
    """Rows that leave as soon as their generation is settled."""

    def __init__(self) -> None:
        super().__init__()
        self._unsettled: dict[str, list[Row]] = {}

    def append(self, row: Row, /) -> None:
        rows = self._unsettled.setdefault(row.generation, [])
        rows.append(row)
        if isinstance(row, Settled):
            dump(self._unsettled.pop(row.generation), sys.stdout)
            sys.stdout.flush()


async def _counts(*, objects: bool = False) -> dict[str, Any]:
    """What this process holds now; with `objects`, after a collection, and by type."""
    if objects:
        gc.collect()
    counts: dict[str, Any] = {
        "cpu_s": time.process_time(),
        "rss_bytes": _resident_bytes(),
        "tasks": len(asyncio.all_tasks()),
        "descriptors": _entries("/proc/self/fd"),
        "threads": _entries("/proc/self/task"),
        "blocks": sys.getallocatedblocks(),
    }
    if objects:
        counts["objects"] = _census()
    return counts


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _entries(directory: str) -> int:
    return sum(1 for _ in Path(directory).iterdir())


def _census() -> dict[str, int]:
    names = (f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.get_objects())
    return dict(Counter(name for name in names if name.startswith(_OURS)))


if __name__ == "__main__":
    main()
