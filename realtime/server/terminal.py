"""A generation on a terminal or in a pipe: what is written where, and the one question that is asked.

On a terminal the answer is shown as it comes, with the reasoning dim and without control characters, since a model's
words must not move anybody's cursor. In a pipe standard output is the answer and nothing else, byte for byte; what
there is to say about it goes to standard error.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from rich.console import Console

from realtime.events import Finished, Reasoning, Refusal, Text, ToolArguments, ToolCall
from realtime.message import Assembler
from transports.client import JsonView, Observed, Reset, Unknown

# C0 but tab and newline, DEL, C1: escape sequences begin with one of these.
_UNPRINTABLE = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])


class Screen:
    """Where the commands write: `out` for answers, `notes` for everything about them."""

    def __init__(self, out: Console | None = None, notes: Console | None = None) -> None:
        self._out = out or Console(soft_wrap=True)
        self._notes = notes or Console(stderr=True, soft_wrap=True)
        self._at_line_start = True

    @property
    def live(self) -> bool:
        """Whether a person is looking at the answer."""
        return self._out.is_terminal

    def say(self, text: str, style: str | None = None) -> None:
        """Write a piece of the answer, at once."""
        if not text:
            return
        if self.live:
            self._out.out(text.translate(_UNPRINTABLE), style=style, end="", highlight=False)
        else:
            self._out.file.write(text)
        self._out.file.flush()
        self._at_line_start = text.endswith("\n")

    def end_line(self) -> None:
        """Make sure that what follows begins a line."""
        if not self._at_line_start:
            self.say("\n")

    def note(self, text: str, style: str = "dim") -> None:
        """Write a line about the answer."""
        self.end_line()
        self._notes.out(text.translate(_UNPRINTABLE), style=style, highlight=False)

    def hint(self, text: str) -> None:
        """Write a line that only somebody who waits before a terminal has a use for."""
        if self._notes.is_terminal:
            self.note(text)


class Transcript:
    """One generation on a screen, and what the closing line needs to know about it.

    Args:
        asked_s: When it was asked for, by `clock`; None for one that somebody else started.
    """

    def __init__(
        self, screen: Screen, asked_s: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._screen = screen
        self._asked_s = asked_s
        self._clock = clock
        self._held: list[Observed] | None = None
        self._first_s: float | None = None
        self._forget()

    def _forget(self) -> None:
        self._assembler = Assembler()
        self._mode = ""
        self._deltas = 0
        self._first_at = self._last_at = 0
        self.finished: Finished | None = None

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._assembler.message().text

    def hold(self) -> None:
        """Keep what comes off the screen, while a question stands there."""
        self._held = self._held or []

    def release(self) -> None:
        """Show what was held back, and what comes from now on."""
        held, self._held = self._held or [], None
        for item in held:
            self.show(item)

    def show(self, item: Observed) -> None:
        """Take the next item of an observation."""
        if self._held is not None:
            self._held.append(item)
            return
        event = item.event
        match event:
            case Reset():
                self._screen.note("[the server lost its place; the answer from its beginning:]")
                self._forget()
                return
            case JsonView() | Unknown():
                return
            case Finished():
                self.finished = event
                self._screen.end_line()
            case Text() | Refusal():
                self._delta(item, "answer", event.text)
            case Reasoning():
                self._delta(item, "reasoning", event.text)
            case ToolCall():
                if self._screen.live:
                    self._screen.end_line()
                self._aside(f"[{event.name}] ")
            case ToolArguments():
                self._delta(item, "tool", event.text)
        self._assembler.add(event)

    def closing_line(self) -> str:
        """How it ended, what it took and how fast it came."""
        finished = self.finished
        if finished is None:
            return "no end seen"
        usage, parts = finished.usage, [_ending(finished)]
        estimated = " (estimated)" if usage.estimated else ""
        parts.append(f"{usage.input_tokens} in + {usage.output_tokens} out tokens{estimated}")
        first_s = self._first_s
        if first_s is None and finished.timings.first_event_ms is not None:
            first_s = finished.timings.first_event_ms / 1000
        if first_s is not None:
            parts.append(f"first token {first_s:.2f} s")
        if self._last_at > self._first_at:
            parts.append(f"{(self._deltas - 1) * 1000 / (self._last_at - self._first_at):.1f} deltas/s")
        return " · ".join(parts)

    def _delta(self, item: Observed, mode: str, text: str) -> None:
        if not self._deltas:
            self._first_at = item.at
            if self._asked_s is not None and self._first_s is None:
                self._first_s = self._clock() - self._asked_s
        self._deltas, self._last_at = self._deltas + 1, item.at
        if mode != "answer":
            self._aside(text)
        else:
            if self._mode == "aside":
                self._screen.end_line()
            self._screen.say(text)
            self._mode = mode

    def _aside(self, text: str) -> None:
        """What is not the answer is for people only."""
        if not self._screen.live:
            return
        if self._mode == "answer":
            self._screen.end_line()
        self._mode = "aside"
        self._screen.say(text, style="dim")


def _ending(finished: Finished) -> str:
    match finished.outcome:
        case "completed":
            return "completed" if finished.reason in {None, "stop"} else f"completed ({finished.reason})"
        case "stopped":
            return f"stopped by {finished.stopped_by}"
        case "failed":
            return f"failed: {finished.error.message}" if finished.error is not None else "failed"


@asynccontextmanager
async def keys() -> AsyncIterator["asyncio.Queue[str]"]:
    """Single keys from the terminal, without an Enter; an empty string when it is gone."""
    import termios  # noqa: PLC0415 - POSIX only
    import tty  # noqa: PLC0415

    loop, pressed, fd = asyncio.get_running_loop(), asyncio.Queue[str](), sys.stdin.fileno()
    before: list[Any] = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    loop.add_reader(fd, lambda: pressed.put_nowait(os.read(fd, 1).decode(errors="replace")))
    try:
        yield pressed
    finally:
        loop.remove_reader(fd)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
