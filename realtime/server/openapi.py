"""The OpenAPI of what FastAPI does not see: the bare ASGI routes, the request's schema, the shape of every error.

`/openapi.json` is FastAPI's own document with these added; schemas come from the structs that do the decoding, so the
page cannot promise what the decoder refuses.
"""

import inspect
import re
from typing import Any

import msgspec
from fastapi import FastAPI

from realtime.errors import ERRORS, ErrorObject
from realtime.request import CONVERSATION_FORM, StartRequest
from transports.options import MAX_FLUSH_MS
from transports.wire import WIRES

from .parameters import MAX_WAIT_S
from .resources import MAX_PREFER_WAIT_S, ConversationState, Resource, StopState

_REF = "#/components/schemas/{name}"
_STREAMS = {wire.content_type.decode().partition(";")[0]: {"schema": {"type": "string"}} for wire in WIRES.values()}
_GENERATION = {
    "name": "generation",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
}
_CONVERSATION = {
    "name": "conversation",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": CONVERSATION_FORM},
}
# Of an app of one's own, only these are described here.
_OURS = re.compile(r"/v1/(generations|conversations|models)(/|$)")
_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
_PAGE = {
    "title": "Page",
    "description": "Some generations, newest first; `next` is the `before` of the page that follows, null on the last.",
    "type": "object",
    "properties": {
        "generations": {"type": "array", "items": {"$ref": _REF.format(name="Resource")}},
        "next": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["generations", "next"],
}
_MODEL = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "provider": {"type": "string"}},
    "required": ["id", "provider"],
}
_MODELS = {
    "title": "Models",
    "type": "object",
    "properties": {"models": {"type": "array", "items": _MODEL}},
    "required": ["models"],
}


def describe(app: FastAPI) -> None:
    """Make `app.openapi()` describe the streaming routes too, below whatever prefix they are mounted at."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(generate())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    structs = (StartRequest, Resource, StopState, ConversationState, ErrorObject)
    _, schemas = msgspec.json.schema_components(structs, ref_template=_REF)
    components = document.setdefault("components", {}).setdefault("schemas", {})
    for schema in schemas.values():
        _explain(schema)
    components.update(schemas, Problem=_problem(schemas["ErrorObject"]), Page=_PAGE, Models=_MODELS)
    document["x-errors"] = {code: row._asdict() for code, row in ERRORS.items()}
    paths = document["paths"]
    for path, operations in list(paths.items()):
        if _OURS.search(path) is None:
            continue
        for operation in operations.values():
            operation["responses"].pop("422", None)
            _add_errors(operation)
        if path.endswith("/v1/generations"):
            operations["post"] = _start()
        if path.endswith("/v1/generations/{generation}"):
            operations["get"]["parameters"].append(_prefer())
            paths[f"{path}/events"] = {"get": _events([_GENERATION], "Observe a generation")}
        if path.endswith("/v1/conversations/{conversation}"):
            paths[f"{path}/events"] = {"get": _events([_CONVERSATION, *_waiting()], "Observe a conversation")}
    if not any("422" in operation["responses"] for operations in paths.values() for operation in operations.values()):
        for unused in ("HTTPValidationError", "ValidationError"):
            components.pop(unused, None)
    _describe_bodies(paths)
    return document


def _explain(schema: dict[str, Any]) -> None:
    """Make of a struct's docstring the description of the schema and, from its `Attributes`, those of the fields."""
    text, _, attributes = inspect.cleandoc(schema.pop("description", "")).partition("\n\nAttributes:\n")
    if text:
        schema["description"] = text
    for name, description in _ATTRIBUTE.findall(attributes):
        if name in schema["properties"]:
            schema["properties"][name]["description"] = " ".join(description.split())


def _describe_bodies(paths: dict[str, Any]) -> None:
    """Say what the FastAPI routes answer with and how their paths are formed: they return bytes, so it cannot know."""
    shapes = {
        "/v1/generations": "Page",
        "/v1/models": "Models",
        "/v1/generations/{generation}": "Resource",
        "/v1/generations/{generation}/stop": "StopState",
        "/v1/conversations/{conversation}/stop": "StopState",
        "/v1/conversations/{conversation}": "ConversationState",
    }
    for path, operations in paths.items():
        if _OURS.search(path) is None:
            continue
        shape = next((name for end, name in shapes.items() if path.endswith(end)), None)
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                known = {"generation": _GENERATION, "conversation": _CONVERSATION}.get(parameter["name"])
                if known is not None and parameter["in"] == "path":
                    parameter["schema"] = known["schema"]
            if shape is not None and "operationId" in operation and "200" in operation["responses"]:
                operation["responses"]["200"]["content"] = {"application/json": {"schema": _ref(shape)}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(name=name)}


def _problem(error: dict[str, Any]) -> dict[str, Any]:
    """RFC 9457's members beside our own."""
    members = {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    }
    code = {"type": "string", "enum": list(ERRORS)}
    properties = {**members, **error["properties"], "code": code}
    return {**error, "title": "Problem", "properties": properties, "required": [*members, *error["required"]]}


def _add_errors(operation: dict[str, Any]) -> None:
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    operation["responses"]["default"] = {"description": "A problem; its `code` says which", "content": content}


def _start() -> dict[str, Any]:
    resource = {"application/json": {"schema": _ref("Resource")}}
    location = {"Location": {"description": "The generation", "schema": {"type": "string"}}}
    operation: dict[str, Any] = {
        "summary": "Start a generation",
        "description": "Answers with the resource, or with the stream when `stream` is true or Accept names one.",
        "parameters": [
            _header(
                "Idempotency-Key", "Makes the start safe to repeat", {"type": "string", "pattern": "^[!-~]{1,255}$"}
            ),
            _prefer(),
            *_options(),
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("StartRequest")}}},
        "responses": {
            "201": {"description": "Started", "content": resource, "headers": location},
            "200": {
                "description": "The stream; or the first generation, for a repeated Idempotency-Key",
                "content": {**resource, **_STREAMS},
                "headers": location,
            },
            "204": {"description": "A repeat whose cursor is the last of a finished log"},
        },
    }
    _add_errors(operation)
    return operation


def _prefer() -> dict[str, Any]:
    description = f"`wait=N`: answer when it has finished, or after N seconds, at most {MAX_PREFER_WAIT_S}"
    return _header("Prefer", description, {"type": "string"})


def _events(parameters: list[dict[str, Any]], summary: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": [
            *parameters,
            _header("Last-Event-ID", "A cursor; wins over `after`", {"type": "string"}),
            *_options(),
        ],
        "responses": {
            "200": {"description": "The events", "content": _STREAMS},
            "204": {"description": "There is nothing more to come, or nothing active"},
        },
    }
    _add_errors(operation)
    return operation


def _waiting() -> list[dict[str, Any]]:
    return [
        _query(
            "wait",
            "Seconds to wait for a generation to start",
            {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_S},
        ),
        _query("follow", "1: stay for the generations that follow", {"type": "string", "enum": ["0", "1"]}),
    ]


def _options() -> list[dict[str, Any]]:
    flush = {"type": "integer", "minimum": 0, "maximum": MAX_FLUSH_MS}
    return [
        _query("wire", "Overrides Accept", {"type": "string", "enum": list(WIRES)}),
        _query("after", "A cursor: begin after it", {"type": "string"}),
        _query("replay", "Join adjacent deltas of the history", {"type": "string", "enum": ["merged"]}),
        _query("view", "Add the JSON value parsed so far", {"type": "string", "enum": ["json"]}),
        _query("pace", "`<rate>[,<burst>]` deltas a second", {"type": "string"}),
        _query("flush_ms", "Least milliseconds between two writes", flush),
    ]


def _query(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}
