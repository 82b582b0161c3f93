"""`view=json`: the value so far, at most every 100 ms by its own clock, once per log."""

import pytest

from realtime.events import Data, Text
from realtime.log import EventLog
from tests.unit.logs import DONE, GENERATION, make_log
from transports import json_view
from transports.codec import Json
from transports.json_view import LEAST_MS, JsonView


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000.0

    def __call__(self) -> float:
        return self.now_ms / 1000

    def pass_ms(self, ms: float) -> None:
        """Let time pass."""
        self.now_ms += ms


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def log() -> EventLog:
    """A log that has no text yet."""
    return make_log()


def view_value(view: JsonView, version: int = 0) -> object:
    """The value it shows to one who has seen `version`."""
    newer = view.newer(version)
    assert newer is not None
    return newer[1].value


def test_it_grows_with_the_text(log: EventLog, clock: Clock) -> None:
    """Unfinished strings, lists and objects are shown as far as they go."""
    view, version, seen = JsonView(log, clock), 0, []
    for delta in ('{"na', 'me":"Zü', 'rich","n":[1', ",2]", "}"):
        log.append(Text(delta), 9)
        clock.pass_ms(LEAST_MS + 1)
        newer = view.newer(version)
        assert newer is not None
        version, frame = newer
        assert (frame.generation, frame.final) == (GENERATION, False)
        seen.append(frame.value)
    whole = {"name": "Zürich", "n": [1, 2]}
    assert seen == [{}, {"name": "Zü"}, {"name": "Zürich", "n": [1]}, whole, whole]


def test_it_is_parsed_at_most_every_100_ms(log: EventLog, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many deltas come and however often it is asked; the first is shown at once."""
    parsed: list[str] = []
    parse = json_view._parse

    def counted(text: str, last: object) -> object:
        parsed.append(text)
        return parse(text, last)

    monkeypatch.setattr(json_view, "_parse", counted)
    view = JsonView(log, clock)
    log.append(Text("["), 9)
    assert view_value(view) == []
    for n in range(100):
        log.append(Text(f"{n},"), 9)
        clock.pass_ms(13)
        view.newer(0)
    assert LEAST_MS == 100
    # The first, and then every eighth: seven times 13 is not yet 100.
    assert len(parsed) == 13
    log.append(Text("100]"), 9)
    assert view.newer(99) is None
    clock.pass_ms(LEAST_MS + 1)
    assert view_value(view) == list(range(101))


def test_the_end_does_not_wait(log: EventLog, clock: Clock) -> None:
    """The final value is given at once, and says that it is final."""
    view = JsonView(log, clock)
    log.append(Text('{"a":'), 9)
    newer = view.newer(0)
    assert newer is not None
    log.append(Text("1}"), 9)
    assert view.newer(newer[0]) is None
    log.append(DONE, 9)
    last = view.newer(newer[0])
    assert last is not None
    assert last[1] == Json(GENERATION, {"a": 1}, final=True)
    assert view.newer(last[0]) is None


def test_an_end_without_new_text_is_a_version_too(log: EventLog, clock: Clock) -> None:
    """Who has seen the whole value is still told that it is final."""
    view = JsonView(log, clock)
    log.append(Text("[1]"), 9)
    newer = view.newer(0)
    assert newer is not None
    log.append(DONE, 9)
    assert view.newer(newer[0]) == (newer[0] + 1, Json(GENERATION, [1], final=True))


def test_what_is_not_text_changes_nothing(log: EventLog, clock: Clock) -> None:
    """No version for events of other types, and no waiting because of them."""
    view = JsonView(log, clock)
    log.append(Data("n", [1]), 9)
    assert view.newer(0) is None
    log.append(Text("7"), 9)
    assert view_value(view) == 7


@pytest.mark.parametrize("text", ["", "  ", "tru", "-", "{a", "no json", '{"a" 1}', "NaN", '"\\ud800"'])
def test_what_is_no_json_is_null(log: EventLog, clock: Clock, text: str) -> None:
    """The observer gets a final frame all the same."""
    view = JsonView(log, clock)
    log.append(Text(text), 9)
    log.append(DONE, 9)
    newer = view.newer(0)
    assert newer is not None
    assert newer[1] == Json(GENERATION, None, final=True)


def test_broken_json_leaves_the_last_value_standing(log: EventLog, clock: Clock) -> None:
    """A model that goes astray does not take away what it had said."""
    view = JsonView(log, clock)
    log.append(Text("[1, 2"), 9)
    assert view_value(view) == [1, 2]
    log.append(Text(", oh dear"), 9)
    clock.pass_ms(LEAST_MS + 1)
    assert view_value(view, 1) == [1, 2]
    log.append(DONE, 9)
    assert view_value(view, 2) == [1, 2]


def test_observers_share_one_view(log: EventLog) -> None:
    """The text is parsed once per log, whoever asks; another log has another."""
    one = JsonView.of(log)
    assert JsonView.of(log) is one
    assert JsonView.of(make_log()) is not one
    log.append(Text("[1]"), 9)
    first = JsonView.of(log).newer(0)
    assert first is not None
    assert JsonView.of(log).newer(0) == first
    assert first[1].value is view_value(one)
