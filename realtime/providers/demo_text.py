"""What the demo model says: prose without end, cut into pieces the size of a model's tokens.

Everything is drawn from one `random.Random`, so a seed is a text; nothing is built before it is asked for, so a long
answer takes no more memory than a short one.
"""

import json
import random
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

# A word with the space before it, in bits of at most seven letters, or a run of signs or of space. Every character is
# in exactly one piece: joined, they are the text again. Emoji sequences are signs, so they stay whole.
_PIECE = re.compile(r"\s?\w{1,7}|\s?[^\w\s]{1,16}|\s{1,16}")
_WORD = re.compile(r"[^\W_]{1,24}(?:['\u2019-][^\W_]{1,24})?")
_MARKUP = re.compile(r"<[^<>]{0,200}>")

_OPENINGS = (
    "You asked about “{quote}”, and that is a good place to begin.",
    "Let us look at “{quote}” slowly, the way one reads a map before a walk.",
    "“{quote}”: three small observations, then a suggestion. 🧭",
)
_SENTENCES = (
    "The {thing} comes first, because everything else leans on it.",
    "Think of {word} as a {thing} seen from a {place}: the outline is clear, the details arrive one at a time.",
    "Some of this is {quality}, and some of it is only habit.",
    "In a {place} near Zürich, people still describe {word} with a single drawing.",
    "It helps to ask what would change if the {thing} were {quality} instead.",
    "There is a Japanese word for that, 木漏れ日, the light that falls through leaves. 🍃",
    "Nothing here is urgent; a {quality} answer today is worth two clever ones tomorrow.",
    "When the {thing} stops making sense, go back to {word} and count again.",
    "A friend from Reykjavík once put it this way: “þetta reddast”, it will work out.",
    "Notice how the {place} and the {thing} never quite touch, and yet each explains the other.",
    "If you keep only one part of {word}, keep the {quality} one. ✨",
    "The numbers agree: about 3½ parts {thing} to one part patience.",
    "That is why the {place} feels {quality} in the morning and ordinary by noon. 🌤️",
    "Small steps are fine — a {thing} is moved an inch at a time.",
    "Naïve as it sounds, the first draft of {word} is usually the {quality} one.",
    "Write it down, close the {place} door, and read it again after a café crème. ☕",
)
_MUSINGS = (
    "The question mentions {word}, so I should start there.",
    "Is the {thing} really {quality}, or does it only look so from the {place}?",
    "I could list everything, but a short answer is kinder.",
    "Let me check the other side: without {word}, would the {thing} still hold?",
    "Yes, it would, so that is the part to lead with.",
    "An example from a {place} would make this easier to see.",
)
_REFUSAL = "I would rather not go on with this one. Ask me something else and I will gladly try. 🙏"
_THINGS = ("lantern", "river", "bridge", "clock", "harbour", "recipe", "compass", "melody", "staircase", "garden")
_PLACES = ("library", "station", "mountain hut", "kitchen", "lighthouse", "workshop", "courtyard", "tea house")
_QUALITIES = ("patient", "simple", "warm", "surprising", "durable", "quiet", "generous", "precise")


def words_of(text: str, most: int = 6) -> list[str]:
    """The first words of a text: letters, digits and inner hyphens only, so quoting them is harmless anywhere."""
    return [match[0] for match in islice(_WORD.finditer(_MARKUP.sub(" ", text)), most)]


def pieces(sentences: Iterable[str]) -> Iterator[str]:
    """Cut texts into token-sized pieces, in order and without loss."""
    for sentence in sentences:
        for match in _PIECE.finditer(sentence):
            yield match[0]


def cut(endless: Iterator[str], tokens: int | None, *, sentences: int) -> Iterator[str]:
    """So many pieces of an endless text, the last a sign that it was cut; or so many whole sentences of it."""
    if tokens is None:
        yield from pieces(islice(endless, sentences))
    else:
        yield from islice(pieces(endless), tokens - 1)
        yield "…"


def prose(rng: random.Random, about: list[str]) -> Iterator[str]:
    """Sentences of an answer, without end; a paragraph is four of them."""
    yield rng.choice(_OPENINGS).format(quote=" ".join(about) or "nothing in particular")
    for n, sentence in enumerate(_drawn(rng, _SENTENCES, about), start=1):
        yield ("\n\n" if n % 4 == 0 else " ") + sentence


def musings(rng: random.Random, about: list[str]) -> Iterator[str]:
    """Sentences of reasoning, without end."""
    for sentence in _drawn(rng, _MUSINGS, about):
        yield sentence + "\n"


def refusal() -> Iterator[str]:
    return pieces([_REFUSAL])


def document(rng: random.Random, about: list[str], tokens: int) -> Iterator[str]:
    """The text of one JSON object in pieces: at least `tokens` of them, and always a whole object."""
    head = {
        "question": " ".join(about),
        "mood": rng.choice(_QUALITIES),
        "score": rng.randint(1, 99) / 100,
        "icon": "🧭",
    }
    count = 0
    for text in _object_text(rng, about, head):
        # The end of the list is also a fit place for the end of the object.
        if count >= tokens and text.startswith(",\n    "):
            break
        for piece in pieces([text]):
            count += 1
            yield piece
    yield from pieces(["\n  ],\n  ", '"complete": true', "\n}"])


def _object_text(rng: random.Random, about: list[str], head: dict[str, Any]) -> Iterator[str]:
    fields = ",\n  ".join(f"{json.dumps(key)}: {_json(value)}" for key, value in head.items())
    yield "{\n  " + fields + ',\n  "steps": [\n    '
    for n, sentence in enumerate(_drawn(rng, _SENTENCES, about), start=1):
        step = {"n": n, "place": rng.choice(_PLACES), "note": sentence}
        yield (",\n    " if n > 1 else "") + _json(step)


def arguments(schema: dict[str, Any], about: list[str]) -> str:
    """JSON text of arguments for a tool: one value of the declared type for each of its properties."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return "{}"
    return _json({name: _sample(declared, about) for name, declared in properties.items()})


def _sample(declared: Any, about: list[str]) -> Any:
    declared = declared if isinstance(declared, dict) else {}
    if isinstance(declared.get("enum"), list) and declared["enum"]:
        return declared["enum"][0]
    quote = " ".join(about) or "Zürich"
    samples = {"integer": 3, "number": 0.5, "boolean": True, "array": [], "object": {}, "null": None}
    kind = declared.get("type")
    return samples.get(kind, quote) if isinstance(kind, str) else quote


def _drawn(rng: random.Random, templates: tuple[str, ...], about: list[str]) -> Iterator[str]:
    """Templates filled in, in an order that uses each before it repeats one."""
    words = [word for word in about if len(word) > 3] or ["the question"]
    while True:
        for template in rng.sample(templates, len(templates)):
            yield template.format(
                word=rng.choice(words),
                thing=rng.choice(_THINGS),
                place=rng.choice(_PLACES),
                quality=rng.choice(_QUALITIES),
            )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
