"""Calls and their results, as the model APIs insist on them: each answered once, before anyone else speaks."""

from ..errors import RealtimeError
from ..prompt import Message, Prompt, ToolCallPart


def check_calls(prompt: Prompt, *, ids_once: bool) -> None:
    """Refuse calls without results and results without calls, which the APIs answer with 400.

    Args:
        ids_once: Whether a call's id must be its own in the whole prompt, and not in its turn alone.

    Raises:
        RealtimeError: `bad_request` naming the field.
    """
    seen: set[str] = set()
    # By id, the place of each call of the last turn that has no result yet.
    waiting: dict[str, str] = {}
    for place, message in prompt.placed():
        if message.role == "tool":
            if waiting.pop(message.call or "", None) is None:
                sentence = f"{place} answers no call of the turn before it, or one that was answered."
                raise RealtimeError("bad_request", sentence, field=f"{place}.call")
            continue
        if message.role == "user":
            _refuse_unanswered(waiting)
        for field, call in calls_of(message, place):
            if call.call in waiting or (ids_once and call.call in seen):
                raise RealtimeError("bad_request", f"{field} has the id of an earlier call.", field=f"{field}.call")
            seen.add(call.call)
            waiting[call.call] = field
    _refuse_unanswered(waiting)


def calls_of(message: Message, place: str) -> list[tuple[str, ToolCallPart]]:
    """The calls of a turn that are for the caller to run, each with its path in the request."""
    return [
        (f"{place}.content[{index}]", part)
        for index, part in enumerate(message.parts)
        if isinstance(part, ToolCallPart) and not part.provider_run
    ]


def _refuse_unanswered(waiting: dict[str, str]) -> None:
    for field in waiting.values():
        raise RealtimeError("bad_request", f"{field} is a call that the tool messages after it leave out.", field=field)
