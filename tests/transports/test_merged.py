"""`replay=merged`: fewer events, the same text, the same place."""

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from realtime.events import AnyEvent, Data, Entry, Reasoning, Refusal, Text, ToolArguments
from realtime.message import assemble
from transports.merged import MAX_MERGED_BYTES, merge

from .strategies import histories, relaxed


def key(event: AnyEvent) -> tuple[object, ...]:
    """What a delta belongs to."""
    part = event.call if isinstance(event, ToolArguments) else getattr(event, "part", None)
    return (type(event), part)


def joined(entries: list[Entry]) -> dict[tuple[object, ...], str]:
    """The concatenated text of each part."""
    whole: dict[tuple[object, ...], str] = {}
    for entry in entries:
        if isinstance(entry.event, Text | Reasoning | Refusal | ToolArguments):
            whole[key(entry.event)] = whole.get(key(entry.event), "") + entry.event.text
    return whole


@relaxed
@given(histories)
def test_the_text_of_every_part_is_the_same(history: list[Entry]) -> None:
    """Part by part, and as a whole message."""
    merged = list(merge(history))
    assert joined(merged) == joined(history)
    assert assemble(entry.event for entry in merged) == assemble(entry.event for entry in history)


@relaxed
@given(histories)
def test_each_merged_event_stands_for_a_run_and_is_numbered_by_its_last(history: list[Entry]) -> None:
    """The runs are the whole history in order, each joined text is its run's, id and time are its last member's."""
    rest = list(history)
    for entry in merge(history):
        run: list[Entry] = []
        while not run or run[-1].seq != entry.seq:
            run.append(rest.pop(0))
        assert entry.at == run[-1].at
        if len(run) == 1:
            assert entry == run[0]
            continue
        assert {key(member.event) for member in run} == {key(entry.event)}
        assert entry.event == msgspec.structs.replace(run[-1].event, text="".join(m.event.text for m in run))  # type: ignore[union-attr]
        assert all(getattr(m.event, "signature", None) is getattr(m.event, "redacted", None) is None for m in run)
    assert rest == []


@relaxed
@given(histories)
def test_nothing_is_left_to_join(history: list[Entry]) -> None:
    """Neighbours differ in type or part, or hold a seal; so merging again changes nothing."""
    merged = list(merge(history))
    assert list(merge(merged)) == merged
    for one, two in pairwise(merged):
        sealed = any(isinstance(it.event, Reasoning) and (it.event.signature or it.event.redacted) for it in (one, two))
        assert key(one.event) != key(two.event) or sealed or isinstance(one.event, Data)


@relaxed
@given(st.lists(st.tuples(st.sampled_from(["x", "é", "🧭"]), st.integers(1, MAX_MERGED_BYTES // 2)), max_size=12))
def test_no_merged_event_is_over_64_kib(sizes: list[tuple[str, int]]) -> None:
    """In bytes of UTF-8, whatever the characters; and none is much smaller than it had to be."""
    history = [Entry(seq, 0, Text(letter * count)) for seq, (letter, count) in enumerate(sizes, 1)]
    lengths = {entry.seq: entry.event.size() for entry in history}
    merged = list(merge(history))
    for entry in merged:
        assert entry.event.size() <= max(MAX_MERGED_BYTES, lengths[entry.seq])
    for one, two in pairwise(merged):
        first_of_two = next(entry for entry in history if entry.seq > one.seq)
        assert one.event.size() + first_of_two.event.size() > MAX_MERGED_BYTES
        assert two.seq > one.seq
    assert list(merge(merged)) == merged
    assert joined(merged) == joined(history)


def test_a_delta_that_is_too_large_is_left_alone() -> None:
    """It was one event before, and it still is; its neighbours are not pulled in."""
    history = [Entry(1, 0, Text("a")), Entry(2, 0, Text("b" * (MAX_MERGED_BYTES + 1))), Entry(3, 0, Text("c"))]
    assert list(merge(history)) == history


def test_exactly_64_kib_is_one_event() -> None:
    """The limit is the largest that may be."""
    half = "a" * (MAX_MERGED_BYTES // 2)
    assert MAX_MERGED_BYTES == 65536
    assert len(list(merge([Entry(1, 0, Text(half)), Entry(2, 0, Text(half))]))) == 1
    assert len(list(merge([Entry(1, 0, Text(half)), Entry(2, 0, Text(half + "a"))]))) == 2
