"""The official SDKs, reading a stream as their own clients do: bytes in, one of their objects an event out."""

from collections.abc import Callable, Sequence
from typing import Any

import anthropic
import httpx2
import openai

_URL = "http://127.0.0.1:9"


def of_openai(made: Any) -> Callable[[Sequence[bytes]], int]:
    """OpenAI's.

    Args:
        made: What the client of that wire makes of an event; a union is a type to it.
    """
    client = openai.OpenAI(api_key="unused", base_url=_URL)
    return lambda reads: len(list(openai.Stream[Any](cast_to=made, response=_response(reads), client=client)))


def of_anthropic(made: Any) -> Callable[[Sequence[bytes]], int]:
    """Anthropic's; see `of_openai`."""
    client = anthropic.Anthropic(api_key="unused", base_url=_URL)
    return lambda reads: len(list(anthropic.Stream[Any](cast_to=made, response=_response(reads), client=client)))


def _response(reads: Sequence[bytes]) -> httpx2.Response:
    """A response whose body comes read by read, as a paced stream's does."""
    return httpx2.Response(200, content=iter(reads), request=httpx2.Request("POST", _URL))
