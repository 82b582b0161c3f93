"""`micro`: the steps of a token's path by themselves, without a socket.

Each step is timed beside what it replaces, in turn and on the same bytes, by the time of this thread on a processor, so
that others who want it are not in the figures. A ratio is the middle one of those within a round: the processor's own
speed changes from one moment to the next. Of the times themselves the least counts, because everything that disturbs a
try makes it slower. `tests/test_micro.py` holds the ratios to what they were.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from .delivery import delivery_steps
from .plan import Plan
from .report import Row, Table
from .steps import Step, anthropic_steps, append_steps, encode_steps, merged_steps, openai_steps, replay_steps

_TRIES = 9


class Comparison(NamedTuple):
    """Steps to be timed in turn, by case; the first is the baseline, which `baseline` describes."""

    name: str
    baseline: str
    steps: Mapping[str, Step]


def run(plan: Plan) -> Iterable[Table]:
    """Decode, encode, append and take, deliver, replay."""
    for comparison in comparisons():
        yield _table(comparison, timed(comparison, 3 if plan.quick else _TRIES))


def comparisons(chunks: int = 500) -> list[Comparison]:
    """All of them, with so many events in each try."""
    sdk = "the official SDK's own parse"
    dumps = "`json.dumps` of a dict of the same fields"
    queues = "`json.dumps` of a dict, put into and got from one `asyncio.Queue` per observer"
    tasks = "`json.dumps` of a dict, put into one `asyncio.Queue` per observer, which a task of its own writes"
    return [
        Comparison("decode one OpenAI chunk", sdk, openai_steps(chunks)),
        Comparison("decode one Anthropic chunk", sdk, anthropic_steps(chunks)),
        Comparison("encode one event", dumps, encode_steps(chunks)),
        *(Comparison(f"append one event, {n} take it", queues, append_steps(chunks, n)) for n in (1, 100)),
        *(Comparison(f"deliver one event to {n}", tasks, delivery_steps(chunks, n)) for n in (1, 100)),
        Comparison("replay of 500 events, merged", "`json.dumps` of a dict for each", merged_steps(500)),
        Comparison("replay of 500 events to a second observer", "a bare join of their frames", replay_steps(500)),
    ]


def timed(comparison: Comparison, tries: int, least_s: float = 0.0) -> list[dict[str, float]]:
    """Seconds of each case, in rounds: so many, or as many as fit into the time if they are more."""
    rounds: list[dict[str, float]] = []
    until = time.perf_counter() + least_s
    while len(rounds) < tries or time.perf_counter() < until:
        times = {}
        for case, step in comparison.steps.items():
            began = time.thread_time()
            count = step()
            times[case] = (time.thread_time() - began) / count
        rounds.append(times)
    return rounds


def ratios(comparison: Comparison, rounds: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """What each case costs, by what the first one costs."""
    first = next(iter(comparison.steps))
    return {case: median(times[case] / times[first] for times in rounds) for case in comparison.steps}


def _table(comparison: Comparison, rounds: Sequence[Mapping[str, float]]) -> Table:
    best = {case: min(times[case] for times in rounds) * 1e6 for case in comparison.steps}
    rows = [Row(case, ratio, {"µs": best[case]}) for case, ratio in ratios(comparison, rounds).items()]
    return Table(f"micro: {comparison.name}", comparison.baseline, rows)
