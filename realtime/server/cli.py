"""`realtime serve | chat | watch | stop | providers check`."""

import inspect
from typing import Annotated, Any, get_args

import typer
from pydantic.fields import FieldInfo

from .commands import register
from .settings import SECRETS, Settings

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
register(cli)


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
        """Serve generations. Every flag is also a REALTIME_… variable; flags win."""
        # The providers' SDKs take a second to import, and chat, watch and stop do without them.
        from .serve import serve as run  # noqa: PLC0415

        run(flags)

    flags = [_flag(name, field) for name, field in Settings.model_fields.items() if name not in SECRETS]
    serve.__signature__ = inspect.Signature(flags)  # type: ignore[attr-defined]  # read by Typer, unknown to mypy
    return serve


cli.command("serve")(_with_flags())
providers = typer.Typer(no_args_is_help=True, help="The providers that are configured.")
cli.add_typer(providers, name="providers")


@providers.command("check")
def check(
    *, ask: Annotated[bool, typer.Option("--ask", help="Have each say a word, which costs a few tokens.")] = False
) -> None:
    """Try each provider, and print what was found; exits with 1 when one of them does not work."""
    # As for `serve`.
    from .providers_check import check as run  # noqa: PLC0415

    run(ask=ask)


@providers.callback()
def _providers() -> None:
    """The providers that are configured."""


def main() -> None:
    """The `realtime` command."""
    cli()
