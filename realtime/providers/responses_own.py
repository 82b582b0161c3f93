"""Calls of OpenAI's own tools that the caller runs, such as a shell or a computer, and their results.

Each is an item of a type of its own, with more to it than a name and arguments: its id, where it is to be run, what is
to be acknowledged first. So it is passed on as it came too, as an `extra` behind the call. With that the next turn has
the call as what it was, and its result in the form that belongs to it; without, both are a function's.
"""

from typing import Any, NamedTuple

import msgspec

from ..errors import RealtimeError
from ..prompt import ExtraPart, ImagePart, Message, Prompt, TextPart, ToolCallPart

OWN_CALLS = frozenset({"local_shell_call", "shell_call", "apply_patch_call", "computer_call"})

# What a caller adds to the turn, with the checks of a call that a person has agreed to.
_AGREED = "computer_call_output"


class OwnCall(NamedTuple):
    """A call of an earlier turn.

    Attributes:
        item: As the API has it.
        agreed: Its safety checks that were acknowledged.
    """

    item: dict[str, Any]
    agreed: list[Any]


class _Ran(msgspec.Struct):
    """What came of one command of a shell."""

    stdout: str
    stderr: str
    outcome: dict[str, Any]


def own_calls(message: Message) -> dict[str, OwnCall]:
    """Those of a turn, by the ids of the calls."""
    asked = {part.call for part in message.parts if isinstance(part, ToolCallPart) and not part.provider_run}
    items: dict[str, dict[str, Any]] = {}
    agreed: dict[str, list[Any]] = {}
    for part in message.parts:
        match part:
            case ExtraPart(kind=kind, value={"type": same, "call_id": str(call)}) if kind == same and call in asked:
                if kind in OWN_CALLS:
                    items[call] = part.value
                elif kind == _AGREED and isinstance(checks := part.value.get("acknowledged_safety_checks"), list):
                    agreed[call] = checks
    return {call: OwnCall(item, agreed.get(call, [])) for call, item in items.items()}


def check_results(prompt: Prompt, *, compatible: bool) -> None:
    """Refuse results that are not of the form that their call's type has.

    Args:
        compatible: For another server than OpenAI's, which may not insist on what is to be acknowledged.

    Raises:
        RealtimeError: `bad_request` naming the field.
    """
    calls: dict[str, OwnCall] = {}
    for place, message in prompt.placed():
        calls |= own_calls(message)
        call = calls.get(message.call or "")
        if call is None:
            continue
        if not _fits(call, message):
            wanted = "one image without a detail" if call.item["type"] == "computer_call" else "text"
            sentence = f"{place} answers a {call.item['type']}, whose result is {wanted}."
            raise RealtimeError("bad_request", sentence, field=f"{place}.content")
        if call.item.get("pending_safety_checks") and not call.agreed and not compatible:
            sentence = f"{place} answers a call with safety checks that were not acknowledged."
            raise RealtimeError("bad_request", sentence, field=place)


def _fits(call: OwnCall, message: Message) -> bool:
    if call.item["type"] != "computer_call":
        return all(isinstance(part, TextPart) for part in message.parts)
    match message.parts:
        case (ImagePart(detail=None | "auto"),):
            return True
    return False


def own_result(call: OwnCall, message: Message) -> dict[str, Any]:
    """The item that a `tool` message is, which `check_results` has let pass."""
    kind, text = call.item["type"], "".join(part.text for part in message.parts if isinstance(part, TextPart))
    result: dict[str, Any] = {"type": f"{kind}_output", "call_id": message.call}
    match kind:
        case "computer_call":
            image = next(part for part in message.parts if isinstance(part, ImagePart))
            url = image.url or f"data:{image.media_type};base64,{image.data}"
            result["output"] = {"type": "computer_screenshot", "image_url": url}
            if call.agreed:
                result["acknowledged_safety_checks"] = call.agreed
        case "apply_patch_call":
            result |= {"status": "failed" if message.is_error else "completed", "output": text}
        case "shell_call":
            result["output"] = _ran(text, failed=message.is_error)
            # The API wants to be told again.
            match call.item.get("action"):
                case {"max_output_length": int(length)}:
                    result["max_output_length"] = length
        case _:
            result["output"] = text
    return result


def _ran(text: str, *, failed: bool) -> list[dict[str, Any]]:
    """A shell's result: the API's own list as JSON; any other text is what one command has printed."""
    try:
        ran = msgspec.json.decode(text, type=list[_Ran])
    except msgspec.DecodeError:
        ran = []
    # An empty list is what something has printed, too.
    return [msgspec.to_builtins(one) for one in ran or [_Ran(text, "", {"type": "exit", "exit_code": int(failed)})]]
