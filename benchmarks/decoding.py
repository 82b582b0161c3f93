"""From a read of a model's socket to events: each kind that comes, beside the official SDK on the same bytes."""

import json
from collections.abc import Mapping, Sequence

from realtime.providers.event_stream import Splitter
from realtime.providers.upstream import Item

from .report import Check, Row, Table
from .steps import Step
from .timing import Comparison, Rounds, least_us, ratios
from .wires.chat import CHAT
from .wires.kind import Kind, Wire
from .wires.messages import MESSAGES
from .wires.responses import RESPONSES

WIRES = (CHAT, MESSAGES, RESPONSES)

_SDK = "the official SDK's own parse"
_OURS = "ours µs"
# Of a core, so that reading five hundred streams of 50 tokens a second takes an eighth of it at most.
_LIMIT_US = 5
_NOTE = (
    "Only the deltas, of which one comes with each token, have a limit in µs. The others come a few times in an answer;"
    " an item that is done and a response that is completed say again all that the deltas have said."
)


def decodings(wire: Wire, chunks: int) -> dict[str, Comparison]:
    """What is compared, by kind, with so many events in each try."""
    return {
        name: Comparison(f"decode {wire.name}, {name}", _SDK, _steps(wire, kind, chunks))
        for name, kind in wire.kinds.items()
    }


def delta_decodings(chunks: int) -> list[Comparison]:
    """The kinds that come with each token, of every wire."""
    return [
        comparison for wire in WIRES for name, comparison in decodings(wire, chunks).items() if wire.kinds[name].delta
    ]


def table(wire: Wire, compared: Mapping[str, Comparison], rounds: Mapping[str, Rounds]) -> Table:
    """What each kind costs.

    Args:
        compared: `decodings` of the wire.
        rounds: Of each, what was timed.
    """
    rows = [_row(kind, wire.kinds[kind], comparison, rounds[kind]) for kind, comparison in compared.items()]
    deltas = [row.case for row in rows if wire.kinds[row.case].delta]
    slowest = max(float(row.figures[_OURS] or 0) for row in rows if row.case in deltas)
    dearest = max(row.ratio or 0 for row in rows)
    return Table(
        name=f"micro: decode {wire.name} by kind of event",
        baseline=f"{_SDK} of the same event",
        rows=rows,
        checks=[
            Check("µs of the slowest delta, ours", slowest, _LIMIT_US, figure=_OURS, cases=deltas),
            Check("the dearest kind, ours / SDK", dearest, 1, figure="ratio", cases=[row.case for row in rows]),
        ],
        notes=[_NOTE],
        drawn=_OURS,
    )


def _row(name: str, kind: Kind, comparison: Comparison, rounds: Rounds) -> Row:
    least = least_us(comparison, rounds)
    figures = {_OURS: least["ours"], "SDK µs": least["SDK"], "json.loads µs": least["json.loads"]}
    return Row(name, ratios(comparison, rounds)["ours"], {**figures, "bytes": len(kind.nth(0))})


def _steps(wire: Wire, kind: Kind, chunks: int) -> dict[str, Step]:
    reads = [kind.nth(n) for n in range(chunks)]
    return {
        "SDK": lambda: wire.sdk(reads),
        "json.loads": lambda: _loads(reads),
        "ours": lambda: _translate(wire, kind.lead, reads),
    }


def _loads(reads: Sequence[bytes]) -> int:
    for read in reads:
        json.loads(read[read.index(b"{") :])
    return len(reads)


def _translate(wire: Wire, lead: Sequence[bytes], reads: Sequence[bytes]) -> int:
    splitter, translator = Splitter(), wire.translator()
    for read in (*lead, *reads):
        # What ends an answer is read as often as the rest.
        translator.done = False
        batch: list[Item] = []
        for event in splitter.feed(read):
            translator.take(event, batch)
    return len(reads)
