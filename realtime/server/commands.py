"""`realtime chat`, `watch` and `stop`: the client side of the command line.

Exit codes: 0 completed, 1 failed or no answer, 2 asked wrongly, 3 stopped, 130 left with Ctrl-C while it runs on. The
API key is read from `REALTIME_API_KEY` and from nowhere else: whoever can list processes sees their arguments.
"""

import asyncio
import os
import shlex
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Annotated, Any, Literal

import msgspec
import typer

from realtime.errors import RealtimeError
from realtime.events import Outcome
from transports.client import Client, ClientError, Observation, RefusedError, UnreachableError

from .terminal import Screen, Transcript, keys

Wire = Literal["ws", "sse", "ndjson"]

DEFAULT_URL = "http://127.0.0.1:8000"
KEY_VARIABLE = "REALTIME_API_KEY"
CODES: dict[Outcome, int] = {"completed": 0, "failed": 1, "stopped": 3}
FAILED, USAGE, LEFT = 1, 2, 130

# What becomes of a generation that is left.
_KEPT = "it runs on to its end"
_ALONE = "it runs on until the server's grace is over, and is then stopped if nobody watches it (--keep prevents that)"
_UNKNOWN = "it runs on; if it was not started with --keep, it is stopped when the server's grace is over"

Url = Annotated[str, typer.Option(envvar="REALTIME_URL", help="The server.")]
WireOption = Annotated[Wire, typer.Option(help="How the generation is followed.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(chat)
    app.command()(watch)
    app.command()(stop)


def chat(
    prompt: Annotated[
        str | None, typer.Argument(help="One prompt; without it, a conversation or standard input.")
    ] = None,
    *,
    model: Annotated[str, typer.Option(help="<provider>/<model>")] = "demo/default",
    system: Annotated[str | None, typer.Option(help="Instructions that come before the conversation.")] = None,
    url: Url = DEFAULT_URL,
    wire: WireOption = "ws",
    options: Annotated[str | None, typer.Option(help="Options of the provider, as a JSON object.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Let it run to its end when nobody watches.")] = False,
) -> None:
    """Ask a model, and see the answer as it comes. Ctrl-C while it runs asks whether to stop it or to leave it."""
    fixed: dict[str, Any] = {"model": model}
    if system is not None:
        fixed["system"] = system
    if options is not None:
        fixed["options"] = _json_object(options)
    if keep:
        fixed["on_disconnect"] = "continue"
    with _Shell(url, wire) as shell:
        conversation = _Conversation(shell, fixed)
        if prompt is None and not sys.stdin.isatty():
            prompt = sys.stdin.read()
        if prompt is not None:
            shell.code = shell.run(conversation.turn(prompt))
        else:
            conversation.loop()


def watch(
    generation: Annotated[str, typer.Argument(help="Its id.")],
    after: Annotated[str | None, typer.Option(help="A cursor; everything when not given.")] = None,
    url: Url = DEFAULT_URL,
    wire: WireOption = "ws",
) -> None:
    """Follow a generation to its end, from its beginning or from a cursor, through any number of drops."""
    with _Shell(url, wire) as shell:
        shell.code = shell.run(_watch(shell, generation, after))


def stop(generation: Annotated[str, typer.Argument(help="Its id.")], url: Url = DEFAULT_URL) -> None:
    """End a generation early; what it said so far stays."""
    with _Shell(url, "ws") as shell:
        shell.code = shell.run(_stop(shell, generation))


def _json_object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except ValueError:
        raise typer.BadParameter("is not a JSON object", param_hint="--options") from None


class _Shell:
    """What every command needs: a client, a screen, a loop to run in, and a way out with a code and a sentence."""

    def __init__(self, url: str, wire: Wire) -> None:
        self.url = url
        self.wire: Wire = wire
        self.code = 0
        self.screen = Screen()
        self.client = Client(url, api_key=os.environ.get(KEY_VARIABLE) or None, wire=wire)
        self._runner = asyncio.Runner()

    def run(self, coro: Coroutine[Any, Any, int]) -> int:
        """Run one exchange to its exit code; whatever went wrong is a sentence."""
        try:
            return self._runner.run(coro)
        except KeyboardInterrupt:
            self.screen.note("left before the server had answered", style="yellow")
            return LEFT
        except UnreachableError as error:
            return self._wrong(f"cannot reach {self.url}: {error}", FAILED)
        except RefusedError as error:
            return self._wrong(str(error), USAGE if error.status == 400 or error.code == "bad_request" else FAILED)
        except (ClientError, RealtimeError) as error:
            return self._wrong(str(error), USAGE if isinstance(error, RealtimeError) else FAILED)

    def observe(self, generation: str, after: str | None = None) -> Observation:
        """Follow a generation; whoever looks at the terminal is told why nothing comes."""
        return self.client.observe(generation, after=after, on_drop=lambda _: self.screen.hint("reconnecting…"))

    def watch_command(self, observation: Observation) -> str:
        """The command line that goes on where `observation` is."""
        words = ["realtime", "watch", observation.generation]
        if observation.cursor is not None:
            words += ["--after", observation.cursor]
        if self.url != DEFAULT_URL:
            words += ["--url", self.url]
        return shlex.join(words)

    def __enter__(self) -> "_Shell":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._runner.run(self.client.aclose())
        self._runner.close()
        if kind is None:
            raise typer.Exit(self.code)

    def _wrong(self, sentence: str, code: int) -> int:
        self.screen.note(f"realtime: {sentence}", style="red")
        return code


class _Conversation:
    """Turns of a conversation. The history is kept here: the server stores none."""

    def __init__(self, shell: _Shell, fixed: dict[str, Any]) -> None:
        self._shell = shell
        self._fixed = fixed
        self._messages: list[dict[str, str]] = []

    def loop(self) -> None:
        """Ask for prompts until end of input or Ctrl-C at the prompt; a turn that was left ends it too."""
        shell = self._shell
        while True:
            try:
                prompt = input("> ")
            except (EOFError, KeyboardInterrupt):
                shell.screen.say("\n")
                return
            if prompt.strip():
                code = shell.run(self.turn(prompt))
                if code == LEFT:
                    shell.code = code
                    return

    async def turn(self, prompt: str) -> int:
        """Ask once; an answer, whole or stopped, becomes part of the history, a failure does not."""
        shell, question = self._shell, {"role": "user", "content": prompt}
        asked_s = time.monotonic()
        started = await shell.client.start({**self._fixed, "messages": [*self._messages, question]})
        transcript = Transcript(shell.screen, asked_s)
        async with shell.observe(started.generation) as observation:
            code = await _follow(shell, observation, transcript, _KEPT if "on_disconnect" in self._fixed else _ALONE)
        if code in {CODES["completed"], CODES["stopped"]} and transcript.text.strip():
            self._messages += [question, {"role": "assistant", "content": transcript.text}]
        return code


async def _watch(shell: _Shell, generation: str, after: str | None) -> int:
    async with shell.observe(generation, after) as observation:
        code = await _follow(shell, observation, Transcript(shell.screen), _UNKNOWN)
    if observation.finished is None and code != LEFT:
        # The cursor was the last there will be: nothing came, and the end has to be asked for.
        resource = await shell.client.get(generation)
        shell.screen.note(f"nothing more: {resource.outcome or resource.state}")
        return CODES[resource.outcome] if resource.outcome is not None else FAILED
    return code


async def _stop(shell: _Shell, generation: str) -> int:
    answer = await shell.client.stop(generation)
    shell.screen.say(f"{answer.state}\n" if answer.outcome is None else f"{answer.state}: {answer.outcome}\n")
    return 0


async def _follow(shell: _Shell, observation: Observation, transcript: Transcript, fate: str) -> int:
    """Show a generation until it ends or the user leaves it to its `fate`; the exit code."""
    interrupts: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    showing = loop.create_task(_show(observation, transcript))
    loop.add_signal_handler(signal.SIGINT, interrupts.put_nowait, None)
    try:
        while await _first(showing, interrupts.get()) is not showing:
            transcript.hold()
            choice = await _ask(shell, showing, interrupts)
            if choice == "l":
                shell.screen.note(f"{fate}; watch it again with\n  {shell.watch_command(observation)}", "yellow")
                return LEFT
            if choice == "s":
                await shell.client.stop(observation.generation)
            transcript.release()
        transcript.release()
        showing.result()
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        showing.cancel()
        await asyncio.wait({showing})
    if transcript.finished is None:
        return FAILED
    shell.screen.note(transcript.closing_line())
    return CODES[transcript.finished.outcome]


async def _show(observation: Observation, transcript: Transcript) -> None:
    async for item in observation:
        transcript.show(item)


async def _ask(shell: _Shell, showing: "asyncio.Task[None]", interrupts: "asyncio.Queue[None]") -> str:
    """Stop or leave: `s`, `l`, or nothing when the generation ended meanwhile. Nobody to ask, and Ctrl-C, is `l`."""
    if not (sys.stdin.isatty() and shell.screen.live):
        return "l"
    async with keys() as pressed:
        # Only now: what was typed before there was a question does not answer it.
        shell.screen.note("stop it or leave it running? [s/l] ", style="bold yellow")
        while True:
            key: asyncio.Task[str] = asyncio.create_task(pressed.get())
            again = asyncio.create_task(interrupts.get())
            try:
                await asyncio.wait({key, again, showing}, return_when=asyncio.FIRST_COMPLETED)
                if again.done() or (key.done() and key.result().lower() in {"l", ""}):
                    return "l"
                if key.done() and key.result().lower() == "s":
                    return "s"
                if showing.done():
                    return ""
            finally:
                key.cancel()
                again.cancel()


async def _first(task: "asyncio.Task[None]", other: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """Whichever is done first, `task` if both are; the other coroutine is not left behind."""
    waiting = asyncio.create_task(other)
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        return task if task.done() else waiting
    finally:
        waiting.cancel()
