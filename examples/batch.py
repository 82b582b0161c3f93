"""Ask many prompts, some at a time, and print one JSON line per answer, in the order in which they end.

    printf 'Why resume?\\nWhy stop?\\n' | python examples/batch.py http://127.0.0.1:8000 demo/default

The key of each start is made of what is asked: a second run, while the server keeps the answers, pays for none again.
"""

import asyncio
import hashlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from transports.client import Client

AT_ONCE = 8


async def answer(client: Client, model: str, prompt: str, turns: asyncio.Semaphore) -> dict[str, Any]:
    """One prompt's answer. A failure is an outcome too, and comes with the text there was until then."""
    key = hashlib.sha256(f"{model}\n{prompt}".encode()).hexdigest()
    async with turns:
        result = await client.generate({"model": model, "prompt": prompt}, idempotency_key=key)
    finished = result.finished
    return {
        "prompt": prompt,
        "outcome": finished.outcome,
        "error": finished.error and finished.error.code,
        "text": result.message.text,
        "output_tokens": finished.usage.output_tokens,
    }


async def batch(url: str, model: str, prompts: Sequence[str]) -> None:
    """Print the answers. Drops on the way are the client's business: it resumes."""
    turns = asyncio.Semaphore(AT_ONCE)
    async with Client(url, wire="ndjson") as client:
        for done in asyncio.as_completed([answer(client, model, prompt, turns) for prompt in prompts]):
            print(json.dumps(await done), flush=True)


if __name__ == "__main__":
    asyncio.run(batch(sys.argv[1], sys.argv[2], [line.strip() for line in sys.stdin if line.strip()]))
