"""Writes docs/settings.md from the settings themselves: `python -m tests.make_settings_page`."""

from pathlib import Path
from types import NoneType
from typing import Any, get_args

from pydantic.fields import FieldInfo

from realtime.server.settings import SECRETS, Settings

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"

HEAD = """# Settings

Every setting is a `REALTIME_…` variable and a flag of `realtime serve`; a flag wins. Secrets are variables or files,
never flags. This page is written from `realtime/server/settings.py` by `python -m tests.make_settings_page`.

Providers are found by the variables that their own SDKs read: `OPENAI_API_KEY`, `OPENAI_BASE_URL` (Ollama, vLLM,
llama.cpp and whatever else is compatible, with or without a key), `ANTHROPIC_API_KEY`, `ANTHROPIC_BASE_URL`. A user and
password in a URL are sent as Basic; to an OpenAI-compatible server in place of the key. With `--providers-file` the
file alone says what is offered, Azure, Bedrock and Vertex too: [providers.md](providers.md).

| flag | variable | type | default | what |
|---|---|---|---|---|
"""


def shown_type(kind: Any) -> str:
    """A type as a reader of a command line thinks of it."""
    kinds = [part for part in get_args(kind) if part is not NoneType] or [kind]
    names = {int: "integer", float: "number", bool: "yes/no", str: "text"}
    return " \\| ".join(f"`{part}`" if isinstance(part, str) else names.get(part, part.__name__) for part in kinds)


def row(name: str, field: FieldInfo) -> str:
    """One line of the table."""
    flag = "none" if name in SECRETS else f"`--{name.replace('_', '-')}`"
    default = "none" if field.default in (None, "") else f"`{field.default}`"
    kind = "secret" if name in SECRETS else shown_type(field.annotation)
    return f"| {flag} | `REALTIME_{name.upper()}` | {kind} | {default} | {field.description} |"


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(row(name, field) for name, field in Settings.model_fields.items()) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
