"""`python -m benchmarks [name …] [--quick] [--json PATH]`."""

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from . import core, drops, fanout, gateway, idle, machine, many, micro, redis_bus, resume, stop
from .plan import Plan
from .report import Table, shown

# Adding a benchmark is a module with a `run` and a line here.
BENCHMARKS: dict[str, Callable[[Plan], Iterable[Table]]] = {
    "micro": micro.run,
    "fanout": fanout.run,
    "many": many.run,
    "gateway": gateway.run,
    "core": core.run,
    "stop": stop.run,
    "redis": redis_bus.run,
    "resume": resume.run,
    "drops": drops.run,
    "idle": idle.run,
}

_RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run what was asked for; 1 when a floor was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="name", help=f"{', '.join(BENCHMARKS)}; all when none is given")
    parser.add_argument("--quick", action="store_true", help="under a minute, and as exact as that")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where to write the results instead of results/")
    asked = parser.parse_args()
    unknown = set(asked.names) - BENCHMARKS.keys()
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    plan = Plan.short() if asked.quick else Plan.full()
    about, began = machine.describe(), time.monotonic()
    now = datetime.now(UTC)
    tables: list[Table] = []
    for name in asked.names or BENCHMARKS:
        for table in BENCHMARKS[name](plan):
            tables.append(table)
            print(f"\n{shown(table)}", flush=True)
    path = asked.json or _RESULTS / f"{now:%Y-%m-%d-%H%M}{'-quick' if asked.quick else ''}.json"
    result = {"date": f"{now:%Y-%m-%dT%H:%M:%SZ}", "quick": asked.quick, "machine": about, "tables": tables}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    missed = sum(not check.passed for table in tables for check in table.checks)
    print(f"\n{time.monotonic() - began:.0f} s; {missed} floors missed; {path}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
