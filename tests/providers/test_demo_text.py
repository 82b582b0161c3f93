"""The demo's words: lossless pieces, endless prose, whole JSON."""

import json
import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.providers import demo_text


@given(st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from(" \n\t🧑‍🚀é"))))
def test_pieces_joined_are_the_text(text: str) -> None:
    """Cutting loses nothing, whatever the script, and no piece is empty or long."""
    cut = list(demo_text.pieces([text]))
    assert "".join(cut) == text
    assert all(1 <= len(piece) <= 17 for piece in cut)


def test_pieces_keep_an_emoji_sequence_whole() -> None:
    """A flag or a profession is one sign to a reader, and one piece here."""
    assert list(demo_text.pieces(["an 🧑‍🚀 here"])) == ["an", " 🧑‍🚀", " here"]


def test_quoted_words_are_harmless() -> None:
    """Markup, quotes and control characters of a prompt never come back."""
    said = demo_text.words_of('<img src="x" onerror=alert(1)> "Don\u2019t"\u202e\x00 say\n**naïve** 日本')
    assert said == ["Don\u2019t", "say", "naïve", "日本"]


def test_quoted_words_are_few_and_short() -> None:
    """A prompt of one endless word is not echoed at length."""
    assert sum(map(len, demo_text.words_of("x" * 10_000))) <= 6 * 24


@pytest.mark.parametrize("about", [[], ["rivers", "bend"]])
def test_prose_goes_on_and_stays_on_the_subject(about: list[str]) -> None:
    """Sentences do not run out, and those of a paragraph mention what was asked."""
    sentences = list(islice(demo_text.prose(random.Random(1), about), 200))
    assert len(sentences) == 200
    assert " ".join(about) in sentences[0]
    assert not any("{" in sentence for sentence in sentences)


def test_a_cut_text_has_the_length_asked_for() -> None:
    """So many pieces, the last of which says that there would be more."""
    cut = list(demo_text.cut(demo_text.musings(random.Random(1), []), 50, sentences=1))
    assert len(cut) == 50
    assert cut[-1] == "…"


@pytest.mark.parametrize("tokens", [1, 200, 5000])
def test_a_document_is_one_whole_json_object(tokens: int) -> None:
    """It is at least as long as asked, closed, and holds more than ASCII."""
    cut = list(demo_text.document(random.Random(1), ["rivers"], tokens))
    value = json.loads("".join(cut))
    assert len(cut) >= tokens
    assert value["question"] == "rivers"
    assert value["complete"] is True
    assert [step["n"] for step in value["steps"]] == list(range(1, len(value["steps"]) + 1))


def test_arguments_have_the_declared_types() -> None:
    """Each property of a tool's schema gets a value of its type."""
    kinds = ["string", "integer", "number", "boolean", "array", "object", "null"]
    properties = {kind: {"type": kind} for kind in kinds} | {"unit": {"enum": ["C", "F"]}, "any": True}
    made = json.loads(demo_text.arguments({"properties": properties}, ["Bern"]))
    assert made == {
        "string": "Bern",
        "integer": 3,
        "number": 0.5,
        "boolean": True,
        "array": [],
        "object": {},
        "null": None,
        "unit": "C",
        "any": "Bern",
    }


def test_arguments_of_an_odd_schema_are_empty() -> None:
    """A schema without properties asks for nothing."""
    assert demo_text.arguments({"properties": []}, []) == "{}"
