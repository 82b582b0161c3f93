"""What a Chat Completions delta can hold beside text: parts, detailed reasoning, citations, pictures, sound.

None of it is in the specification of a delta, so each is taken as far as it is understood and passed on otherwise.
"""

import re
from typing import Any

from ..events import Extra, File, Reasoning, Source, Text
from .chat_wire import Delta
from .lenient import passed_on
from .upstream import Item

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.+-]+)*;base64,", re.ASCII)
_MAX_PART = 2**20
# A URL alone does not tell which kind of picture is behind it.
_ANY_IMAGE = "image/*"
# The one format that OpenAI streams.
_PCM = "audio/pcm"


def take_reasoning(delta: Delta, plain: object, batch: list[Item]) -> None:
    """Reasoning with its seals, which are to go back in the next turn; or the `plain` text where that is all.

    OpenRouter's `reasoning_details` and LiteLLM's `thinking_blocks`, which are Anthropic's, repeat the plain text.
    """
    told = False
    sealed: list[Item] = []
    for item in (*_objects(delta.reasoning_details), *_objects(delta.thinking_blocks)):
        text = _text(item, "text") or _text(item, "summary") or _text(item, "thinking")
        signature, data = _text(item, "signature"), _text(item, "data")
        if text or signature or data:
            told = told or bool(text)
            sealed.append(Reasoning(text, _part(item), signature or None, data or None))
    if plain and isinstance(plain, str) and not told:
        batch.append(Reasoning(plain))
    batch.extend(sealed)


def take_parts(parts: list[Any], batch: list[Item]) -> None:
    """Content as a list of parts, which reasoning models of some servers send."""
    for part in parts:
        match part:
            case {"type": "text", "text": str(text)}:
                batch.append(Text(text))
            case {"type": "thinking", "thinking": [*inner]}:
                batch.append(Reasoning("".join(_text(item, "text") for item in _objects(inner))))
            case {"type": "image_url"}:
                take_images([part], batch)
            case {"type": str(kind)}:
                batch.append(Extra(kind, passed_on(part)))


def take_annotations(annotations: Any, batch: list[Item]) -> None:
    """Citations, as OpenAI and those who follow it have them."""
    for annotation in annotations if isinstance(annotations, list) else [annotations]:
        # Not a pattern: those of mappings take as long as the decoding of the chunk.
        cited = annotation.get("url_citation") if isinstance(annotation, dict) else None
        if isinstance(cited, dict) and (url := _text(cited, "url")):
            batch.append(Source(url=url, title=_text(cited, "title") or None, detail=passed_on(annotation)))
        else:
            batch.append(Extra("annotation", passed_on(annotation)))


def take_citations(citations: Any, known: set[str], batch: list[Item]) -> None:
    """Citations as addresses beside the choices, which xAI sends at the end and Perplexity, all of them, each time."""
    for cited in citations if isinstance(citations, list) else ():
        if isinstance(cited, str) and cited not in known:
            known.add(cited)
            batch.append(Source(url=cited))


def take_images(images: Any, batch: list[Item]) -> None:
    """Pictures, each an address or the picture itself in one."""
    for image in images if isinstance(images, list) else [images]:
        match image:
            case {"image_url": {"url": str(url)}} | {"image_url": str(url)}:
                batch.append(_picture(url))
            case _:
                batch.append(Extra("images", passed_on(image)))


def take_audio(audio: Any, batch: list[Item]) -> None:
    """A piece of speech and of what is said in it."""
    if not isinstance(audio, dict):
        batch.append(Extra("audio", passed_on(audio)))
        return
    if text := _text(audio, "transcript"):
        batch.append(Text(text))
    if data := _text(audio, "data"):
        batch.append(File(_PCM, data=data, name=_text(audio, "id") or None))


def _picture(url: str) -> File:
    given = _DATA_URL.match(url)
    return File(_ANY_IMAGE, url=url) if given is None else File(given[1], data=url[given.end() :])


def _part(item: dict[str, Any]) -> int:
    number = item.get("index")
    return number if isinstance(number, int) and 0 <= number < _MAX_PART else 0


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(item: dict[str, Any], name: str) -> str:
    """A field, if it is text."""
    value = item.get(name)
    return value if isinstance(value, str) else ""
