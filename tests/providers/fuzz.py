"""`python -m tests.providers.fuzz [--inputs N] [--seed N]`: mutated streams through splitter and translators.

Whatever a provider sends, it becomes events that every wire can carry and at most one error of the table; how the
network cut it does not matter; and it costs time and memory by its length. The input of a finding is made again from
the seed and the number that are printed with it.
"""

import argparse
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from realtime.errors import RealtimeError
from realtime.events import Event
from realtime.message import assemble
from realtime.providers.anthropic_chunks import MessagesTranslator
from realtime.providers.aws_event_stream import AwsSplitter
from realtime.providers.event_stream import Splitter
from realtime.providers.openai_chunks import ChatTranslator
from realtime.providers.responses_chunks import ResponsesTranslator
from realtime.providers.unknown import MAX_KINDS
from realtime.providers.upstream import Framing, Item, Translator

from ..upstream import bedrock, chat, cut, messages, responses
from .mutations import mutated

# Of the processor, for one input of some ten KiB; a hundred times what the slowest takes.
MAX_S = 2.0
# Output by input: a name of a few bytes becomes an event, and half a character an escape of six.
MAX_GROWTH = 64
# What a million inputs may leave behind, allocator and all.
MAX_GROWN_KIB = 64 * 1024


@dataclass(frozen=True)
class Wire:
    """A translator, and streams that it understands."""

    translator: Callable[[], Translator]
    samples: Sequence[bytes]
    framing: Callable[[], Framing] = Splitter


# A wire is a line here.
WIRES = {
    "chat": Wire(ChatTranslator, [b"".join(steps) for steps in chat.dialects().values()]),
    "responses": Wire(ResponsesTranslator, [b"".join(responses.rich()), b"".join(responses.text("Hel", "lo"))]),
    "messages": Wire(MessagesTranslator, [b"".join(steps) for steps in messages.dialects().values()]),
    "bedrock": Wire(
        MessagesTranslator,
        [b"".join(bedrock.framed(steps)) for steps in messages.dialects().values()],
        AwsSplitter,
    ),
}


class FindingError(Exception):
    """An input did what none may do."""


@dataclass
class Told:
    """What was seen, over all inputs."""

    ends: Counter[str] = field(default_factory=Counter)
    events: int = 0
    slowest_s: float = 0.0


class Translated(NamedTuple):
    """What became of a stream.

    Attributes:
        end: The code of the error that ended it, if one did.
        unknown: See `Translator`.
    """

    items: list[Item]
    end: str
    unknown: dict[str, int]


def translated(wire: Wire, reads: Iterable[bytes]) -> Translated:
    """A stream as `upstream` would have it.

    Raises:
        FindingError: When anything escapes but an error of the provider's.
    """
    translator, framing = wire.translator(), wire.framing()
    items: list[Item] = []
    end = ""
    try:
        for read in reads:
            for event in framing.feed(read):
                translator.take(event, items)
    except RealtimeError as error:
        if not error.code.startswith("upstream_"):
            raise FindingError(f"the code is {error.code}") from error
        end = error.code
    except Exception as error:
        raise FindingError(f"{type(error).__name__} escaped") from error
    end = "ended" if translator.ended is not None else end or "cut short"
    return Translated(items, end, translator.unknown)


def judge(wire: Wire, stream: bytes, chance: random.Random, told: Told) -> None:
    """Translate `stream`, whole and in pieces.

    Raises:
        FindingError: When what comes out is not as it must be.
    """
    began = time.thread_time()
    whole = translated(wire, [stream])
    took = time.thread_time() - began
    places = [chance.randrange(len(stream) + 1) for _ in range(chance.choice((1, 3, 20)))]
    if translated(wire, cut(stream, *places)) != whole:
        raise FindingError(f"cut at {places} it is another stream")
    if took > MAX_S:
        raise FindingError(f"it took {took:.2f} s")
    if len(whole.unknown) > MAX_KINDS + 2:
        raise FindingError("more kinds are counted than there is room for")
    _check_events([item for item in whole.items if isinstance(item, Event)], len(stream))
    told.ends[whole.end] += 1
    told.events += len(whole.items)
    told.slowest_s = max(told.slowest_s, took)


def _check_events(events: list[Any], given: int) -> None:
    try:
        encoded = [msgspec.json.encode(event) for event in events]
        size = sum(len(data) + event.size() for data, event in zip(encoded, events, strict=True))
        again = [msgspec.json.decode(data, type=type(event)) for data, event in zip(encoded, events, strict=True)]
        message = assemble(events)
        for value in (*events, message):
            msgspec.msgpack.encode(value)
        msgspec.json.encode(message)
    except Exception as error:
        raise FindingError(f"{type(error).__name__} when it is encoded") from error
    if again != events:
        raise FindingError("an event does not survive its encoding")
    if size > MAX_GROWTH * (given + 64):
        raise FindingError(f"{given} bytes became {size}")


def run(inputs: int, seed: int) -> Told:
    """So many inputs, the wires in turn.

    Raises:
        FindingError: At the first finding, with the number of its input.
    """
    told, wires = Told(), sorted(WIRES)
    for number in range(inputs):
        name = wires[number % len(wires)]
        chance = random.Random(f"{seed} {number}")
        stream = mutated(chance, WIRES[name].samples)
        try:
            judge(WIRES[name], stream, chance, told)
        except FindingError as error:
            raise FindingError(f"seed {seed}, input {number}, {name}: {error}\n{stream[:2000]!r}") from error
    return told


def _resident_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> int:
    """Run as many as were asked for; 1 at a finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.providers.fuzz")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    run(2000, asked.seed)
    before, began = _resident_kib(), time.monotonic()
    told = run(asked.inputs, asked.seed)
    grown = _resident_kib() - before
    ends = ", ".join(f"{count} {end}" for end, count in told.ends.most_common())
    print(
        f"{asked.inputs} inputs of seed {asked.seed} in {time.monotonic() - began:.0f} s, {told.events} events: {ends}"
    )
    print(f"slowest {told.slowest_s * 1000:.1f} ms; grown by {grown} KiB")
    return 1 if grown > MAX_GROWN_KIB else 0


if __name__ == "__main__":
    sys.exit(main())
