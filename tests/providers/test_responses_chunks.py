"""What the events of a Responses stream mean, in every dialect that was met."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import RealtimeError
from realtime.events import Event, Extra, Reasoning, Refusal, Source, Text, Usage
from realtime.message import assemble
from realtime.providers.base import Ended
from realtime.providers.event_stream import Splitter
from realtime.providers.faults import IN_BAND_CODES
from realtime.providers.responses_chunks import REASONS, ResponsesTranslator
from realtime.providers.responses_items import sealed
from realtime.providers.upstream import Item

from ..upstream import responses as wire
from ..upstream.server import cut


def translate(
    events: Iterable[bytes], translator: ResponsesTranslator | None = None, items: list[Item] | None = None
) -> list[Item]:
    """What a translator makes of bytes, read in these pieces."""
    items = [] if items is None else items
    splitter = Splitter()
    translator = translator or ResponsesTranslator()
    for piece in events:
        for event in splitter.feed(piece):
            translator.take(event, items)
    return items


def contents(events: Iterable[bytes]) -> list[Any]:
    """The parts of the message that a whole stream with these events in the middle is."""
    items = translate([*wire.created(), *events, wire.end(usage=None)])
    return assemble(item for item in items if isinstance(item, Event)).content


def ended(events: Iterable[bytes]) -> Ended | None:
    translator = ResponsesTranslator()
    translate(events, translator)
    return translator.ended


def text_delta(text: Any, index: int = 0) -> bytes:
    return wire.about("response.output_text.delta", index, "msg_1", content_index=0, delta=text)


MESSAGE = wire.message_events(0, "Hel", "lo")
CALL = wire.function_events(0, "a", "add", '{"n"', ":1}")
CALLED = {"type": "tool_call", "call": "a", "name": "add", "arguments": '{"n":1}'}


def test_text_and_its_usage() -> None:
    """Deltas are text, what repeats them is nothing, and the end has its reason and figures."""
    translator = ResponsesTranslator()
    usage = Usage(11, 7, cached_input_tokens=4, cache_write_input_tokens=1, reasoning_tokens=2)
    assert translate(wire.text("Hel", "lo"), translator) == [Text("Hel"), Text("lo"), usage]
    assert (translator.ended, translator.done) == (Ended("stop", "completed"), True)
    assert (translator.response_id, translator.sequence, translator.unknown) == (wire.ID, 9, {})


@pytest.mark.parametrize("kept", range(1, 2 ** len(MESSAGE)))
def test_a_text_is_made_good_from_any_event_that_has_it(kept: int) -> None:
    """Whichever events of a message a server leaves out, what the others say is said, once and in order."""
    events = [event for index, event in enumerate(MESSAGE) if kept >> index & 1]
    spoken = b"".join(events)
    whole = any(name in spoken for name in (b"text.done", b"part.done", b"item.done"))
    deltas = "".join(text for text in ("Hel", "lo") if b'"delta": "%b"' % text.encode() in spoken)
    # The second delta alone is no beginning of the text, and what was said cannot be unsaid.
    said = "Hello" if whole and deltas != "lo" else deltas
    assert "".join(part["text"] for part in contents(events)) == said


def test_a_text_that_only_the_whole_response_has() -> None:
    """A server that sends nothing but the end has said everything there."""
    output = [wire.reasoning("Hm."), wire.message(wire.text_part("Hi")), wire.function("a", "add", "{}")]
    items = translate([*wire.created(), wire.end(output=output, usage=None)])
    assert items[:2] == [Reasoning("Hm."), Text("Hi", part=1)]
    assert assemble(items).content[2] == CALLED | {"arguments": "{}"}  # type: ignore[arg-type]


@pytest.mark.parametrize("more", [[], [wire.message(wire.text_part("x"), name="msg_2")]])
def test_a_whole_response_with_other_items_adds_nothing(more: list[Any]) -> None:
    """When the items of the response are not those of the stream, nobody can tell which is which."""
    events = [wire.added(0, wire.reasoning()), *wire.message_events(1, "Hi")]
    output = [wire.message(wire.text_part("Hi there")), *more]
    assert translate([*events, wire.end(output=output, usage=None)]) == [Text("Hi")]


@pytest.mark.parametrize("index", [-10, -1, 1, 10])
def test_an_item_of_a_number_that_the_whole_response_does_not_have(index: int) -> None:
    """Whatever its number, what was said stays, and is not said again."""
    output = [wire.message(wire.text_part("Hello"))]
    items = translate([*wire.created(), text_delta("Hello", index), wire.end(output=output)])
    assert [item for item in items if isinstance(item, Text)] == [Text("Hello")]


@pytest.mark.parametrize("snapshot", ["content_part", "item"])
def test_a_text_that_begins_with_what_was_said_before(snapshot: str) -> None:
    """A part that is added with text in it has said that text."""
    part = wire.about("response.content_part.added", 0, "msg_1", content_index=0, part=wire.text_part("Hel"))
    begun = part if snapshot == "content_part" else wire.added(0, wire.message(wire.text_part("Hel")))
    assert contents([begun, text_delta("lo"), *MESSAGE[-3:]]) == [{"type": "text", "text": "Hello"}]


def test_parts_are_numbered_in_the_order_they_come() -> None:
    """Each text, reasoning and call of an answer is a part of its own."""
    events = [
        *wire.summary_events(0, 0, "Hm"),
        *wire.message_events(1, "a"),
        *wire.function_events(2, "a", "add", "{}"),
        *wire.message_events(3, "b"),
    ]
    items = translate(events)
    assert [(type(item).__name__, getattr(item, "part", None)) for item in items] == [
        ("Reasoning", 0),
        ("Text", 1),
        ("ToolCall", 2),
        ("ToolArguments", None),
        ("Text", 3),
    ]


def test_items_that_all_have_one_index() -> None:
    """Some servers number nothing; an item that is done makes room for the next."""
    events = [*wire.message_events(0, "a"), *CALL, wire.done(0, wire.function("b", "add", "{}"))]
    bare = [event.replace(b'"output_index": 0, ', b"") for event in events]
    assert contents(bare) == [{"type": "text", "text": "a"}, CALLED, CALLED | {"call": "b", "arguments": "{}"}]


@pytest.mark.parametrize("deltas", [True, False])
def test_a_refusal(deltas: bool) -> None:
    """The words of a refusal are no text, and the reason for the end is the refusal."""
    place = {"content_index": 0}
    said = [wire.about("response.refusal.delta", 0, "msg_1", delta=text, **place) for text in ("N", "o.")]
    end = [
        wire.about("response.refusal.done", 0, "msg_1", refusal="No.", **place),
        wire.done(0, wire.message({"type": "refusal", "refusal": "No."})),
        wire.end(usage=None),
    ]
    events = [*said, *end] if deltas else end
    assert translate(events) == ([Refusal("N"), Refusal("o.")] if deltas else [Refusal("No.")])
    assert ended(events) == Ended("refusal", "completed")


def test_a_reasoning_summary_of_several_texts() -> None:
    """They are paragraphs of one part, because there is one seal for all of it."""
    item = wire.reasoning("Hm, so.", "Then.", encrypted="gA:AA")
    events = [wire.added(0, wire.reasoning()), *wire.summary_events(0, 0, "Hm", ", so.")]
    events += [*wire.summary_events(0, 1, "Then."), wire.done(0, item)]
    signature = "responses:rs_1:gA:AA"
    assert contents(events) == [{"type": "reasoning", "text": "Hm, so.\n\nThen.", "signature": signature}]
    assert sealed(signature) == ("rs_1", "gA:AA")


def test_reasoning_that_is_not_hidden() -> None:
    """Its text comes as a content part of the reasoning item, and is made good from there."""
    place = {"content_index": 0}
    part = {"type": "reasoning_text", "text": "Hmm"}
    delta = wire.about("response.reasoning_text.delta", 0, "rs_1", delta="Hm", **place)
    done = [
        wire.about("response.reasoning_text.done", 0, "rs_1", text="Hmm", **place),
        wire.about("response.content_part.done", 0, "rs_1", part=part, **place),
        wire.done(0, wire.reasoning(content=["Hmm"])),
    ]
    for last in done:
        assert contents([delta, last]) == [{"type": "reasoning", "text": "Hmm"}]
    assert contents([wire.added(0, wire.reasoning()), delta, *done]) == [{"type": "reasoning", "text": "Hmm"}]


def test_reasoning_of_which_only_the_seal_is_given() -> None:
    """It says nothing and is a part all the same, to be sent back."""
    assert contents([wire.done(0, wire.reasoning(encrypted="gAAA"))]) == [
        {"type": "reasoning", "text": "", "signature": "responses:rs_1:gAAA"}
    ]
    assert contents([wire.done(0, wire.reasoning())]) == []


@pytest.mark.parametrize("signature", [None, "", "EqQBCkYI", "responses:", "responses:rs_1"])
def test_what_is_no_seal_of_this_api(signature: str | None) -> None:
    """Another provider's signature is told from ours."""
    assert sealed(signature) is None


@pytest.mark.parametrize("kept", range(1, 2 ** len(CALL)))
def test_a_call_is_made_good_from_any_event_that_has_it(kept: int) -> None:
    """Whichever events of a call a server leaves out, it is said once, with the arguments that can be known."""
    events = [event for index, event in enumerate(CALL) if kept >> index & 1]
    spoken = b"".join(events)
    named = b"output_item" in spoken
    whole = b"arguments.done" in spoken or b"item.done" in spoken
    deltas = "".join(text for text in ('{"n"', ":1}") if f'"delta": {json.dumps(text)}'.encode() in spoken)
    arguments = '{"n":1}' if whole and deltas != ":1}" else deltas or "{}"
    assert contents(events) == ([CALLED | {"arguments": arguments}] if named else [])


def test_calls_at_once() -> None:
    """Interleaved deltas of two calls are two calls; that they are for the caller is the reason for the end."""
    two = wire.function_events(1, "b", "now", "{", "}")
    events = [event for pair in zip(CALL, two, strict=True) for event in pair]
    assert contents(events) == [CALLED, CALLED | {"call": "b", "name": "now", "arguments": "{}"}]
    assert ended([*events, wire.end()]) == Ended("tool_calls", "completed")


@pytest.mark.parametrize("ids", [["a", "a"], [None, None]])
def test_calls_without_ids_of_their_own(ids: list[Any]) -> None:
    """A call whose id is missing or another's gets one."""
    items = [wire.function("", "f", "{}") | {"call_id": name, "id": name} for name in ids]
    calls = [part["call"] for part in contents(wire.done(index, item) for index, item in enumerate(items))]
    assert len(set(calls)) == 2
    assert all(calls)


def test_a_call_cut_off_by_a_limit() -> None:
    """What there is of its arguments is passed on, and nothing is made up for it."""
    events = [*wire.created(), CALL[0], CALL[1], wire.end("incomplete", incomplete_details={"reason": "x"})]
    items = translate(events)
    assert assemble(item for item in items if isinstance(item, Event)).content == [CALLED | {"arguments": '{"n"'}]
    items = translate([*wire.created(), CALL[0], wire.end("incomplete")])
    assert assemble(item for item in items if isinstance(item, Event)).content == [CALLED | {"arguments": ""}]


@given(st.lists(st.text(), max_size=5))
def test_the_input_of_a_custom_tool_is_a_json_string(tokens: list[str]) -> None:
    """Whatever text it is and however it comes, `arguments` is JSON text of it."""
    text = "".join(tokens)
    item = {"id": "ct_1", "type": "custom_tool_call", "call_id": "a", "name": "sql", "input": ""}
    kind = "response.custom_tool_call_input"
    spoken = [wire.about(f"{kind}.delta", 0, "ct_1", delta=token) for token in tokens]
    done = wire.about(f"{kind}.done", 0, "ct_1", input=text)
    for events in ([*spoken, done], [done], spoken, []):
        (part,) = contents([wire.added(0, item), *events, wire.done(0, item | {"input": text})])
        assert (part["call"], part["name"], json.loads(part["arguments"])) == ("a", "sql", text)


def hosted(kind: str, **fields: Any) -> dict[str, Any]:
    return {"id": "x_1", "type": kind, "status": "completed"} | fields


SEARCH = {"type": "search", "query": "rivers"}
SOURCES = [{"type": "url", "url": "https://a.example"}]
LOGS = {"type": "logs", "logs": "1"}


@pytest.mark.parametrize(
    ("item", "name", "arguments", "result"),
    [
        (hosted("web_search_call", action=SEARCH | {"sources": SOURCES}), "web_search", SEARCH, SOURCES),
        (hosted("web_search_call", action=SEARCH), "web_search", SEARCH, {"status": "completed"}),
        (hosted("file_search_call", queries=["q"], results=[1]), "file_search", {"queries": ["q"]}, [1]),
        (hosted("code_interpreter_call", code='print("1")', outputs=[LOGS]), "code_interpreter", ..., [LOGS]),
        (hosted("mcp_call", name="roll", arguments='{"d":6}', output="4"), "roll", {"d": 6}, "4"),
        (hosted("image_generation_call", result=None), "image_generation", {}, {"status": "completed"}),
    ],
)
def test_tools_that_the_provider_runs(item: dict[str, Any], name: str, arguments: Any, result: Any) -> None:
    """Each is a call marked as run by the provider and its result, and no reason for the caller to do anything."""
    events = [wire.added(0, hosted(item["type"], status="in_progress", name=item.get("name"))), wire.done(0, item)]
    call, answer = contents(events)
    wanted = {"code": item["code"]} if arguments is ... else arguments
    assert call | {"arguments": json.loads(call["arguments"])} == {
        "type": "tool_call",
        "call": "x_1",
        "name": name,
        "arguments": wanted,
        "provider_run": True,
    }
    assert answer == {"type": "tool_result", "call": "x_1", "content": result}
    assert ended([*events, wire.end()]) == Ended("stop", "completed")


def test_code_of_the_interpreter_as_it_is_written() -> None:
    """Its increments are increments of JSON text."""
    kind = "response.code_interpreter_call_code"
    events = [
        wire.added(0, hosted("code_interpreter_call", code="", status="in_progress")),
        wire.event("response.code_interpreter_call.in_progress", output_index=0, item_id="x_1"),
        *(wire.about(f"{kind}.delta", 0, "x_1", delta=text) for text in ('a = "', '\n"')),
        wire.about(f"{kind}.done", 0, "x_1", code='a = "\n"'),
        wire.event("response.code_interpreter_call.interpreting", output_index=0, item_id="x_1"),
    ]
    (part,) = contents(events)
    assert json.loads(part["arguments"]) == {"code": 'a = "\n"'}


@pytest.mark.parametrize(
    ("failure", "content"),
    [({"status": "failed"}, {"status": "failed"}), ({"error": {"message": "no"}}, {"message": "no"})],
)
def test_a_tool_of_the_provider_that_fails(failure: dict[str, Any], content: Any) -> None:
    """Its result is an error."""
    item = hosted("mcp_call", name="roll", arguments="{}") | failure
    answer = contents([wire.done(0, item)])[1]
    assert answer == {"type": "tool_result", "call": "x_1", "content": content, "is_error": True}


@pytest.mark.parametrize(
    ("form", "media_type"), [(None, "image/png"), ("webp", "image/webp"), ("svg", "image/svg+xml")]
)
def test_a_generated_image_is_a_file(form: str | None, media_type: str) -> None:
    """The image is passed on once, as a file, and not in the result of the call as well."""
    item = hosted("image_generation_call", result="aW1n", output_format=form, revised_prompt="A cat.")
    call, file, answer = contents([wire.done(0, item)])
    assert json.loads(call["arguments"]) == {"revised_prompt": "A cat."}
    assert file == {"type": "file", "media_type": media_type, "data": "aW1n"}
    assert answer["content"] == {"status": "completed"}


def test_an_image_that_code_has_drawn_is_a_file() -> None:
    """It is told from what the code has printed."""
    image = {"type": "image", "url": "https://a.example/1.png"}
    parts = contents([wire.done(0, hosted("code_interpreter_call", code="x", outputs=[LOGS, image]))])
    assert parts[1] == {"type": "file", "media_type": "image/png", "url": image["url"]}
    assert parts[2]["content"] == [LOGS]


@pytest.mark.parametrize(
    ("item", "name", "provider_run"),
    [
        (hosted("shell_call", action={"commands": ["ls"]}, environment={"type": "local"}), "shell", False),
        (hosted("shell_call", action={"commands": ["ls"]}, environment={"type": "container_reference"}), "shell", True),
        (hosted("local_shell_call", action={"command": ["ls"]}), "local_shell", False),
        (hosted("apply_patch_call", operation={"type": "delete_file", "path": "a"}), "apply_patch", False),
        (hosted("computer_call", action={"type": "wait"}), "computer", False),
        (hosted("computer_call", actions=[{"type": "wait"}]), "computer", False),
        (hosted("tool_search_call", arguments={"q": "a"}, execution="server"), "tool_search", True),
        (hosted("tool_search_call", arguments={"q": "a"}, execution="client"), "tool_search", False),
        (hosted("program", code="1"), "program", True),
    ],
)
def test_tools_that_somebody_runs(item: dict[str, Any], name: str, provider_run: bool) -> None:
    """A call says who is to run it, and one that the caller is to run is a reason for the end."""
    item = item | {"call_id": "c_1"}
    part, *_ = contents([wire.done(0, item)])
    assert (part["call"], part["name"], part.get("provider_run", False)) == ("c_1", name, provider_run)
    asked = next(item[field] for field in ("action", "actions", "operation", "arguments", "code") if field in item)
    assert asked in (json.loads(part["arguments"]), *json.loads(part["arguments"]).values())
    assert ended([wire.done(0, item), wire.end()]) == Ended("stop" if provider_run else "tool_calls", "completed")


@pytest.mark.parametrize("announced", [True, False])
def test_a_call_of_openais_own_is_passed_on_whole_too(announced: bool) -> None:
    """Once, behind the call, when it is done: its answer may need more of it than has a place in a call."""
    item = hosted("computer_call", call_id="c_1", action={"type": "wait"}, pending_safety_checks=[{"id": "sc_1"}])
    first = [wire.added(0, item | {"status": "in_progress"})] if announced else []
    part, extra = contents([*first, wire.done(0, item), wire.end(output=[item])])
    assert (part["type"], part["call"]) == ("tool_call", "c_1")
    assert extra == {"type": "extra", "kind": "computer_call", "value": item}


def test_a_result_that_is_an_item_of_its_own() -> None:
    """It is the result of the call it names."""
    output = [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]
    call = hosted("shell_call", call_id="c_1", action={"commands": ["ls"]}, environment={"type": "container_auto"})
    events = [wire.done(0, call), wire.done(1, hosted("shell_call_output", call_id="c_1", output=output))]
    assert contents(events)[1] == {"type": "tool_result", "call": "c_1", "content": output}


@pytest.mark.parametrize(
    ("annotation", "url", "title"),
    [
        ({"type": "url_citation", "url": "https://a.example", "title": "A"}, "https://a.example", "A"),
        ({"type": "url_citation", "url_citation": {"url": "https://a.example"}}, "https://a.example", None),
        ({"type": "file_citation", "file_id": "f", "filename": "a.pdf"}, None, "a.pdf"),
        ({"type": "file_path", "file_id": "f"}, None, None),
        ("odd", None, None),
    ],
)
@pytest.mark.parametrize("announced", [True, False])
def test_annotations_are_sources(annotation: Any, url: Any, title: Any, announced: bool) -> None:
    """Each is passed on once, with the part it belongs to, whether by its own event or with the text."""
    place = {"content_index": 0, "annotation_index": 0}
    cited = wire.about("response.output_text.annotation.added", 0, "msg_1", annotation=annotation, **place)
    done = wire.done(0, wire.message(wire.text_part("Hi", annotation)))
    items = translate([text_delta("Hi"), *([cited] if announced else []), done])
    assert items == [Text("Hi"), Source(url, title, detail=annotation)]


@pytest.mark.parametrize("kind", ["mcp_list_tools", "compaction", "mcp_approval_request"])
def test_items_without_a_type_of_ours(kind: str) -> None:
    """They are passed on as they are; an approval is for the caller to give."""
    translator = ResponsesTranslator()
    item = {"id": "i_1", "type": kind, "server_label": "dice"}
    assert translate([wire.added(0, item), wire.done(0, item), wire.end(usage=None)], translator) == [Extra(kind, item)]
    assert translator.unknown == {}
    assert translator.ended == Ended("tool_calls" if kind == "mcp_approval_request" else "stop", "completed")


def test_what_is_unknown_is_passed_on_and_counted() -> None:
    """A new type of event, item or part ends nothing, and one can see that it came."""
    translator = ResponsesTranslator()
    item, part = {"id": "i_1", "type": "teleport_call"}, {"type": "smell", "of": "rain"}
    events = [
        wire.about("response.smell.delta", 0, "x", delta="rose", obfuscation="zz", content_index=0),
        wire.event("response.smell.in_progress", item_id="x"),
        wire.event("response.smell.level", delta=3, sequence_number="odd"),
        wire.done(0, item),
        wire.about("response.content_part.done", 1, "m", content_index=0, part=part),
        wire.done(1, wire.message(part)),
        wire.end(usage=None),
    ]
    assert translate(events, translator) == [
        Extra("response.smell.delta", {"delta": "rose"}),
        Extra("response.smell.level", {"delta": 3}),
        Extra("teleport_call", item),
        Extra("smell", part),
    ]
    assert translator.unknown == {
        "response.smell.delta": 1,
        "response.smell.in_progress": 1,
        "response.smell.level": 1,
        "teleport_call": 1,
        "smell": 1,
    }
    assert translator.ended is not None


def test_signs_of_life_say_nothing() -> None:
    """Events that only say that something goes on are neither content nor unknown."""
    translator = ResponsesTranslator()
    kinds = ("response.queued", "response.web_search_call.searching", "response.mcp_call.in_progress", "keepalive")
    assert translate([*wire.created(), *map(wire.event, kinds), b"data: [DONE]\n\n", b"data: {}\n\n"], translator) == []
    assert set(translator.unknown) <= {"unnamed"}


def test_partial_images_and_sound_are_passed_on() -> None:
    """They are known, have no type of ours, and say more than that something goes on."""
    translator = ResponsesTranslator()
    image = wire.about("response.image_generation_call.partial_image", 0, "x", partial_image_b64="aW1n")
    assert translate([image, wire.event("response.audio.delta", delta="UklG")], translator) == [
        Extra("response.image_generation_call.partial_image", {"partial_image_b64": "aW1n"}),
        Extra("response.audio.delta", {"delta": "UklG"}),
    ]
    assert translator.unknown == {}


@pytest.mark.parametrize(("native", "reason"), [*REASONS.items(), ("steered", "other"), (None, "other")])
@pytest.mark.parametrize("kind", ["incomplete", "completed"])
def test_an_answer_that_is_incomplete(native: str | None, reason: Any, kind: str) -> None:
    """Its reason is kept beside ours, whatever event a server ends it with."""
    body = wire.response("incomplete", incomplete_details={"reason": native})
    assert ended([text_delta("x"), wire.event(f"response.{kind}", response=body)]) == Ended(
        reason, native or "incomplete"
    )


@pytest.mark.parametrize("kind", ["incomplete", "odd"])
def test_a_reason_that_is_no_word(kind: str) -> None:
    """However long it is, no more is kept of it than of any other provider's."""
    text = "x" * 4_000
    body = wire.response(text if kind == "odd" else kind, incomplete_details={"reason": text})
    told = ended([text_delta("x"), wire.event("response.completed", response=body)])
    assert told == Ended("other" if kind == "incomplete" else "stop", "x" * 100)


@pytest.mark.parametrize("code", ["server_error", "rate_limit_exceeded", "invalid_prompt", "image_too_large", "newest"])
@pytest.mark.parametrize("shape", ["failed", "flat", "nested", "untyped"])
def test_failures_in_the_stream(code: str, shape: str) -> None:
    """In every shape a failure is raised by its code, after what came before it, and without its text."""
    error = {"code": code, "message": "sk-secret"}
    event = {
        "failed": wire.end("failed", error=error),
        "flat": wire.error(code, "sk-secret"),
        "nested": wire.event("error", error=error | {"type": code}),
        "untyped": b"data: %b\n\n" % json.dumps({"error": error}).encode(),
    }[shape]
    items: list[Item] = []
    translator = ResponsesTranslator()
    with pytest.raises(RealtimeError) as raised:
        translate([text_delta("x") + event], translator, items)
    assert raised.value.code == IN_BAND_CODES.get(code, "upstream_overloaded")
    assert "secret" not in str(raised.value) + repr(getattr(raised.value, "__notes__", ()))
    assert items[0] == Text("x")
    assert len(items) == (2 if shape == "failed" else 1)
    assert (translator.ended, translator.done) == (None, True)


@pytest.mark.parametrize("event", ["cancelled", "completed", "incomplete"])
def test_an_answer_that_was_cancelled_at_the_provider(event: str) -> None:
    """It is no success, whatever event says so."""
    with pytest.raises(RealtimeError) as raised:
        translate([wire.event(f"response.{event}", response=wire.response("cancelled"))])
    assert raised.value.code == "upstream_truncated"


@pytest.mark.parametrize("data", [b"nonsense", b"[1]", b'{"choices": []}', b'{"type":'])
def test_what_is_no_event_at_all(data: bytes) -> None:
    """Bytes that are none of the protocol are a fault with its name."""
    with pytest.raises(RealtimeError) as raised:
        translate([b"data: %b\n\n" % data])
    assert raised.value.code == "upstream_protocol"


def test_odd_fields_are_taken_for_missing_ones() -> None:
    """One field of another type than everyone's ends nothing and hides nothing beside it."""
    odd = {"output_index": "0", "content_index": None, "item_id": 3}
    done = wire.message(wire.text_part("Hello")) | {"status": 7, "name": []}
    usage = wire.USAGE | {"input_tokens_details": None, "output_tokens": "7"}
    events = [
        wire.event("response.output_text.delta", delta="Hel", **odd),
        wire.event("response.output_text.delta", delta=["lo"], **odd),
        wire.event("response.output_item.done", item=None, **odd),
        wire.event("response.output_item.done", item=done, **odd),
        wire.end(usage=usage, incomplete_details="none", id=4),
    ]
    assert translate(events)[:2] == [Text("Hel"), Text("lo")]
    assert ended(events) == Ended("stop", "completed")


def test_half_a_character_costs_that_character() -> None:
    """A server that cuts an emoji in two is heard all the same."""
    halves = [b"\\ud83d", b"\\ude00"]
    events = [text_delta("HALF").replace(b"HALF", half) for half in halves]
    assert translate(events) == [Text("\ufffd"), Text("\ufffd")]


@pytest.mark.parametrize(
    ("details", "total", "output"),
    [({"reasoning_tokens": 2}, 18, 7), ({"reasoning_tokens": 2}, 20, 9), (None, 18, 7)],
)
def test_reasoning_is_part_of_the_output(details: Any, total: int, output: int) -> None:
    """Reasoning that a server counts beside the output is paid for as output."""
    usage = wire.USAGE | {"output_tokens_details": details, "total_tokens": total}
    (given_usage,) = translate([wire.end(usage=usage)])
    assert isinstance(given_usage, Usage)
    assert (given_usage.input_tokens, given_usage.output_tokens) == (11, output)


@pytest.mark.parametrize("usage", [None, {}, "none"])
def test_an_end_without_usage(usage: Any) -> None:
    """No figures are made up."""
    assert translate([wire.end(usage=usage)]) == []


RICH = b"".join(wire.rich())


@given(st.lists(st.integers(0, len(RICH)), max_size=12))
def test_how_the_bytes_are_cut_changes_nothing(places: list[int]) -> None:
    """The same bytes in any pieces are the same items."""
    assert translate(cut(RICH, *places)) == translate([RICH])


@given(st.integers(0, 30), st.integers(0, 30))
def test_events_seen_before_a_connection_was_lost_are_skipped(seen: int, again: int) -> None:
    """However far back the next connection begins, nothing is said twice."""
    events = wire.rich()
    translator = ResponsesTranslator()
    items = translate(events[:seen], translator)
    translator.resume()
    assert [*items, *translate(events[min(seen, again) :], translator)] == translate(events)
