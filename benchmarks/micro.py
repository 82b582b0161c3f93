"""`micro`: the steps of a token's path by themselves, without a socket.

Each step is timed beside what it replaces, in turn and on the same bytes; see `timing`. `tests/test_micro.py` holds the
ratios to what they were.
"""

from collections.abc import Iterable

from .decoding import WIRES, decodings, table
from .delivery import delivery_steps
from .plan import Plan
from .report import Row, Table
from .steps import append_steps, encode_steps, merged_steps, replay_steps
from .timing import Comparison, Rounds, least_us, ratios, timed

_TRIES = 9
_CHUNKS = 500


def run(plan: Plan) -> Iterable[Table]:
    """Decode, encode, append and take, deliver, replay."""
    tries = 3 if plan.quick else _TRIES
    for wire in WIRES:
        compared = decodings(wire, _CHUNKS)
        yield table(wire, compared, {kind: timed(comparison, tries) for kind, comparison in compared.items()})
    for comparison in comparisons():
        yield _table(comparison, timed(comparison, tries))


def comparisons(chunks: int = _CHUNKS) -> list[Comparison]:
    """All that comes after decoding, with so many events in each try."""
    dumps = "`json.dumps` of a dict of the same fields"
    queues = "`json.dumps` of a dict, put into and got from one `asyncio.Queue` per observer"
    tasks = "`json.dumps` of a dict, put into one `asyncio.Queue` per observer, which a task of its own writes"
    return [
        Comparison("encode one event", dumps, encode_steps(chunks)),
        *(Comparison(f"append one event, {n} take it", queues, append_steps(chunks, n)) for n in (1, 100)),
        *(Comparison(f"deliver one event to {n}", tasks, delivery_steps(chunks, n)) for n in (1, 100)),
        Comparison("replay of 500 events, merged", "`json.dumps` of a dict for each", merged_steps(500)),
        Comparison("replay of 500 events to a second observer", "a bare join of their frames", replay_steps(500)),
    ]


def _table(comparison: Comparison, rounds: Rounds) -> Table:
    least = least_us(comparison, rounds)
    rows = [Row(case, ratio, {"µs": least[case]}) for case, ratio in ratios(comparison, rounds).items()]
    return Table(f"micro: {comparison.name}", comparison.baseline, rows)
