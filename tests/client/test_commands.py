"""`realtime chat`, `watch` and `stop` as processes, against a real server, in pipes and on a terminal."""

import json
import os
import subprocess
import sys

import typer
from typer.testing import CliRunner

from realtime.events import Text
from realtime.server.commands import register
from transports.client import Client

from .terminal import Person

FAST = json.dumps({"rate": 5000, "tokens": 20})
SLOW = json.dumps({"rate": 20, "tokens": 10_000})


def realtime(*arguments: str, say: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in pipes."""
    return subprocess.run(
        [sys.executable, "-m", "realtime", *arguments],
        input=say,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, **environment},
    )


async def answer_to(url: str, prompt: str) -> str:
    """What the demo says, which depends on the prompt alone."""
    async with Client(url) as client:
        request = {"model": "demo/default", "messages": [{"role": "user", "content": prompt}]}
        return (await client.generate({**request, "options": json.loads(FAST)})).message.text


async def test_pipe(real_url: str) -> None:
    """In a pipe, standard output is the answer and nothing else; how it went is on standard error."""
    done = realtime("chat", "--url", real_url, "--options", FAST, "--wire", "sse", say="Hello?")
    assert done.returncode == 0
    assert done.stdout == await answer_to(real_url, "Hello?") + "\n"
    assert done.stderr.startswith("completed")
    for part in ("20 out tokens", "first token", "deltas/s"):
        assert part in done.stderr


def test_failed(real_url: str) -> None:
    """A generation that failed is exit code 1, with its sentence."""
    options = json.dumps({"fault": "error", "rate": 5000})
    done = realtime("chat", "Hello?", "--url", real_url, "--options", options, "--system", "Be brief.")
    assert done.returncode == 1
    assert "failed: " in done.stderr
    assert "Traceback" not in done.stderr


def test_connection_refused() -> None:
    """A server that is not there is a sentence, not a traceback."""
    done = realtime("stop", "0" * 32, "--url", "http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("realtime: cannot reach http://127.0.0.1:1: ")
    assert len(done.stderr.splitlines()) == 1


def test_usage_errors(real_url: str) -> None:
    """What was asked wrongly is exit code 2, whether Typer, the client or the server finds it."""
    app = typer.Typer()
    register(app)
    for arguments in (
        ["watch", "0" * 32, "--wire", "pigeon"],
        ["watch", "0" * 32, "--after", "nonsense"],
        ["chat", "x", "--options", "[]"],
        ["chat", "x", "--model", "no-slash"],
    ):
        done = CliRunner().invoke(app, [*arguments, "--url", real_url])
        assert done.exit_code == 2, done
        assert "Traceback" not in done.output


def test_unknown_generation(real_url: str) -> None:
    """A generation that is not there is exit code 1, in the server's words."""
    done = realtime("watch", "0" * 32, "--url", real_url)
    assert done.returncode == 1
    assert "not_found" in done.stderr


async def test_watch_and_stop(real_url: str) -> None:
    """`stop` ends what `watch` follows, which then exits with 3; a cursor at the end finds nothing more."""
    async with Client(real_url) as client:
        generation = (
            await client.start({"model": "demo/default", "prompt": "x", "options": json.loads(SLOW)})
        ).generation
        with Person("watch", generation, "--url", real_url) as person:
            async with client.observe(generation) as observation:
                async for item in observation:
                    if isinstance(item.event, Text):
                        person.sees(item.event.text.strip())
                        break
            done = realtime("stop", generation, "--url", real_url)
            assert (done.returncode, done.stdout) == (0, "stopping\n")
            assert person.ends() == 3
            assert "stopped by owner" in person.seen
        last = (await client.get(generation)).cursor
    assert last is not None
    done = realtime("watch", generation, "--after", last, "--url", real_url)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "nothing more: stopped\n"
    done = realtime("stop", generation, "--url", real_url)
    assert (done.returncode, done.stdout) == (0, "finished: stopped\n")


async def test_ctrl_c_stops(real_url: str) -> None:
    """Ctrl-C while it runs asks, `s` stops it, and the conversation goes on with what was said."""
    with Person("chat", "--url", real_url, "--options", SLOW, "--model", "demo/reasoning") as person:
        person.sees("> ")
        person.types("Hello?\n")
        person.sees("\x1b[2m")  # the reasoning, dim
        person.types("\x03")
        person.sees("[s/l]")
        person.types("xs")
        person.sees("stopped by owner")
        person.sees("> ")
        person.types("\x04")
        assert person.ends() == 0


async def test_ctrl_c_leaves(real_url: str) -> None:
    """A second Ctrl-C leaves: the generation runs on, and the printed command watches it from there."""
    with Person("chat", "Hello?", "--url", real_url, "--options", SLOW) as person:
        person.sees("“")
        person.types("\x03")
        person.sees("[s/l]")
        person.types("\x03")
        person.sees("it runs on until the server's grace is over")
        assert person.ends() == 130
        words = person.seen.split("realtime watch ")[1].split()
    generation, after = words[0], words[2]
    async with Client(real_url) as client:
        assert (await client.get(generation)).state == "streaming"
        async with client.observe(generation, after=after) as observation:
            assert isinstance((await anext(observation)).event, Text)
        await client.stop(generation)


def test_ctrl_c_at_the_prompt(real_url: str) -> None:
    """Ctrl-C at the prompt, where nothing runs, leaves the conversation."""
    with Person("chat", "--url", real_url) as person:
        person.sees("> ")
        # Python looks at signals before it reads and not between, so one that comes there waits for the next key.
        person.insists("\x03", until="\n")
        assert person.ends() == 0
        assert "Traceback" not in person.seen


async def test_history(real_url: str) -> None:
    """The second prompt is sent with the first and its answer."""
    with Person("chat", "--url", real_url, "--options", FAST) as person:
        for prompt in ("One?", "Two?"):
            person.sees("> ")
            person.types(f"{prompt}\n")
            person.sees("completed")
        person.sees("> ")
        person.types("\x04")
        assert person.ends() == 0
    async with Client(real_url) as client:
        second, first = [await client.get(resource.id) for resource in (await client.list(limit=2)).generations]
        assert first.message is not None
        messages = [
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": first.message.text},
            {"role": "user", "content": "Two?"},
        ]
        expected = await client.generate({"model": "demo/default", "messages": messages, "options": json.loads(FAST)})
        assert (second.message, second.usage) == (expected.message, expected.finished.usage)
