"""Anthropic's models on the clouds: what is asked, how it is signed, and what their faults become."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anthropic
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from realtime.prompt import Message, Prompt
from realtime.providers import anthropic_clouds
from realtime.providers.anthropic_clouds import BedrockProvider, VertexProvider

from ..upstream import FIN, Exchange, Reply, Upstream, bedrock, messages
from .heard import hear

MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"
ASKED = Prompt(MODEL, (Message("user", "Hello?"),))
BEDROCK_TEXT = bedrock.framed(messages.text("Hel", "lo"))
KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI"


@pytest.fixture(autouse=True)
def nothing_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of the machine that runs the tests, and nobody asked for some."""
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE", "AWS_SESSION_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


async def test_bedrock_with_a_key(upstream: Upstream) -> None:
    """The model is in the path, the key in the header, and the answer the same as Anthropic's own."""
    upstream.reply = Reply(BEDROCK_TEXT, headers={"content-type": "application/vnd.amazon.eventstream"})
    provider = BedrockProvider("bedrock-key", "eu-west-1", upstream.url)
    heard = await hear(provider, ASKED)
    assert (heard.message.text, heard.usage[-1].output_tokens, heard.ended[0].reason) == ("Hello", 7, "stop")
    (exchange,) = upstream.exchanges
    assert unquote(exchange.path) == f"/model/{MODEL}/invoke-with-response-stream"
    assert exchange.headers["authorization"] == "Bearer bedrock-key"
    assert exchange.body["anthropic_version"]
    assert not {"model", "stream"} & exchange.body.keys()
    await provider.close()


async def test_bedrock_signs_with_what_the_machine_has(upstream: Upstream) -> None:
    """Without a key the request carries a signature that AWS's own library makes of the same request."""
    upstream.reply = Reply(BEDROCK_TEXT)
    provider = BedrockProvider(None, "eu-west-1", upstream.url)
    assert (await hear(provider, ASKED)).message.text == "Hello"
    (exchange,) = upstream.exchanges
    given = exchange.headers["authorization"]
    assert given.startswith(f"AWS4-HMAC-SHA256 Credential={KEY_ID}/")
    assert given == _signature(exchange, f"{upstream.url}{exchange.path}")
    await provider.close()


def _signature(exchange: Exchange, url: str) -> str:
    """Of what came over the wire, made again at the time it says."""
    signed = exchange.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    headers = {name: exchange.headers[name] for name in signed if name != "host"}
    request = AWSRequest("POST", url, headers=headers, data=exchange.raw)
    request.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(Credentials(KEY_ID, SECRET), "bedrock", "eu-west-1")
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return f"{exchange.headers['authorization'].partition('Signature=')[0]}Signature={auth.signature(text, request)}"


async def test_bedrock_without_credentials(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has none is a provider that refuses the key, and nobody is asked."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    provider = BedrockProvider(None, "eu-west-2", upstream.url)
    assert (await hear(provider, ASKED)).code == "upstream_auth"
    assert upstream.exchanges == []
    await provider.close()


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("throttlingException", "upstream_rate_limited"),
        ("validationException", "upstream_invalid"),
        ("serviceUnavailableException", "upstream_overloaded"),
        ("somethingNewException", "upstream_overloaded"),
    ],
)
async def test_an_exception_in_the_stream(upstream: Upstream, kind: str, code: str) -> None:
    """What was said before it is kept, and it ends the answer with a code of ours."""
    said = bedrock.framed(messages.text("Hel", whole=False))
    upstream.reply = Reply([b"".join([*said, bedrock.exception(kind)])])
    provider = BedrockProvider("key", "eu-west-1", upstream.url)
    heard = await hear(provider, ASKED)
    assert (heard.message.text, heard.code) == ("Hel", code)
    await provider.close()


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([BEDROCK_TEXT[0], BEDROCK_TEXT[1][:40], FIN], "upstream_truncated"),
        ([BEDROCK_TEXT[0][:5], FIN], "upstream_truncated"),
        ([b"<html>Welcome</html>"], "upstream_protocol"),
    ],
)
async def test_a_stream_that_is_cut_or_none(upstream: Upstream, steps: list[Any], code: str) -> None:
    """A message that is cut in its middle is an answer that was cut, and a page is no answer."""
    upstream.reply = Reply(steps)
    provider = BedrockProvider("key", "eu-west-1", upstream.url)
    assert (await hear(provider, ASKED)).code == code
    await provider.close()


async def test_vertex_with_a_token(upstream: Upstream) -> None:
    """Place, project and model are in the path, and the stream is Anthropic's own."""
    upstream.reply = Reply(messages.text("Hel", "lo"))
    provider = VertexProvider("token", "us-east5", "our-project", f"{upstream.url}/v1")
    heard = await hear(provider, Prompt("claude-sonnet-4-5@20250929", ASKED.messages))
    assert heard.message.text == "Hello"
    (exchange,) = upstream.exchanges
    place = "/v1/projects/our-project/locations/us-east5/publishers/anthropic/models/"
    assert unquote(exchange.path) == f"{place}claude-sonnet-4-5@20250929:streamRawPredict"
    assert exchange.headers["authorization"] == "Bearer token"
    assert "model" not in exchange.body
    await provider.close()


async def test_vertex_with_what_the_machine_has(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a token one is had for the service account of Google's application defaults."""

    def reply(exchange: Exchange) -> Reply:
        if exchange.path == "/token":
            return Reply.json({"access_token": "minted", "expires_in": 3600, "token_type": "Bearer"})
        return Reply(messages.text("Hello"))

    upstream.reply = reply
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(_service_account(tmp_path, f"{upstream.url}/token")))
    provider = VertexProvider(None, "global", "our-project", f"{upstream.url}/v1")
    assert (await hear(provider, ASKED)).message.text == "Hello"
    assert upstream.exchanges[0].path == "/token"
    assert upstream.exchanges[-1].headers["authorization"] == "Bearer minted"
    await provider.close()


async def test_vertex_with_credentials_that_are_refused(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An account that gets no token is one that the provider refuses; what Google says to it goes nowhere."""
    upstream.reply = Reply.json({"error": "invalid_grant", "error_description": "sk-secret"}, 400)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(_service_account(tmp_path, f"{upstream.url}/token")))
    provider = VertexProvider(None, "global", "our-project", f"{upstream.url}/v1")
    assert (await hear(provider, ASKED)).code == "upstream_auth"
    assert "sk-secret" not in caplog.text
    await provider.close()


def _service_account(folder: Path, token_uri: str) -> Path:
    key = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "account.json"
    account = {"type": "service_account", "client_email": "us@example.com", "private_key": key.decode()}
    path.write_text(json.dumps({**account, "private_key_id": "1", "project_id": "ours", "token_uri": token_uri}))
    return path


@pytest.mark.parametrize("status", [400, 403, 404, 408, 424, 429, 500, 503])
async def test_a_refusal(upstream: Upstream, status: int) -> None:
    """A status means on a cloud what it means at Anthropic."""
    upstream.reply = Reply.json({"message": "sk-secret"}, status)
    provider = BedrockProvider("key", "eu-west-1", upstream.url)
    heard = await hear(provider, ASKED)
    assert heard.error is not None
    assert heard.error.code.startswith("upstream_")
    assert f"HTTP {status}" in heard.error.message
    await provider.close()


@pytest.mark.parametrize(
    ("make", "extra"),
    [
        (lambda: BedrockProvider(None, "eu-west-1"), "realtime-llm[bedrock]"),
        (lambda: VertexProvider(None, "eu", "ours"), "realtime-llm[vertex]"),
    ],
)
def test_a_library_that_is_not_there(make: Any, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who wants the machine's own credentials is told what to install, before anything is asked."""
    monkeypatch.setattr(anthropic_clouds, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match="pip install") as caught:
        make()
    assert extra in str(caught.value)


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us-east5", "us-east5-aiplatform.googleapis.com"),
    ],
)
async def test_where_vertex_is(region: str, host: str) -> None:
    """The address of a place is the one that the SDK would take."""
    provider = VertexProvider("token", region, "ours")
    theirs = anthropic.AsyncAnthropicVertex(region=region, project_id="ours", access_token="token")
    ours = provider._client.base_url
    assert ours == theirs.base_url
    assert ours.host == host
    assert await provider.models() == ()
    await provider.close()
