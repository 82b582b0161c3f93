"""A history of any length in little memory: each generation is judged when it is over, and its rows are let go."""

import asyncio
from collections import Counter, defaultdict

from tests.history.anomalies import Anomaly
from tests.history.checker import check
from tests.history.rows import Append, Received, Row, Settled

# From the end of a log to the word of the ledger.
_SETTLES_S = 20.0


class Judged:
    """Takes rows of writers and of observers, and judges generation by generation.

    Attributes:
        findings: What was wrong, in words; empty is what is wanted.
        judged: Generations that were judged.
        appended: Events that were written in them.
        shown: Events that observers were shown in them.
        outcomes: How they ended.
    """

    def __init__(self) -> None:
        self.findings: list[str] = []
        self.judged = self.appended = self.shown = 0
        self.outcomes: Counter[str] = Counter()
        self._rows: defaultdict[str, list[Row]] = defaultdict(list)
        self._settled: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        # Ids alone: a row that comes for one of these came too late to be true.
        self._over: set[str] = set()

    def rows(self, generation: str) -> list[Row]:
        """Where the observers of a generation record."""
        return self._rows[generation]

    def wrote(self, row: Row) -> None:
        """Take a row of a writer or of the ledger."""
        if row.generation in self._over:
            self.say(f"after its end: {row}")
            return
        self._rows[row.generation].append(row)
        if isinstance(row, Settled):
            self.outcomes[row.outcome] += 1
            self._settled[row.generation].set()

    async def over(self, generation: str) -> None:
        """Judge a generation that nobody observes any more, once the ledger has it."""
        try:
            async with asyncio.timeout(_SETTLES_S):
                await self._settled[generation].wait()
        except TimeoutError:
            self.say(f"{generation} was not settled in {_SETTLES_S:g} s")
        rows = self._rows.pop(generation, [])
        self._settled.pop(generation)
        self._over.add(generation)
        for anomaly in check(rows):
            self.say(str(anomaly))
        self.judged += 1
        self.appended += sum(isinstance(row, Append) for row in rows)
        self.shown += sum(isinstance(row, Received) for row in rows)

    def say(self, finding: str | Anomaly) -> None:
        """Note that something is wrong."""
        self.findings.append(str(finding))

    def close(self) -> None:
        """Everything was to be judged by now."""
        if self._rows:
            self.say(f"{len(self._rows)} generations were never judged, such as {next(iter(self._rows))}")
