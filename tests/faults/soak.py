"""`python -m tests.faults.soak [--minutes 30] [--json [PATH]]`: a server under churn for long, and what drifts in it.

One process serves; this one starts generations of every kind at random moments, has them observed, dropped, resumed,
left unread and stopped on every wire, judges the history of each, and samples what the server holds. The load is found
first: as many lives a second as take the asked share of a core. The exit status is 1 when anything was found.
"""

import argparse
import asyncio
import signal
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.machine import describe

from .drift import drift
from .soaking import Plan, Result, rss_drift, soak

_RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
# For the start of the process, the first lives, the last ones and the quiet.
_SLACK_S = 300.0
_SHOWN_FINDINGS = 20
_SHOWN = ("tasks", "descriptors", "threads", "blocks")


def report(result: Result, plan: Plan) -> dict[str, Any]:
    """The run as a few figures, and what was found."""
    rss, samples, judged = rss_drift(result.samples), result.samples, result.judged
    blocks = drift([(at, float(counts.blocks)) for at, counts in samples])
    return {
        "plan": plan._asdict(),
        "measured_s": samples[-1][0],
        "load": result.load,
        "lives_per_s": result.lives_per_s,
        "generations": judged.judged,
        "outcomes": dict(judged.outcomes),
        "events_written": judged.appended,
        "events_shown": judged.shown,
        "rss_mib": rss.level,
        "rss_mib_per_hour": rss.slope * 3600,
        "rss_mib_per_hour_noise": rss.noise * 3600,
        "blocks_per_hour": blocks.slope * 3600,
        "blocks_per_hour_noise": blocks.noise * 3600,
        "most": {name: max(getattr(counts, name) for _, counts in samples) for name in _SHOWN},
        "at_rest_before": asdict(result.before),
        "at_rest_after": asdict(result.after),
        "findings": result.findings,
    }


def main() -> int:
    """Run it, say what was seen, and write that down where asked; 1 when anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--load", type=float, default=0.6, help="share of one core the server is to use")
    parser.add_argument("--lives", type=float, help="begin so many a second instead of finding how many are that load")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, nargs="?", const=_RESULTS, help="file, or benchmarks/results/ by default")
    asked = parser.parse_args()
    plan = Plan(asked.minutes, asked.load, asked.seed, asked.lives)
    now = datetime.now(UTC)
    result = asyncio.run(_interruptible(plan))
    shown = report(result, plan)
    print(msgspec.json.format(msgspec.json.encode(shown | {"findings": result.findings[:_SHOWN_FINDINGS]})).decode())
    if asked.json is not None:
        path = asked.json / f"{now:%Y-%m-%d-%H%M}-soak.json" if asked.json.is_dir() else asked.json
        samples = [{"at_s": at, **asdict(counts)} for at, counts in result.samples]
        whole = {"date": f"{now:%Y-%m-%dT%H:%M:%SZ}", "machine": describe(), **shown, "samples": samples}
        path.write_bytes(msgspec.json.format(msgspec.json.encode(whole)) + b"\n")
    return 1 if result.findings else 0


async def _interruptible(plan: Plan) -> Result:
    """The run, which a SIGTERM ends as a Ctrl-C does: with its child."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with asyncio.timeout(plan.minutes * 60 + _SLACK_S):
        return await soak(plan)


if __name__ == "__main__":
    sys.exit(main())
