"""`realtime serve | chat | watch | stop`."""

import inspect
import ipaddress
import sys
from typing import Annotated, Any, NoReturn, get_args

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from rich.console import Console

from .app import Application
from .commands import register
from .log_format import configure_logging
from .process import create_server, listen
from .settings import Settings

# A command line is visible to every user of the machine.
_SECRET = "api_key"  # noqa: S105 - the name of a setting
_console = Console(stderr=True, highlight=False)

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
register(cli)


def _serve(**flags: Any) -> None:
    """Serve generations. Every flag is also a REALTIME_… variable; flags win."""
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
    configure_logging(settings.log_format, settings.log_level)
    application = Application(settings)
    try:
        sock = listen(settings)
    except OSError as error:
        _fail(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.")
    _greet(application, sock.getsockname()[:2])
    server = create_server(application)
    server.run(sockets=[sock])


def _refuse_unsafe(settings: Settings, key: str | None) -> None:
    if settings.workers > 1:
        _fail("--workers above 1 needs a bus that spans processes; the memory bus is of one. Run one worker.")
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


def _greet(application: Application, address: tuple[str, int]) -> None:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    for found in application.found:
        _console.print(f"  provider [bold]{found.alias}[/bold]  {found.source}")
    _console.print(f"  listening on [bold]http://{host}:{address[1]}[/bold]  (API reference at /docs)")


def _fail(sentence: str) -> NoReturn:
    _console.print(f"[red]error:[/red] {sentence}", soft_wrap=True)
    sys.exit(2)


def _flag(name: str, field: FieldInfo) -> inspect.Parameter:
    """A command-line flag for a setting."""
    kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)]
    is_optional = type(None) in get_args(field.annotation)
    kind: Any = kinds[0] if is_optional else field.annotation
    shown = f"[env: REALTIME_{name.upper()}; default: {field.default}]"
    option = typer.Option(help=f"{field.description} {shown}", show_default=False)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _with_flags() -> Any:
    def serve(**flags: Any) -> None:
        _serve(**flags)

    serve.__doc__ = _serve.__doc__
    flags = [_flag(name, field) for name, field in Settings.model_fields.items() if name != _SECRET]
    serve.__signature__ = inspect.Signature(flags)  # type: ignore[attr-defined]  # read by Typer, unknown to mypy
    return serve


cli.command("serve")(_with_flags())


def main() -> None:
    """The `realtime` command."""
    cli()
