"""Tools that the provider runs: which of them a caller may ask for."""

from typing import Any

import pytest

from realtime.errors import RealtimeError
from realtime.provider_tools import check_provider_tools

SECRET = "hush-0123456789"
SEARCH = {"type": "web_search_20260209", "name": "web_search", "max_uses": 3}
MCP = {"type": "mcp", "server_label": "x", "server_url": f"https://{SECRET}.example"}


def refusal(tool: dict[str, Any], allowed: tuple[str, ...] = ("*",)) -> str | None:
    """The field of the refusal, of the second of two tools; it never quotes a value."""
    with pytest.raises(RealtimeError) as caught:
        check_provider_tools(({"type": allowed[0].replace("*", "x")} if allowed else tool, tool), allowed)
    assert caught.value.code == "bad_request"
    assert SECRET not in str(caught.value)
    return caught.value.error.field


@pytest.mark.parametrize(
    "tool",
    [
        SEARCH,
        {"type": "web_fetch_20260209", "name": "web_fetch", "max_content_tokens": 9, "url_sources": {"type": "all"}},
        {"type": "web_search", "filters": {"allowed_domains": ["a.example"]}, "user_location": {"type": "approximate"}},
        {"type": "file_search", "vector_store_ids": ["vs_1"], "ranking_options": {"score_threshold": 0.5}},
        {"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-1"], "memory_limit": "4g"}},
        {"type": "image_generation", "size": "1024x1024", "partial_images": 2},
    ],
)
def test_tools_that_reach_nothing_of_the_callers(tool: dict[str, Any]) -> None:
    """A search, a sandbox and an image are the provider's own affair."""
    check_provider_tools((tool,))


@pytest.mark.parametrize(
    ("tool", "field"),
    [
        ({"name": "web_search"}, "provider_tools[1].type"),
        ({"type": ""}, "provider_tools[1].type"),
        ({"type": 7}, "provider_tools[1].type"),
        ({"type": "mcp", "connector_id": "connector_gmail"}, "provider_tools[1].type"),
        ({"type": "mcp_toolset", "mcp_server_name": "x"}, "provider_tools[1].type"),
        ({"type": "MCP"}, "provider_tools[1].type"),
        ({"type": "x", "server_url": SECRET}, "provider_tools[1].server_url"),
        ({"type": "x", "authorization": SECRET}, "provider_tools[1].authorization"),
        ({"type": "x", "headers": {"a": SECRET}}, "provider_tools[1].headers"),
        ({"type": "x", "connector_id": SECRET}, "provider_tools[1].connector_id"),
        ({"type": "x", "apiKey": SECRET}, "provider_tools[1].apiKey"),
        ({"type": "x", "X-Auth-Token": SECRET}, "provider_tools[1].X-Auth-Token"),
        (
            {"type": "code_interpreter", "container": {"network_policy": {"domain_secrets": [{"value": SECRET}]}}},
            "provider_tools[1].container.network_policy.domain_secrets",
        ),
        ({"type": "x", "servers": [{"name": "a"}, {"url": SECRET}]}, "provider_tools[1].servers[1].url"),
    ],
)
def test_tools_that_reach_out_are_refused(tool: dict[str, Any], field: str) -> None:
    """They would call an address or show a credential of the caller's choosing with this server's account."""
    assert refusal(tool) == field


def test_a_type_that_is_named_is_allowed_whatever_it_reaches() -> None:
    """But `*` names nothing."""
    check_provider_tools((SEARCH, MCP), ("*", "mcp"))
    check_provider_tools((SEARCH,), ("web_search*",))
    assert refusal(MCP, ("*",)) == "provider_tools[1].type"


def test_a_type_that_no_pattern_matches_is_refused() -> None:
    """So a server can allow a few, or none at all."""
    assert refusal(SEARCH, ("code_*",)) == "provider_tools[1].type"
    with pytest.raises(RealtimeError):
        check_provider_tools((SEARCH,), ())
