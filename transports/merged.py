"""`replay=merged`: history with adjacent deltas joined, so that a page that reloads does not replay token by token.

Pure: entries in, fewer entries out, and the concatenation of every part's text is the same.
"""

from collections.abc import Iterable, Iterator

import msgspec

from realtime.events import Entry, Reasoning, Refusal, Text, ToolArguments

# A merged delta is one frame; a client should not have to take a megabyte as one.
MAX_MERGED_BYTES = 64 * 1024

_Delta = Text | Reasoning | Refusal | ToolArguments


def merge(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Join adjacent deltas of one kind and part; the id and time are the last member's."""
    run: list[Entry] = []
    size = 0
    for entry in entries:
        grows = entry.event.size()
        if run and _joins(run[-1], entry) and size + grows <= MAX_MERGED_BYTES:
            run.append(entry)
            size += grows
            continue
        if run:
            yield _joined(run)
        run, size = [entry], grows
    if run:
        yield _joined(run)


def _joins(last: Entry, entry: Entry) -> bool:
    one, two = last.event, entry.event
    if isinstance(one, Text | Refusal):
        return type(one) is type(two) and one.part == two.part
    if isinstance(one, ToolArguments):
        return isinstance(two, ToolArguments) and one.call == two.call
    return isinstance(one, Reasoning) and isinstance(two, Reasoning) and one.part == two.part and _plain(one, two)


def _plain(*deltas: Reasoning) -> bool:
    """A seal belongs to the delta that carries it and is left where it is."""
    return all(delta.signature is None and delta.redacted is None for delta in deltas)


def _joined(run: list[Entry]) -> Entry:
    last = run[-1]
    if len(run) == 1:
        return last
    assert isinstance(last.event, _Delta)
    text = "".join(entry.event.text for entry in run if isinstance(entry.event, _Delta))
    return Entry(last.seq, last.at, msgspec.structs.replace(last.event, text=text))
