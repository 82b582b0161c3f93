"""The providers against an upstream that others wrote, so that our own is not the only judge of the wire.

It offers Bedrock too, but puts the events into its messages as they are, where AWS puts them in base64 under `bytes`.
"""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from realtime.prompt import Message, Prompt, Tool
from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.base import Ended, Provider
from realtime.providers.openai import OpenAIProvider
from realtime.providers.openai_responses import OpenAIResponsesProvider

from .heard import Heard, hear

_HERE = Path(__file__).parent.parent / "aimock"
_CLI = _HERE / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"

# Reasoning is only played to models that have it.
_MODELS = {
    "chat": "o3-mini",
    "openrouter": "openai/o3-mini",
    "responses": "o3-mini",
    "messages": "claude-sonnet-4-6",
}


@pytest.fixture(scope="module")
def aimock() -> Iterator[str]:
    """Its URL; a checkout without Node modules can do without, a CI run cannot."""
    if not _CLI.exists() and "CI" not in os.environ:
        pytest.skip("aimock is not installed: npm ci --prefix tests/aimock")
    command = ["node", str(_CLI), "--port", "0", "--fixtures", str(_HERE / "fixtures.json"), "--strict"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "listening on " in line:
                break
        else:
            pytest.fail(f"aimock did not start: {''.join(said)}")
        try:
            yield line.rpartition("listening on ")[2].strip()
        finally:
            process.terminate()
            # Its pipe must not fill up, nor its last words be lost to a closed one.
            process.communicate(timeout=30)


@pytest.fixture(params=sorted(_MODELS))
def wire(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
async def provider(aimock: str, wire: str) -> AsyncIterator[Provider]:
    made = _made(aimock, wire)
    yield made
    await made.close()


def _made(aimock: str, wire: str) -> Provider:
    match wire:
        case "messages":
            return AnthropicProvider("key", aimock)
        case "responses":
            return OpenAIResponsesProvider("key", f"{aimock}/v1")
    return OpenAIProvider("key", f"{aimock}/{'v1' if wire == 'chat' else 'api/v1'}")


async def ask(provider: Provider, wire: str, word: str) -> Heard:
    """What is said to `word`, which names a fixture."""
    return await hear(provider, Prompt(_MODELS[wire], (Message("user", word),), tools=(Tool("weather"), Tool("now"))))


async def test_text(provider: Provider, wire: str) -> None:
    """Text with every kind of character, its end and its usage."""
    heard = await ask(provider, wire, "greet")
    assert heard.message.text == "Grüße, \u2028 world! 😀 And some more words, so that there is more than one chunk."
    assert [end.reason for end in heard.ended] == ["stop"]
    usage = heard.usage[-1]
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (21, 13, False)


async def test_reasoning(provider: Provider, wire: str) -> None:
    """Reasoning comes before the answer and is told apart from it."""
    content = (await ask(provider, wire, "think")).message.content
    assert [(part["type"], part["text"]) for part in content] == [
        ("reasoning", "Six times seven is what was asked for."),
        ("text", "42"),
    ]


async def test_tool_calls(provider: Provider, wire: str) -> None:
    """Two calls, one of them of a tool that takes no arguments."""
    heard = await ask(provider, wire, "call")
    # A model that reasons may seal what it thought beside them.
    calls = [part for part in heard.message.content if part["type"] == "tool_call"]
    assert [(part["name"], part["arguments"]) for part in calls] == [
        ("weather", '{"city":"Genève","days":2}'),
        ("now", "{}"),
    ]
    assert len({part["call"] for part in calls}) == 2
    assert [end.reason for end in heard.ended] == ["tool_calls"]


async def test_a_length(provider: Provider, wire: str) -> None:
    """The reason is ours on every wire, and the provider's own word is kept beside it."""
    ended = {
        "messages": Ended("length", "max_tokens"),
        # Here aimock does not say which limit it was, as OpenAI does.
        "responses": Ended("other", "incomplete"),
    }
    assert (await ask(provider, wire, "long")).ended == [ended.get(wire, Ended("length", "length"))]


async def test_a_rate_limit(provider: Provider, wire: str) -> None:
    """A 429 is told with the wait it asks for."""
    error = (await ask(provider, wire, "limit")).error
    assert error is not None
    assert (error.code, error.retryable) == ("upstream_rate_limited", True)
    assert error.retry_after_s is not None
    assert "Slow down" not in error.message


async def test_a_stream_that_is_cut(provider: Provider, wire: str) -> None:
    """What came is kept, and the cut is a failure."""
    heard = await ask(provider, wire, "cut")
    assert heard.message.text.startswith("This ")
    assert (heard.code, heard.ended) == ("upstream_truncated", [])


async def test_models(provider: Provider) -> None:
    """The list of models is read."""
    assert any("gpt-4o" in name for name in await provider.models())
