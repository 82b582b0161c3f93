"""What tokens cost."""

import msgspec

from .events import Usage

_TOKENS = 1_000_000


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars for a million tokens, as providers publish them.

    Attributes:
        cached_input: Input that was read from the provider's cache; as other input without it.
        cache_write_input: Input that was written to its cache; as other input without it.
    """

    input: float = 0.0
    output: float = 0.0
    cached_input: float | None = None
    cache_write_input: float | None = None

    def cost(self, usage: Usage) -> float:
        """US dollars. Cached and cache-writing tokens are among the input tokens, reasoning is among the output."""
        cached, written = usage.cached_input_tokens or 0, usage.cache_write_input_tokens or 0
        plain = max(0, usage.input_tokens - cached - written)
        spent = plain * self.input + usage.output_tokens * self.output
        spent += cached * (self.input if self.cached_input is None else self.cached_input)
        spent += written * (self.input if self.cache_write_input is None else self.cache_write_input)
        return spent / _TOKENS
