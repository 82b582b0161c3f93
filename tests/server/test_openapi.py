"""The API as it describes itself, against the API as it answers; and the error table of the protocol's page."""

import asyncio
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import jsonschema  # type: ignore[import-untyped]  # it ships no types
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode

from realtime.errors import ERRORS
from tests.support.http import request, start
from tests.support.server import RunningServer, serving

PROTOCOL = Path(__file__).parents[2] / "transports" / "PROTOCOL.md"
EXAMPLES = 25

# Few enough tokens, soon enough, that a stream ends while a test waits for it.
SHORT: dict[str, Any] = {"model": "demo/default", "options": {"tokens": 2, "rate": 100_000}, "retain": "all"}


def error_table() -> str:
    """The table of `realtime/errors.py` as the protocol's page prints it."""
    rows = ["| code | HTTP status | retryable | blame | meaning |", "|---|---|---|---|---|"]
    for code, row in ERRORS.items():
        retryable = "yes" if row.retryable else "no"
        rows.append(f"| `{code}` | {row.status} | {retryable} | {row.blame} | {row.title} |")
    return "\n".join(rows)


def test_error_table() -> None:
    """The page lists every error there is, no other, and says of each what the server does."""
    page = PROTOCOL.read_text(encoding="utf-8")
    (table,) = re.findall(r"^<!-- errors[^>]*-->\n(.*?)\n<!-- /errors -->$", page, re.DOTALL | re.MULTILINE)
    assert table == error_table(), f"it should be:\n{error_table()}"


def test_errors_named_elsewhere() -> None:
    """Every code the page names in passing is one of the table."""
    page = PROTOCOL.read_text(encoding="utf-8")
    named = re.findall(r"\b[45][0-9]{2} `([a-z_]+)`|failed\{([a-z_]+)\}", page)
    codes = {code for pair in named for code in pair if code}
    assert codes
    assert codes <= ERRORS.keys()


def generated(case: schemathesis.Case[Any], generation: str) -> None:
    """Bend a generated case so that it ends soon, and so that it is often about something that is there."""
    query = case.query
    if str(query.get("follow")) == "1":
        query["follow"] = "0"
    if query.get("wait") not in (None, 0):
        query["wait"] = 61 if isinstance(query["wait"], int) and query["wait"] > 60 else 0
    headers = case.headers
    # Nothing here is worth waiting for, and a stream of a whole answer would be.
    for name in [name for name in headers if name.lower() in {"prefer", "host", "origin", "content-length"}]:
        headers[name] = "x" if name.lower() == "prefer" else headers.pop(name)
    path = case.path_parameters
    if path and len(str(path.get("generation", ""))) == 32 and str(path["generation"])[0] in "01234567":
        path["generation"] = generation
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body.update(SHORT)
        if case.body.get("messages"):
            case.body.pop("prompt", None)


def explore(
    document: dict[str, Any], url: str, generation: str, mode: GenerationMode, wanted: tuple[str, str]
) -> set[int]:
    """Ask one operation many things; the statuses it answered with."""
    schema = schemathesis.openapi.from_dict(document)
    operation = schema[wanted[1]][wanted[0]]
    seen: set[int] = set()

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case[Any]) -> None:
        generated(case, generation)
        response = case.call(base_url=url, timeout=20)
        seen.add(response.status_code)
        judge(document, operation.definition.raw, response)

    run: Callable[[], None] = check
    run()
    return seen


def judge(document: Mapping[str, Any], operation: Mapping[str, Any], response: schemathesis.Response) -> None:
    """Check an answer against the operation's description: its status, its media type, and its JSON."""
    assert response.status_code < 500, response.text
    described = operation["responses"].get(str(response.status_code))
    if described is None:
        assert response.status_code >= 400, f"{response.status_code} is not described"
        described = operation["responses"]["default"]
    content = described.get("content", {})
    if not content:
        assert response.content == b""
        return
    media = response.headers["content-type"][0].partition(";")[0]
    assert media in content, media
    if media.endswith("json") and media != "application/x-ndjson":
        schema = {**content[media]["schema"], "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(response.json())


def operations(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every operation, as method and path."""
    return [(method, path) for path, methods in document["paths"].items() for method in methods]


OPERATIONS = [
    ("post", "/v1/generations"),
    ("get", "/v1/generations"),
    ("get", "/v1/generations/{generation}"),
    ("delete", "/v1/generations/{generation}"),
    ("get", "/v1/generations/{generation}/events"),
    ("post", "/v1/generations/{generation}/stop"),
    ("get", "/v1/conversations/{conversation}"),
    ("get", "/v1/conversations/{conversation}/events"),
    ("post", "/v1/conversations/{conversation}/stop"),
    ("get", "/v1/models"),
    ("get", "/livez"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
]


async def document_of(server: RunningServer) -> dict[str, Any]:
    """What the server says of itself."""
    answer = await request(server.address, "GET", "/openapi.json")
    assert answer.status == 200
    document: dict[str, Any] = answer.json()
    return document


async def test_every_operation_is_described() -> None:
    """The document names exactly the routes of the protocol's page."""
    async with serving() as server:
        document = await document_of(server)
    assert sorted(operations(document)) == sorted(OPERATIONS)
    page = PROTOCOL.read_text(encoding="utf-8")
    for method, path in OPERATIONS:
        short = path.replace("{generation}", "{id}").replace("{conversation}", "{c}")
        assert f"`{method.upper()} {short}" in page or f"`{short}`" in page, short


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "unfitting"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
async def test_answers_as_described(server: RunningServer, operation: tuple[str, str], mode: GenerationMode) -> None:
    """Whatever is asked, fitting the description or not, the answer is one that is described, and never a 5xx."""
    document = await document_of(server)
    if mode is GenerationMode.NEGATIVE and not has_input(document, operation):
        return
    generation = await start(server.address, **SHORT)
    await server.finished(generation)
    seen = await asyncio.to_thread(explore, document, server.url, generation, mode, operation)
    assert seen


def has_input(document: Mapping[str, Any], operation: tuple[str, str]) -> bool:
    """Whether there is anything to get wrong."""
    described = document["paths"][operation[1]][operation[0]]
    return bool(described.get("parameters") or described.get("requestBody"))


async def test_problem_schema_is_closed() -> None:
    """The described problem has every code there is and every member that a refusal can have."""
    async with serving() as server:
        schemas = (await document_of(server))["components"]["schemas"]
    problem = schemas["Problem"]
    assert problem["properties"]["code"]["enum"] == list(ERRORS)
    members = {"type", "title", "status", "detail", "code", "message", "retryable"}
    assert set(problem["required"]) == members
    assert members | {"field", "limit", "retry_after_s", "generation"} == problem["properties"].keys()


async def test_what_messages_hold_is_described() -> None:
    """Every part has a schema of its own, its fields are explained, and a whole prompt fits."""
    body = {
        "model": "anthropic/x",
        "provider_tools": [{"type": "web_search_20260209", "name": "web_search", "max_uses": 3}],
        "messages": [
            {"role": "user", "content": [{"type": "image", "data": "AP8=", "media_type": "image/png"}]},
            {"role": "assistant", "content": [{"type": "reasoning", "text": "hm", "signature": "c2VhbA=="}]},
            {"role": "tool", "call": "c", "content": [{"type": "file", "url": "https://a.example/x.pdf"}]},
        ],
    }
    async with serving() as server:
        document = await document_of(server)
    schemas = document["components"]["schemas"]
    jsonschema.Draft202012Validator({**schemas["StartRequest"], "components": document["components"]}).validate(body)
    _, parts = schemas["realtime.prompt.Message"]["properties"]["content"]["anyOf"]
    tags = {"text", "image", "file", "reasoning", "refusal", "tool_call", "tool_result", "source", "data", "extra"}
    assert parts["items"]["discriminator"]["mapping"].keys() == tags
    for name in ("ImagePart", "FilePart"):
        assert "fetched by the provider" in schemas[name]["properties"]["url"]["description"]


async def test_examples_of_the_reference_are_valid() -> None:
    """The document is OpenAPI that its own schemas can be used with: every reference in it leads somewhere."""
    async with serving() as server:
        document = await document_of(server)
    text = msgspec.json.encode(document).decode()
    for name in set(re.findall(r'"#/components/schemas/([^"]+)"', text)):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        assert name in document["components"]["schemas"]
        jsonschema.Draft202012Validator.check_schema(schema)
