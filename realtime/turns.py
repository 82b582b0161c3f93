"""Which messages make sense, whatever the provider: what each role may say."""

from .errors import RealtimeError
from .media import check_media
from .prompt import FilePart, ImagePart, Message, Part, TextPart


def check_message(message: Message, place: str) -> None:
    """Refuse a message that no provider could be sent.

    Args:
        place: Its path in the request.

    Raises:
        RealtimeError: `bad_request` naming the field.
    """
    if message.role == "system":
        raise RealtimeError("bad_request", "Only the first message may be a system message.", field=f"{place}.role")
    if (message.role == "tool") != (message.call is not None):
        raise RealtimeError("bad_request", "A tool message, and no other, names its call.", field=f"{place}.call")
    if message.is_error and message.role != "tool":
        raise RealtimeError("bad_request", "Only a tool message is an error.", field=f"{place}.is_error")
    if message.role != "tool" and _is_empty(message):
        # A tool may have nothing to say.
        raise RealtimeError("bad_request", f"{place}.content is empty.", field=f"{place}.content")
    for index, part in enumerate(message.parts):
        _check_part(part, message.role, f"{place}.content[{index}]")


def _is_empty(message: Message) -> bool:
    return all(isinstance(part, TextPart) and not part.text.strip() for part in message.parts)


def _check_part(part: Part, role: str, place: str) -> None:
    if role == "assistant":
        # A file is one that an answer held, by whatever address, and is not sent to anyone.
        if isinstance(part, ImagePart):
            raise RealtimeError("bad_request", "An assistant message holds no image.", field=place)
    elif isinstance(part, ImagePart | FilePart):
        check_media(part, place)
    elif not isinstance(part, TextPart):
        raise RealtimeError("bad_request", f"A {role} message holds text, images and files only.", field=place)
