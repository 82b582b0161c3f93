"""`realtime providers check`, as a program: what it asks, what it prints, and with which code it ends."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.upstream import Exchange, Reply, Upstream, chat

KEY = "sk-very-secret"


async def check(tmp_path: Path, text: str, *flags: str) -> tuple[int, str]:
    """Its exit code and all that it printed."""
    path = tmp_path / "providers.toml"
    path.write_text(text)
    env = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "realtime", "providers", "check", *flags),
        env=env | {"REALTIME_PROVIDERS_FILE": str(path), "KEY": KEY, "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, printed.decode()


def entry(alias: str, upstream: Upstream, more: str = "") -> str:
    return f'[providers.{alias}]\nkind = "openai"\nkey_env = "KEY"\nbase_url = "{upstream.url}/v1"\n{more}\n'


def answer(exchange: Exchange) -> Reply:
    """A list of models, or a word."""
    if exchange.path.endswith("/models"):
        return Reply.json(chat.models("small", "large"))
    return Reply(chat.text("Hello"))


@pytest.mark.parametrize("flags", [(), ("--ask",)])
async def test_a_provider_that_works(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """Its models are listed, which costs nothing; only when it is asked for does it say a word."""
    async with Upstream(answer) as upstream:
        code, printed = await check(tmp_path, entry("one", upstream), *flags)
        asked = [exchange.path for exchange in upstream.exchanges]
    assert code == 0, printed
    assert "small, large" in printed
    assert ("answered in" in printed) == bool(flags)
    assert any(path.endswith("/chat/completions") for path in asked) == bool(flags)
    assert KEY not in printed


async def test_a_provider_that_does_not(tmp_path: Path) -> None:
    """Each that fails is named with why, the others are tried all the same, and the exit code says it."""
    async with Upstream(answer) as whole, Upstream(Reply.json({"error": {"message": f"no {KEY}"}}, 401)) as refusing:
        text = entry("good", whole) + entry("bad", refusing, 'models = ["m"]')
        code, printed = await check(tmp_path, text)
    assert code == 1, printed
    assert "upstream_auth" in printed
    assert "listed its models" in printed
    assert KEY not in printed


async def test_a_file_that_will_not_do(tmp_path: Path) -> None:
    """Is one sentence, and the code for having asked wrongly."""
    code, printed = await check(tmp_path, '[providers.a]\nkind = "gopher"\n')
    assert code == 2, printed
    assert "providers.a.kind: Invalid enum value 'gopher'" in printed
    assert printed.count("\n") == 1
