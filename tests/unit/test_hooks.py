"""Hooks: all are told, and none can harm."""

import logging

import pytest

from realtime.hooks import FirstEvent, Hooks, Record

from .logs import make_meta


def test_a_hook_that_fails_is_logged_and_the_others_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """What an application hangs here cannot end a generation."""
    heard: list[Record] = []

    def fail(record: Record, /) -> None:
        raise ZeroDivisionError

    record = FirstEvent(make_meta(), 1)
    with caplog.at_level(logging.ERROR):
        Hooks([fail, heard.append])(record)
    assert heard == [record]
    assert "FirstEvent" in caplog.text
