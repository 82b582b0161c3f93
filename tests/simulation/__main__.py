"""Runs one seed, or all from one to before another: `python -m tests.simulation 17`, `… 0 10000`."""

import sys

from .plans import drawn
from .run import faults_of, said


def main() -> int:
    """Print what is wrong, seed by seed; 1 when anything is."""
    first, *last = (int(word) for word in sys.argv[1:])
    seeds = range(first, last[0] if last else first + 1)
    failed = 0
    for seed in seeds:
        if not last:
            print(drawn(seed))
        found = faults_of(seed)
        if found:
            failed += 1
            print(said(seed, found), flush=True)
    print(f"{failed} of {len(seeds)} seeds failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
