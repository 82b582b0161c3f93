"""A request as a prompt, and which requests are the same."""

import pytest

from realtime.errors import RealtimeError
from realtime.prompt import FilePart, ImagePart, Message, ReasoningPart, TextPart, ToolCallPart
from realtime.request import StartRequest
from realtime.strict import convert, decode_json


def start(text: str) -> StartRequest:
    """A request from JSON, as it arrives."""
    return convert(decode_json(text), StartRequest)


def test_a_prompt_is_one_user_message() -> None:
    """The short form and the long form ask for the same."""
    prompt = start('{"model":"demo/a/b:c","prompt":"hi","system":"be brief"}').to_prompt()
    assert (prompt.model, prompt.system, prompt.messages) == ("a/b:c", "be brief", (Message("user", "hi"),))


def test_a_first_system_message_is_the_system_text() -> None:
    """Both ways to say it end in one place."""
    text = '{"model":"demo/x","messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}]}'
    prompt = start(text).to_prompt()
    assert (prompt.system, [message.role for message in prompt.messages]) == ("s", ["user"])


def test_an_earlier_turn_can_be_sent_back_whole() -> None:
    """Reasoning with its seal, tool calls and their results are part of a message."""
    text = """{"model":"demo/x","messages":[{"role":"user","content":[{"type":"text","text":"u"}]},
        {"role":"assistant","content":[{"type":"reasoning","text":"r","signature":"s"},
            {"type":"tool_call","call":"c","name":"f","arguments":"{}"}]},
        {"role":"tool","call":"c","content":"42"}]}"""
    messages = start(text).to_prompt().messages
    assert messages[0].content == (TextPart("u"),)
    assert messages[1].content == (ReasoningPart("r", "s"), ToolCallPart("c", "f", "{}"))
    assert messages[2].call == "c"


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ("[]", "messages"),
        ('[{"role":"system","content":"only"}]', "messages"),
        ('[{"role":"user","content":"a"},{"role":"system","content":"late"}]', "messages[1].role"),
        ('[{"role":"user","content":" "}]', "messages[0].content"),
        ('[{"role":"user"}]', "messages[0].content"),
        ('[{"role":"tool","content":"a"}]', "messages[0].call"),
        ('[{"role":"user","content":"a","call":"c"}]', "messages[0].call"),
        ('[{"role":"user","content":[{"type":"tool_call","call":"c","name":"f"}]}]', "messages[0].content[0]"),
        (
            '[{"role":"system","content":[{"type":"text","text":"s"}]},{"role":"user","content":"a"}]',
            "messages[0].content",
        ),
        ('[{"role":"system","content":"s"},{"role":"user","content":" "}]', "messages[1].content"),
        ('[{"role":"user","content":[{"type":"text","text":"\\n"}]}]', "messages[0].content"),
        ('[{"role":"user","content":"a","is_error":true}]', "messages[0].is_error"),
        ('[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image"}]}]', "messages[0].content[1]"),
        ('[{"role":"tool","call":"c","content":[{"type":"refusal","text":"a"}]}]', "messages[0].content[0]"),
        ('[{"role":"assistant","content":[{"type":"image","url":"https://a.example"}]}]', "messages[0].content[0]"),
    ],
)
def test_a_turn_that_makes_no_sense_is_refused(messages: str, field: str) -> None:
    """Named by its place."""
    with pytest.raises(RealtimeError) as caught:
        start(f'{{"model":"demo/x","messages":{messages}}}').to_prompt()
    assert caught.value.error.field == field


def test_images_files_and_empty_results_have_their_places() -> None:
    """A user and a tool may show what they have, and a tool may have nothing."""
    text = """{"model":"demo/x","messages":[
        {"role":"user","content":[{"type":"image","url":"https://a.example/x.png","detail":"low"},
            {"type":"file","data":"JVBERg==","media_type":"application/pdf","name":"a.pdf"}]},
        {"role":"tool","call":"c","content":[{"type":"image","data":"AP8=","media_type":"image/gif"}]},
        {"role":"tool","call":"d","content":""}]}"""
    messages = start(text).to_prompt().messages
    assert messages[0].parts == (
        ImagePart(url="https://a.example/x.png", detail="low"),
        FilePart(data="JVBERg==", media_type="application/pdf", name="a.pdf"),
    )
    assert messages[1].parts == (ImagePart(data="AP8=", media_type="image/gif"),)
    assert messages[2].content == ""


@pytest.mark.parametrize(
    "part",
    [
        '{"type":"image","data":"AP8=","media_type":"image/svg+xml"}',
        '{"type":"image","url":"https://a.example","headers":{}}',
        '{"type":"input_audio","data":"AP8="}',
    ],
)
def test_a_part_of_no_known_form_is_refused(part: str) -> None:
    """Named by its place, and not passed on to whoever might understand it."""
    with pytest.raises(RealtimeError) as caught:
        start(f'{{"model":"demo/x","messages":[{{"role":"user","content":[{part}]}}]}}')
    assert (caught.value.code, (caught.value.error.field or "")[:22]) == ("bad_request", "messages[0].content[0]")


def test_media_are_bounded_together() -> None:
    """By the bytes that they are, before any is decoded."""
    part = '{"type":"image","data":"AP8=","media_type":"image/png"}'
    request = start(f'{{"model":"demo/x","messages":[{{"role":"user","content":[{part},{part}]}}]}}')
    assert request.to_prompt(max_media_bytes=4).media_bytes() == 4
    with pytest.raises(RealtimeError) as caught:
        request.to_prompt(max_media_bytes=3)
    assert (caught.value.code, caught.value.error.field, caught.value.error.limit) == ("too_large", "messages", 3)


def test_tools_of_the_provider_are_passed_on() -> None:
    """As they are, where the server allows their type."""
    request = start('{"model":"demo/x","prompt":"a","provider_tools":[{"type":"web_search","max_uses":3}]}')
    assert request.to_prompt().provider_tools == ({"type": "web_search", "max_uses": 3},)
    with pytest.raises(RealtimeError) as caught:
        request.to_prompt(allowed_tools=())
    assert caught.value.error.field == "provider_tools[0].type"


def test_prompt_and_messages_exclude_each_other() -> None:
    """So do two system texts."""
    both = '{"model":"demo/x","prompt":"a","messages":[{"role":"user","content":"b"}]}'
    twice = '{"model":"demo/x","system":"a","messages":[{"role":"system","content":"b"},{"role":"user","content":"c"}]}'
    for text, field in ((both, "prompt"), (twice, "system")):
        with pytest.raises(RealtimeError) as caught:
            start(text).to_prompt()
        assert caught.value.error.field == field


def test_a_fingerprint_is_of_what_is_asked() -> None:
    """Not of how it was written or where the answer goes; any difference in what is asked shows."""
    one = start('{"model":"demo/x","prompt":"a","metadata":{"x":1,"y":2}}')
    same = start('{"metadata":{"y":2,"x":1},"prompt":"a","stream":true,"model":"demo/x"}')
    other = start('{"model":"demo/x","prompt":"a","metadata":{"x":1,"y":3}}')
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()


def test_a_fingerprint_covers_media_and_tools() -> None:
    """Another image, another name for it or another tool is another request."""
    asked = '{{"model":"demo/x","provider_tools":[{}],"messages":[{{"role":"user","content":[{}]}}]}}'
    image = '{"type":"image","data":"AP8=","media_type":"image/png"}'
    texts = [
        asked.format('{"type":"a"}', image),
        asked.format('{"type":"b"}', image),
        asked.format('{"type":"a"}', image.replace("AP8=", "AP4=")),
        asked.format('{"type":"a"}', image.replace("png", "gif")),
        asked.format('{"type":"a"}', '{"type":"image","url":"https://a.example"}'),
    ]
    assert len({start(text).fingerprint() for text in texts}) == len(texts)
