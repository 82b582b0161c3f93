"""How many tokens something has, where nobody says."""

# English prose, by OpenAI's own rule of thumb.
BYTES_PER_TOKEN = 4
# Most APIs send a delta per token, and then the deltas are the better count: code and markdown have longer tokens than
# prose. Where deltas are longer than this on average (Anthropic's), they hold several.
_BYTES_PER_DELTA = 8


def estimated_tokens(deltas: int, size: int) -> int:
    """Tokens of an answer that came in so many deltas, of so many bytes in all."""
    return deltas if size <= deltas * _BYTES_PER_DELTA else -(-size // BYTES_PER_TOKEN)
