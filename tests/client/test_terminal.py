"""What a generation looks like on a screen, without a process."""

import io

import pytest
from rich.console import Console

from realtime.errors import RealtimeError
from realtime.events import AnyEvent, Finished, Reasoning, Refusal, Text, Timings, ToolArguments, ToolCall, Usage
from realtime.server.terminal import Screen, Transcript
from transports.client import JsonView, Observed, Reset, Unknown


class Shown:
    """A screen in memory."""

    def __init__(self, *, live: bool) -> None:
        self.out, self.notes = io.StringIO(), io.StringIO()
        self.screen = Screen(
            Console(file=self.out, force_terminal=live, color_system="standard" if live else None, soft_wrap=True),
            Console(file=self.notes, force_terminal=False, soft_wrap=True),
        )


def show(transcript: Transcript, *events: AnyEvent | Reset | JsonView | Unknown) -> None:
    """Show events that are a tenth of a second apart."""
    for n, event in enumerate(events, 1):
        transcript.show(Observed(f"e1-{n}", n * 100, event))


def test_terminal() -> None:
    """A person sees reasoning and tool calls dim, each on lines of their own, and no control characters."""
    shown = Shown(live=True)
    show(
        Transcript(shown.screen),
        Reasoning("Hm\x1b[2J."),
        Text("Yes\x07, [b]no[/b]"),
        ToolCall("c1", "look"),
        ToolArguments("{}", "c1"),
        Finished("completed"),
    )
    assert shown.out.getvalue() == ("\x1b[2mHm[2J.\x1b[0m\nYes, [b]no[/b]\n\x1b[2m[look] \x1b[0m\x1b[2m{}\x1b[0m\n")


def test_pipe() -> None:
    """A program gets the answer and nothing else, untouched."""
    shown = Shown(live=False)
    show(
        Transcript(shown.screen),
        Reasoning("Hm."),
        Text("Y\x1b[1m"),
        Unknown("x", {}),
        Refusal("No"),
        Finished("completed"),
    )
    assert shown.out.getvalue() == "Y\x1b[1mNo\n"


def test_reset() -> None:
    """After a reset the answer is shown, and counted, from its beginning."""
    shown = Shown(live=False)
    transcript = Transcript(shown.screen)
    show(transcript, Text("lost"), Reset("branch"), JsonView(1), Text("kept"))
    assert transcript.text == "kept"
    assert shown.out.getvalue() == "lost\nkept"
    assert "from its beginning" in shown.notes.getvalue()


def test_hold() -> None:
    """What comes while a question stands there is shown after it, in order."""
    shown = Shown(live=False)
    transcript = Transcript(shown.screen)
    transcript.hold()
    show(transcript, Text("a"), Text("b"))
    assert shown.out.getvalue() == ""
    transcript.release()
    show(transcript, Text("c"))
    assert shown.out.getvalue() == "abc"


@pytest.mark.parametrize(
    ("finished", "line"),
    [
        (Finished("completed", reason="stop"), "completed"),
        (Finished("completed", reason="length"), "completed (length)"),
        (Finished("stopped", stopped_by="owner"), "stopped by owner"),
        (Finished("failed", error=RealtimeError("timeout_idle").error), "failed: The provider fell silent."),
        (Finished("failed"), "failed"),
    ],
)
def test_closing_line(finished: Finished, line: str) -> None:
    """The last line says how it ended, and what it took."""
    transcript = Transcript(Shown(live=False).screen)
    assert transcript.closing_line() == "no end seen"
    show(transcript, finished)
    assert transcript.closing_line() == f"{line} · 0 in + 0 out tokens"


def test_figures() -> None:
    """Rate is of the server's times; the first token is timed here for who asked, and there for who watches."""
    end = Finished("completed", usage=Usage(3, 4, estimated=True), timings=Timings(500, first_event_ms=1250))
    watched = Transcript(Shown(live=False).screen)
    show(watched, Text("a"), Text("b"), Text("c"), end)
    assert watched.closing_line() == "completed · 3 in + 4 out tokens (estimated) · first token 1.25 s · 10.0 deltas/s"
    asked = Transcript(Shown(live=False).screen, asked_s=1.0, clock=lambda: 3.5)
    show(asked, Text("a"), end)
    assert asked.closing_line() == "completed · 3 in + 4 out tokens (estimated) · first token 2.50 s"


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_hint_is_for_terminals(is_terminal: bool) -> None:
    """Who waits before a terminal is told that it reconnects; a log that standard error goes to is not."""
    out, notes = io.StringIO(), io.StringIO()
    Screen(Console(file=out), Console(file=notes, force_terminal=is_terminal)).hint("reconnecting…")
    assert (out.getvalue(), "reconnecting" in notes.getvalue()) == ("", is_terminal)
