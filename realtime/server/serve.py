"""`realtime serve`: from flags to a running process, or one sentence that says why not."""

import asyncio
import ipaddress
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, NoReturn

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from realtime.errors import RealtimeError

from .listening import listen
from .log_format import configure_logging
from .settings import Settings
from .shared_figures import forget, shared_figures
from .workers import Workers

# Connections that wait to be accepted; uvicorn's own figure.
_BACKLOG = 2048
# What a process ends with that was given settings that will not do, and one that may well do later.
_REFUSED, _AWAY = 2, 1

_console = Console(stderr=True, highlight=False)


def serve(flags: dict[str, Any]) -> None:
    """Serve until a signal. A setting that will not do ends the process with a sentence and code 2; a Redis that is
    not to be had, with one and code 1."""
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        _fail(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}")
    try:
        key = settings.key()
    except (OSError, ValueError) as error:
        _fail(f"api_key_file: {error.strerror if isinstance(error, OSError) else error}")
    _refuse_unsafe(settings, key)
    configure_logging(settings.log_format, settings.log_level, pids=settings.workers > 1)
    try:
        sock = listen(settings)
    except OSError as error:
        _fail(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.")
    if settings.workers == 1:
        _work(settings, sock, greet=True)
    else:
        sys.exit(_work_together(settings, sock))


def _work_together(settings: Settings, sock: socket.socket) -> int:
    """Serve in several processes; the exit code."""
    # Before the first of them begins, so that all have it.
    sock.listen(_BACKLOG)
    with ExitStack() as stack:
        try:
            stack.enter_context(shared_figures())
        except OSError as error:
            _fail(f"--workers above 1 needs a place for temporary files: {error.strerror}.")
        # Said here it is said once; who is to replace one of them later tries until it is back. And not sooner: it
        # imports what has to know of that place.
        _reach_redis(settings)
        return Workers(settings.workers, lambda number: _work(settings, sock, greet=number == 0), forget).run()


def _work(settings: Settings, sock: socket.socket, *, greet: bool) -> None:
    """Serve in this process."""
    # The providers' SDKs take a second to import, and whoever only looks after workers does without.
    from .app import Application  # noqa: PLC0415
    from .process import create_server  # noqa: PLC0415

    try:
        application = Application(settings)
    except ValueError as error:
        _fail(f"providers_file: {settings.providers_file}: {error}")
    _reach_redis(settings)
    if greet:
        _greet(application.sources, sock.getsockname()[:2])
    create_server(application).run(sockets=[sock])


def _reach_redis(settings: Settings) -> None:
    """Return when it answers, where there is to be one."""
    if settings.redis_url is None:
        return
    # See `Application`.
    from realtime.bus.redis import reach  # noqa: PLC0415

    try:
        asyncio.run(reach(settings.redis_url.get_secret_value()))
    except ValueError:
        _fail("REALTIME_REDIS_URL: A port or an option is wrong, or a password in it is not percent-encoded.")
    except RealtimeError as error:
        _fail(f"REALTIME_REDIS_URL: {error.error.message}", _AWAY)


def _refuse_unsafe(settings: Settings, key: str | None) -> None:
    if settings.workers > 1 and settings.redis_url is None:
        _fail("--workers above 1 needs a bus that spans processes: set REALTIME_REDIS_URL, or run one worker.")
    if not _is_loopback(settings.host) and key is None and not settings.insecure:
        _fail(
            f"Listening on {settings.host} would let anyone spend your provider's money. "
            "Set REALTIME_API_KEY, or pass --insecure if something in front authenticates."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _greet(sources: Mapping[str, str], address: tuple[str, int]) -> None:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    for alias, source in sources.items():
        _say(f"  provider [bold]{alias}[/bold]  {escape(source)}")
    _say(f"  listening on [bold]http://{escape(host)}:{address[1]}[/bold]  (API reference at /docs)")


def _fail(sentence: str, code: int = _REFUSED) -> NoReturn:
    _say(f"[red]error:[/red] {escape(sentence)}")
    sys.exit(code)


def _say(line: str) -> None:
    """One line, however long: who reads it from a pipe looks for whole URLs."""
    _console.print(line, soft_wrap=True)
