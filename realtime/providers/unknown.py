"""What a provider sends and we have no name for: counted by kind, so that an operator sees a wire change."""

import re

# Kinds of one stream; a provider that invents more has one line for the rest.
MAX_KINDS = 32
MORE = "more"
UNNAMED = "unnamed"

# What a wire names its parts with: `weather_report`, `response.audio.delta`. No key and no sentence looks like that.
_KIND = re.compile(r"[A-Za-z_.]{1,64}", re.ASCII)


def count(unknown: dict[str, int], kind: object) -> bool:
    """Count one of `kind` and say whether it is the first of its own name.

    A kind becomes a label that operators see, so one that is not of the closed form is `unnamed`.
    """
    name = kind if isinstance(kind, str) and _KIND.fullmatch(kind) else UNNAMED
    if name not in unknown and len(unknown) >= MAX_KINDS:
        name = MORE
    unknown[name] = unknown.get(name, 0) + 1
    return unknown[name] == 1 and name not in (MORE, UNNAMED)
