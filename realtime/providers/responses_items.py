"""Output items of a Responses stream that are read: messages and reasoning, and what of them was passed on so far.

The wire says everything up to four times: in deltas, in the `done` of a part, in the `done` of its item and in the
response at the end. Servers leave out one or the other, so each `done` passes on what was missing before it.
"""

from collections.abc import Callable
from typing import Any

from ..events import Extra, Reasoning, Refusal, Source, Text
from .lenient import passed_on
from .responses_wire import OutputItem
from .upstream import Item

# Of `Reasoning.signature`, in front of the item's id and its encrypted content: the API wants both back, and a seal of
# another provider must not be sent to it.
_SEAL = "responses:"


class Said:
    """A text, as far as it was passed on."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def add(self, text: str) -> None:
        self._pieces.append(text)

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def add_missing(self, whole: str) -> str:
        """Add what `whole` has beyond it, and give that: nothing when the two differ, as what was said was said."""
        said = self.text
        missing = whole[len(said) :] if whole.startswith(said) else ""
        self._pieces = [said, missing]
        return missing


class MessagePart:
    """A content part of a message: text or refusal, and its citations.

    Args:
        number: Of the part, among all parts of the answer.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._said = Said()
        self._cited = 0

    def text(self, delta: str, batch: list[Item]) -> None:
        self._said.add(delta)
        batch.append(Text(delta, part=self._number))

    def whole_text(self, text: str, batch: list[Item]) -> None:
        if missing := self._said.add_missing(text):
            batch.append(Text(missing, part=self._number))

    def refusal(self, delta: str, batch: list[Item]) -> None:
        self._said.add(delta)
        batch.append(Refusal(delta, part=self._number))

    def whole_refusal(self, text: str, batch: list[Item]) -> None:
        if missing := self._said.add_missing(text):
            batch.append(Refusal(missing, part=self._number))

    def cite(self, annotation: Any, batch: list[Item]) -> None:
        self._cited += 1
        batch.append(_source(passed_on(annotation), self._number))

    def cite_missing(self, annotations: Any, batch: list[Item]) -> None:
        """Cite what was in no event of its own."""
        for annotation in annotations[self._cited :] if isinstance(annotations, list) else ():
            self.cite(annotation, batch)

    def pass_on(self, kind: str, part: Any, batch: list[Item]) -> bool:
        """Pass on a part of a type that is not known here; False when that was done before."""
        if not self._said.add_missing(kind):
            return False
        batch.append(Extra(kind, passed_on(part)))
        return True


class ReasoningItem:
    """Reasoning: its summaries, its text where the model shows it, and its seal. One part in all, as it has one seal.

    Args:
        number: Gives the next free number of a part.
    """

    def __init__(self, number: Callable[[], int]) -> None:
        self._take_number = number
        self._number: int | None = None
        self._said: dict[tuple[str, int], Said] = {}
        self._last: tuple[str, int] | None = None
        self._sealed = False

    def text(self, field: str, index: int, delta: str, batch: list[Item]) -> None:
        """Pass on an increment of one text of the item.

        Args:
            field: `summary` or `content`, each a list of texts.
        """
        self._said.setdefault((field, index), Said()).add(delta)
        self._pass_on((field, index), delta, batch)

    def whole_text(self, field: str, index: int, text: str, batch: list[Item]) -> None:
        missing = self._said.setdefault((field, index), Said()).add_missing(text)
        self._pass_on((field, index), missing, batch)

    def whole(self, item: OutputItem, batch: list[Item]) -> None:
        """Pass on what is missing of the item, and its seal."""
        for field, parts in (("summary", item.summary), ("content", item.content)):
            for index, part in enumerate(parts or ()):
                if isinstance(part, dict) and isinstance(part.get("text"), str):
                    self.whole_text(field, index, part["text"], batch)
        if item.encrypted_content and item.id and not self._sealed:
            self._sealed = True
            signature = f"{_SEAL}{item.id}:{item.encrypted_content}"
            batch.append(Reasoning("", part=self._part(), signature=signature))

    def _pass_on(self, place: tuple[str, int], text: str, batch: list[Item]) -> None:
        if not text:
            return
        # Each text is a paragraph of its own.
        separator = "" if self._last in (None, place) else "\n\n"
        self._last = place
        batch.append(Reasoning(separator + text, part=self._part()))

    def _part(self) -> int:
        if self._number is None:
            self._number = self._take_number()
        return self._number


def sealed(signature: str | None) -> tuple[str, str] | None:
    """The id and the encrypted content that make up a signature of reasoning; None for another provider's."""
    if signature is None or not signature.startswith(_SEAL):
        return None
    item, separator, encrypted = signature.removeprefix(_SEAL).partition(":")
    return (item, encrypted) if separator else None


def _source(annotation: Any, part: int) -> Source:
    cited = annotation if isinstance(annotation, dict) else {}
    # Some servers wrap it as Chat Completions does.
    inner = cited.get("url_citation")
    named = inner if isinstance(inner, dict) else cited
    url, title = named.get("url"), named.get("title") or named.get("filename")
    return Source(
        url=url if isinstance(url, str) else None,
        title=title if isinstance(title, str) else None,
        part=part,
        detail=annotation,
    )
