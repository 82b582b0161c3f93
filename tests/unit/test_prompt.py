"""A prompt: what its parts may be, and what it counts."""

import base64
import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import RealtimeError
from realtime.media import MAX_URL_CHARS, check_media
from realtime.prompt import (
    FilePart,
    ImagePart,
    Message,
    Prompt,
    ReasoningPart,
    RefusalPart,
    SourcePart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

DATA = base64.b64encode(b"\x00\xff").decode()
HTTPS = "https://a.example/x.png?signature=a%2Fb"


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(url=HTTPS),
        ImagePart(url="HTTP://a.example"),
        ImagePart(url="https://a.example/" + "x" * (MAX_URL_CHARS - 18), detail="high"),
        ImagePart(data=DATA, media_type="image/webp"),
        FilePart(url=HTTPS, media_type="application/pdf", name="Müller, 3.pdf"),
        FilePart(data=DATA, media_type="application/vnd.ms-excel"),
        FilePart(data=base64.b64encode("ä".encode()).decode(), media_type="text/plain"),
    ],
)
def test_media_in_one_place(part: ImagePart | FilePart) -> None:
    """At an address, or here as base64 of a named type."""
    check_media(part, "p")


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (ImagePart(), "p"),
        (ImagePart(url=HTTPS, data=DATA, media_type="image/png"), "p"),
        (ImagePart(url=f"data:image/png;base64,{DATA}"), "p.url"),
        (ImagePart(url="file:///etc/passwd"), "p.url"),
        (ImagePart(url="https://"), "p.url"),
        (ImagePart(url="https://a.example/ b"), "p.url"),
        (ImagePart(url=f"{HTTPS}\n"), "p.url"),
        (ImagePart(url="https://a.example/" + "x" * MAX_URL_CHARS), "p.url"),
        (ImagePart(data=DATA), "p.media_type"),
        (ImagePart(data="", media_type="image/png"), "p.data"),
        (ImagePart(data="AP8", media_type="image/png"), "p.data"),
        (ImagePart(data="A P8=", media_type="image/png"), "p.data"),
        (ImagePart(data="AP_-", media_type="image/png"), "p.data"),
        (ImagePart(data="AP8=AP8=", media_type="image/png"), "p.data"),
        (ImagePart(data="ÄP8=", media_type="image/png"), "p.data"),
        (ImagePart(data="\ud800P8=", media_type="image/png"), "p.data"),
        (FilePart(data=DATA, media_type="text/plain"), "p.data"),
        (FilePart(data=DATA, media_type="pdf"), "p.media_type"),
        (FilePart(data=DATA, media_type="application/pdf; x=y"), "p.media_type"),
        (FilePart(data=DATA, media_type="application/pdf\n"), "p.media_type"),
        (FilePart(data=DATA, media_type="application/pdf", name=""), "p.name"),
        (FilePart(data=DATA, media_type="application/pdf", name="a\nb"), "p.name"),
        (FilePart(data=DATA, media_type="application/pdf", name="a" * 257), "p.name"),
    ],
)
def test_media_that_are_not_what_they_say(part: ImagePart | FilePart, field: str) -> None:
    """Refused by their place, without a word of what was sent."""
    with pytest.raises(RealtimeError) as caught:
        check_media(part, "p")
    assert (caught.value.code, caught.value.error.field) == ("bad_request", field)
    for sent in (part.url, part.data):
        assert not sent or sent not in str(caught.value)


def test_a_data_url_is_told_where_it_belongs() -> None:
    """It is the form that other APIs take."""
    with pytest.raises(RealtimeError, match="send its base64 in data, with media_type"):
        check_media(ImagePart(url=f"DATA:image/png;base64,{DATA}"), "p")


@given(st.text("Aa0+/=-_ é", max_size=9) | st.binary(max_size=9).map(lambda data: base64.b64encode(data).decode()))
def test_base64_is_what_decodes(data: str) -> None:
    """What is looked at without decoding it is right where strict decoding is."""
    try:
        fits = bool(binascii.a2b_base64(data, strict_mode=True))
    except ValueError:
        fits = False
    try:
        check_media(ImagePart(data=data, media_type="image/png"), "p")
    except RealtimeError:
        assert not fits
    else:
        assert fits


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_bytes_are_counted_as_they_will_be(files: list[bytes]) -> None:
    """Of base64 the decoded bytes, whatever its padding; of what lies elsewhere none."""
    parts = [FilePart(data=base64.b64encode(data).decode(), media_type="application/pdf") for data in files]
    prompt = Prompt("m", (Message("user", "text"), Message("user", (*parts, ImagePart(url=HTTPS), TextPart("=")))))
    assert prompt.media_bytes() == sum(map(len, files))
    assert prompt.text_length() == len("text") + len("=")


def test_text_is_counted_wherever_it_is() -> None:
    """What a model reads counts; what is for people, and what is not text, does not."""
    answer = (
        ReasoningPart("ab", signature="seal"),
        ToolCallPart("call", "name", "cd"),
        ToolResultPart("call", ["e"]),
        RefusalPart("fg"),
        SourcePart(url=HTTPS),
        ImagePart(data=DATA, media_type="image/png"),
    )
    prompt = Prompt("m", (Message("assistant", answer), Message("tool", "hi", call="call")), system="jk")
    assert prompt.text_length() == len("ab" + "cd" + '["e"]' + "fg" + "hi" + "jk")
