"""What a generation cost, as Messages servers say it."""

from typing import Any

import msgspec

from ..events import Extra, Usage
from .messages_wire import Figures
from .upstream import Item


class Cost:
    """Figures are cumulative, and what the last event leaves out was said by the first."""

    def __init__(self) -> None:
        self._known = Figures()

    def take(self, told: Any, batch: list[Item], *, final: bool) -> None:
        """Append what is known with the figures of `told`; figures that are none change nothing."""
        try:
            given = msgspec.convert(told, Figures, strict=False)
        except ValueError:
            return
        for name in Figures.__struct_fields__:
            value = getattr(given, name)
            if value is not None:
                setattr(self._known, name, value)
        batch.append(self._usage(final=final))
        asked = given.server_tool_use
        if final and asked and any(asked.values()):
            # They are paid for by the piece, and no token.
            batch.append(Extra("server_tool_use", asked))

    def _usage(self, *, final: bool) -> Usage:
        known = self._known
        read, written = known.cache_read_input_tokens, known.cache_creation_input_tokens
        details = known.output_tokens_details
        return Usage(
            # Anthropic counts what its cache read or wrote beside the input; here they are part of it.
            input_tokens=(known.input_tokens or 0) + (read or 0) + (written or 0),
            output_tokens=known.output_tokens or 0,
            cached_input_tokens=read,
            cache_write_input_tokens=written,
            reasoning_tokens=None if details is None else details.thinking_tokens,
            estimated=not final,
        )
