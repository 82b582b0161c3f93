"""Which tools a caller may have the provider run.

Such a tool is the provider's own object and passed on as it is, so what it may reach is decided here: one that makes
the provider call an address, or show a credential, of the caller's choosing acts with this server's account at the
provider, and is refused unless the server names its type.
"""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from .errors import RealtimeError

# Any type; but one that reaches out has to be named by a further pattern.
ALLOWED = ("*",)

_REACHING_TYPE = "mcp*"
# `server_url`, `authorization`, `headers`, `connector_id`, `tunnel_id` of the Responses API's `mcp`, `domain_secrets`
# of its containers, `authorization_token` of Anthropic's connector, and whatever else is called so.
_REACHING_KEY = re.compile(
    r".*(url|uri|endpoint|headers?|authorization|token|secrets?|passwords?|credentials?|apikey|connectorid|tunnelid)"
)


def check_provider_tools(tools: Sequence[dict[str, Any]], allowed: tuple[str, ...] = ALLOWED) -> None:
    """Refuse tools that the server does not allow.

    Args:
        allowed: Patterns (`fnmatch`) of types. `*` alone stands for all but those that reach out.

    Raises:
        RealtimeError: `bad_request` naming the field; never a value of it.
    """
    for index, tool in enumerate(tools):
        place = f"provider_tools[{index}]"
        kind = tool.get("type")
        if not isinstance(kind, str) or not kind:
            raise RealtimeError("bad_request", f"{place}.type is missing.", field=f"{place}.type")
        if not any(fnmatchcase(kind, pattern) for pattern in allowed):
            raise RealtimeError("bad_request", f"{place} is of a type not allowed here.", field=f"{place}.type")
        if not any(fnmatchcase(kind, pattern) for pattern in allowed if pattern != "*"):
            _refuse_reaching(tool, kind, place)


def _refuse_reaching(tool: dict[str, Any], kind: str, place: str) -> None:
    if fnmatchcase(kind.lower(), _REACHING_TYPE):
        message = f"{place} makes the provider call a server of the caller's choosing, which is not allowed here."
        raise RealtimeError("bad_request", message, field=f"{place}.type")
    for field in _reaching(tool, place):
        message = f"{field} is an address or a credential of the caller's choosing, which is not allowed here."
        raise RealtimeError("bad_request", message, field=field)


def _reaching(value: Any, place: str) -> Iterator[str]:
    """Paths of the keys that name an address or a credential, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            path = f"{place}.{key[:64]}"
            if _REACHING_KEY.fullmatch(re.sub("[-_]", "", key).lower()):
                yield path
            yield from _reaching(inner, path)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _reaching(inner, f"{place}[{index}]")
