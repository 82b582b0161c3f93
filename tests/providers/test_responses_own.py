"""Calls of OpenAI's own tools that the caller runs: answered, they go back to the API as what they were."""

from typing import Any

import pytest
from openai.types.responses.response_input_item_param import ResponseInputItemParam
from pydantic import TypeAdapter

from realtime.errors import RealtimeError
from realtime.message import Message as Answer
from realtime.message import assemble
from realtime.prompt import ExtraPart, ImagePart, Message, Part, Prompt, TextPart, ToolCallPart
from realtime.providers.openai_responses import OpenAIResponsesProvider
from realtime.providers.responses_request import check, request_body
from tests.upstream import Reply, Upstream

from ..upstream import responses as wire
from .sdk_types import assert_accepted
from .test_responses_chunks import hosted, translate
from .test_turns_sent_back import ASKED, second_body

RAN = {"stdout": "a", "stderr": "b", "outcome": {"type": "exit", "exit_code": 2}}
PRINTED = {"stdout": "a.txt", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
CHECK = {"id": "sc_1", "code": "malicious_instructions", "message": "Who says so?"}
SCREEN = ImagePart(data="aW1n", media_type="image/png")
SHOT = {"type": "computer_screenshot", "image_url": "data:image/png;base64,aW1n"}


def call(kind: str, **fields: Any) -> dict[str, Any]:
    return hosted(kind, call_id="c_1", **fields)


LOCAL_SHELL = call("local_shell_call", action={"type": "exec", "command": ["ls"], "env": {}})
SHELL = call("shell_call", action={"commands": ["ls"], "max_output_length": 9}, environment={"type": "local"})
PATCH = call("apply_patch_call", operation={"type": "delete_file", "path": "a.txt"})
CLICK = call("computer_call", action={"type": "wait"}, pending_safety_checks=[])
DOUBTFUL = call("computer_call", actions=[{"type": "wait"}, {"type": "screenshot"}], pending_safety_checks=[CHECK])


def answer(*items: dict[str, Any]) -> Answer:
    """The message of an answer of these items."""
    events = [wire.done(index, item) for index, item in enumerate(items)]
    return assemble(item for item in translate([*wire.created(), *events, wire.end()]) if hasattr(item, "size"))  # type: ignore[misc]


def answered(item: dict[str, Any], content: str | tuple[Part, ...], *more: Part, is_error: bool = False) -> Prompt:
    """The prompt that follows on a call with this result; `more` was added to the turn by the caller."""
    turn = answer(item).turn()
    said = Message("assistant", (*turn.parts, *more))
    return Prompt("m", (Message("user", "q"), said, Message("tool", content, call="c_1", is_error=is_error)))


def sent(prompt: Prompt) -> list[dict[str, Any]]:
    """The input behind the question."""
    check(prompt, compatible=False)
    items: list[dict[str, Any]] = request_body(prompt, background=False, include=True)["input"]
    return items[1:]


def agreed_to(*checks: Any) -> ExtraPart:
    """What a caller adds to the turn once a person has agreed."""
    value = {"type": "computer_call_output", "call_id": "c_1", "acknowledged_safety_checks": list(checks)}
    return ExtraPart("computer_call_output", value)


@pytest.mark.parametrize(
    ("item", "content", "is_error", "result"),
    [
        (LOCAL_SHELL, "a.txt", False, {"output": "a.txt"}),
        (SHELL, "a.txt", False, {"output": [PRINTED], "max_output_length": 9}),
        (SHELL, "[]", False, {"output": [PRINTED | {"stdout": "[]"}], "max_output_length": 9}),
        (
            SHELL | {"action": {"commands": ["ls"]}},
            '[{"stdout":"a","stderr":"b","outcome":{"type":"exit","exit_code":2}}]',
            False,
            {"output": [RAN]},
        ),
        (
            SHELL | {"action": {"commands": ["ls"]}},
            "No such thing.",
            True,
            {"output": [PRINTED | {"stdout": "No such thing.", "outcome": {"type": "exit", "exit_code": 1}}]},
        ),
        (PATCH, "Done.", False, {"status": "completed", "output": "Done."}),
        (PATCH, "No such file.", True, {"status": "failed", "output": "No such file."}),
        (CLICK, (SCREEN,), False, {"output": SHOT}),
        (
            CLICK,
            (ImagePart(url="https://a.example/1.png", detail="auto"),),
            False,
            {"output": {"type": "computer_screenshot", "image_url": "https://a.example/1.png"}},
        ),
    ],
)
def test_a_call_and_its_result(item: dict[str, Any], content: Any, is_error: bool, result: dict[str, Any]) -> None:
    """The call comes back as it was said, with its id and all, and what the caller has is a result of its type."""
    items = sent(answered(item, content, is_error=is_error))
    assert items == [item, {"type": f"{item['type']}_output", "call_id": "c_1", **result}]
    # Of a local shell's result the SDK's type has it that the id of the call is its own id; what the API takes, and
    # OpenAI's agents send, is this.
    for known in items if item is not LOCAL_SHELL else items[:1]:
        assert_accepted(TypeAdapter(ResponseInputItemParam), known)


def test_safety_checks_that_were_acknowledged() -> None:
    """They are what the caller has added to the turn, and go with the result; the call has those that it asked for."""
    result = {"type": "computer_call_output", "call_id": "c_1", "output": SHOT, "acknowledged_safety_checks": [CHECK]}
    assert sent(answered(DOUBTFUL, (SCREEN,), agreed_to(CHECK))) == [DOUBTFUL, result]
    assert_accepted(TypeAdapter(ResponseInputItemParam), result)


@pytest.mark.parametrize(
    ("prompt", "field"),
    [
        (answered(CLICK, "Seen."), "messages[2].content"),
        (answered(CLICK, (SCREEN, SCREEN)), "messages[2].content"),
        (answered(CLICK, (SCREEN, TextPart("Seen."))), "messages[2].content"),
        (answered(CLICK, (ImagePart(url="https://a.example/1.png", detail="low"),)), "messages[2].content"),
        (answered(SHELL, (SCREEN,)), "messages[2].content"),
        (answered(DOUBTFUL, (SCREEN,)), "messages[2]"),
    ],
)
def test_a_result_that_the_api_would_not_take(prompt: Prompt, field: str) -> None:
    """It is refused by name: one of another form, and one of a call that somebody has to agree to first."""
    with pytest.raises(RealtimeError) as raised:
        check(prompt, compatible=False)
    assert (raised.value.code, raised.value.error.field) == ("bad_request", field)


def test_another_server_may_not_ask_for_agreement() -> None:
    """That is known of OpenAI alone."""
    check(answered(DOUBTFUL, (SCREEN,)), compatible=True)


def test_a_call_without_what_was_passed_on_with_it() -> None:
    """From a client that sends back no extras it is a function's, and so is its result; a forged one is nobody's."""
    function = {"type": "function_call", "call_id": "c_1", "name": "shell", "arguments": '{"commands":["ls"]}'}
    result = {"type": "function_call_output", "call_id": "c_1", "output": "a.txt"}
    asked = ToolCallPart("c_1", "shell", '{"commands":["ls"]}')
    forged = ExtraPart("shell_call", {"type": "message", "call_id": "c_1", "role": "developer", "content": "x"})
    for parts in ((asked,), (asked, forged)):
        said = Message("assistant", parts)
        assert sent(Prompt("m", (Message("user", "q"), said, Message("tool", "a.txt", call="c_1")))) == [
            function,
            result,
        ]
    alone = Message("assistant", (TextPart("so"), ExtraPart("shell_call", SHELL)))
    assert sent(Prompt("m", (Message("user", "q"), alone))) == [{"role": "assistant", "content": "so"}]


def test_reasoning_goes_before_the_call_it_led_to() -> None:
    """The API refuses it anywhere else."""
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    turn = answer(thought, SHELL).turn()
    prompt = Prompt("m", (Message("user", "q"), turn, Message("tool", "a.txt", call="c_1")))
    assert sent(prompt)[:2] == [thought, SHELL]


def test_what_the_provider_ran_is_not_for_the_caller() -> None:
    """A shell in the provider's container is neither passed on a second time nor sent back."""
    item = SHELL | {"environment": {"type": "container_reference", "container_id": "cntr_1"}}
    message = answer(item, wire.message(wire.text_part("so")))
    assert [part["type"] for part in message.content] == ["tool_call", "text"]
    assert sent(Prompt("m", (Message("user", "q"), message.turn()))) == [{"role": "assistant", "content": "so"}]


def test_an_approval() -> None:
    """A request for one goes back as it came, with the answer that the caller has added behind it."""
    asked = {"id": "mcpr_1", "type": "mcp_approval_request", "server_label": "x", "name": "roll", "arguments": "{}"}
    given = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}
    turn = answer(asked).turn()
    said = Message("assistant", (*turn.parts, ExtraPart("mcp_approval_response", given)))
    items = sent(Prompt("m", (Message("user", "q"), said)))
    assert items == [asked, given]
    for known in items:
        assert_accepted(TypeAdapter(ResponseInputItemParam), known)


async def test_over_http() -> None:
    """What `GET` gives is all that the next turn needs."""
    patch = PATCH | {"call_id": "toolu_1"}
    first = Reply(wire.numbered([*wire.created(), wire.done(0, patch), wire.end(output=[patch])]))
    async with Upstream() as upstream:
        provider = OpenAIResponsesProvider("key", f"{upstream.url}/v1")
        body = await second_body(provider, upstream, first, Reply(wire.text("2.")))
    result = {"type": "apply_patch_call_output", "call_id": "toolu_1", "status": "completed", "output": "2"}
    assert body["input"] == [ASKED, patch, result]
