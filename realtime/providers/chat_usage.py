"""What a generation cost, as Chat Completions servers say it."""

from typing import Any

import msgspec

from ..events import Usage
from .chat_wire import CompletionDetails, Figures, PromptDetails

_NO_PROMPT_DETAILS = PromptDetails()
_NO_COMPLETION_DETAILS = CompletionDetails()


def usage_of(told: Any, *, final: bool) -> Usage | None:
    """The figures of a `usage` object; None when it is none, for then the session estimates."""
    try:
        given = msgspec.convert(told, Figures, strict=False)
    except ValueError:
        return None
    if given.prompt_tokens is None and given.completion_tokens is None:
        return None
    return _usage(given, final=final)


def _usage(given: Figures, *, final: bool) -> Usage:
    details = given.prompt_tokens_details or _NO_PROMPT_DETAILS
    reasoning = (given.completion_tokens_details or _NO_COMPLETION_DETAILS).reasoning_tokens
    prompt, output = given.prompt_tokens or 0, given.completion_tokens or 0
    if reasoning and given.total_tokens == prompt + output + reasoning:
        # xAI counts reasoning beside the completion, everybody else inside it; it is paid for as output.
        output += reasoning
    cached = details.cached_tokens
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        cached_input_tokens=given.prompt_cache_hit_tokens if cached is None else cached,
        cache_write_input_tokens=details.cache_write_tokens,
        reasoning_tokens=reasoning,
        estimated=not final,
    )
