"""Row 18, texts: any text, through a real server to every client on every wire, is the same code unit by code unit."""

import hashlib
import random
import re
from collections.abc import AsyncIterator, Callable

import pytest

from realtime import Prompt
from realtime.events import Text
from realtime.providers.generator import GeneratorProvider
from tests.support.http import start
from tests.support.server import RunningServer, serving
from transports.client import Client

from .in_page import call, chromium

TEXTS_IN_ONE = 2_500

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Texts that any encoding, any escape and any notion of a line may trip over.
PIECES = [
    *map(chr, range(0x100)),
    *"\u2028\u2029\u0085\ufeff\u200b\u200d\ufe0f\u0301\u20d7\u202e\u2066\ufffd\uffff\ufdd0\U0010ffff\U0001fffe",
    *(
        "\r\n",
        "\n\n",
        "data: x\n\n",
        "id: 1\n",
        "\\u0000",
        "\\",
        '"',
        "</script>",
        "{}",
        "é",
        "e\u0301",
        "🧭",
        "👩‍🚀",
        "🇨🇭",
    ),
    *("\ud83e\udded", "\ud800", "\udfff", "\udc00\ud800"),
]


def random_text(rng: random.Random) -> str:
    """Anything a `str` can hold."""
    anything = (chr(rng.randrange(0x110000)) if rng.random() < 0.3 else rng.choice(PIECES) for _ in range(30))
    return "".join(anything)[: rng.randrange(1, 40)]


def well_formed(text: str) -> str:
    """A text with its halves of surrogate pairs joined, or replaced where one is alone."""
    joined = re.sub("[\ud800-\udbff][\udc00-\udfff]", lambda pair: chr(_joined(pair[0])), text)
    return re.sub("[\ud800-\udfff]", "\ufffd", joined)


def _joined(pair: str) -> int:
    return 0x10000 + ((ord(pair[0]) - 0xD800) << 10) + (ord(pair[1]) - 0xDC00)


def digest(texts: list[str]) -> str:
    """As `in_page.js` makes it."""
    units = b""
    for text in texts:
        encoded = text.encode("utf-16-le", "surrogatepass")
        units += encoded + b"\xff\xd8" + (len(encoded) // 2).to_bytes(2, "little")
    return hashlib.sha256(units).hexdigest()


async def texts_of(prompt: Prompt) -> AsyncIterator[str]:
    """The texts of a seed, which is the prompt."""
    rng = random.Random(str(prompt.messages[-1].content))
    for _ in range(TEXTS_IN_ONE):
        yield random_text(rng)


async def heard_by_python(server: RunningServer, generation: str) -> dict[str, str]:
    """The digest of one generation's texts on each wire of the Python client."""
    found = {}
    for wire, codec in (("sse", "json"), ("ndjson", "json"), ("ws", "json"), ("ws", "msgpack")):
        async with Client(server.url, wire=wire, codec=codec) as client, client.observe(generation) as observation:  # type: ignore[arg-type]  # a tuple of words
            texts = [item.event.text async for item in observation if isinstance(item.event, Text)]
        found[f"Python {wire} {codec}"] = digest(texts)
    return found


@pytest.mark.timeout(900)
async def test_texts(amount: Callable[[int, int], int]) -> None:
    """Random text, through a real server to every client on every wire, is the same code unit by code unit."""
    seeds = [str(random.random()) for _ in range(amount(10_000, 100_000) // TEXTS_IN_ONE)]
    print(f"\nseeds {seeds}")
    async with serving({"texts": GeneratorProvider(texts_of)}) as server, chromium(f"{server.url}/livez") as page:
        for seed in seeds:
            generation = await start(server.address, model="texts/default", prompt=seed)
            found = await heard_by_python(server, generation)
            for wire, by_fetch in (("sse", False), ("sse", True), ("ndjson", False), ("ws", False)):
                asked = {"generation": generation, "wire": wire, "byFetch": by_fetch}
                found[f"JavaScript {wire}{' by fetch' * by_fetch}"] = await call(page, "digest", asked)
            rng = random.Random(seed)
            expected = digest([well_formed(random_text(rng)) for _ in range(TEXTS_IN_ONE)])
            assert found == dict.fromkeys(found, expected), seed
