"""What is known of one branch of a log from all rows together, and what of it contradicts itself."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from .anomalies import Name
from .rows import Append, Received

Values = dict[int, set[str]]


@dataclass(slots=True)
class Branch:
    """Values by place: what writers were told, and what observers were shown."""

    written: Values = field(default_factory=dict)
    unsure: Values = field(default_factory=dict)
    refused: Values = field(default_factory=dict)
    shown: Values = field(default_factory=dict)
    ends: set[int] = field(default_factory=set)
    # Places that some observer went past without being shown what is there.
    passed: set[int] = field(default_factory=set)

    def add(self, row: Append | Received) -> None:
        """Take one row of this branch."""
        if isinstance(row, Received):
            kept = self.shown
        else:
            kept = {"ok": self.written, "info": self.unsure, "fail": self.refused}[row.result]
        kept.setdefault(row.seq, set()).add(row.value)
        if row.terminal and (isinstance(row, Received) or row.result == "ok"):
            self.ends.add(row.seq)

    @property
    def final(self) -> Values:
        """The log of record: what was written, or, where no writer kept rows, what was shown."""
        return self.written or self.shown

    @property
    def begins(self) -> int:
        """Its first place: what comes before that is of an earlier branch."""
        return min((*self.written, *self.shown), default=1)

    def allows(self, seq: int, value: str) -> bool:
        """Whether the log of record may hold this value at this place."""
        known = self.final.get(seq)
        return known is None or value in known | self.unsure.get(seq, set())

    def findings(self, *, recorded: bool) -> Iterator[tuple[Name, str]]:
        """What is wrong with it, whoever saw it.

        Args:
            recorded: Somebody has kept what was written of its log; what is shown then was written, in any branch.
        """
        yield from self._agreement()
        if recorded:
            yield from self._reads()
        yield from self._end()

    def _agreement(self) -> Iterator[tuple[Name, str]]:
        for seq in sorted({*self.shown, *self.written}):
            values = self.shown.get(seq, set()) | self.written.get(seq, set())
            if len(values) > 1:
                yield "inconsistent-offset", f"{seq}: {sorted(values)}"

    def _reads(self) -> Iterator[tuple[Name, str]]:
        for seq in sorted(self.passed & set(self.written)):
            # What nobody went past may be on its way, or nobody asked for it.
            if seq not in self.shown:
                yield "lost-write", f"{seq}: {sorted(self.written[seq])}"
        for seq, values in self.shown.items():
            for value in values - self.written.get(seq, set()) - self.unsure.get(seq, set()):
                aborted = value in self.refused.get(seq, set())
                yield "aborted-read" if aborted else "phantom-read", f"{seq}: {value}"

    def _end(self) -> Iterator[tuple[Name, str]]:
        if len(self.ends) > 1 or any(len(self.final.get(end, set())) > 1 for end in self.ends):
            yield "second-terminal", f"{sorted(self.ends)}"
        behind = [seq for seq in {*self.shown, *self.written} if self.ends and seq > min(self.ends)]
        if behind:
            yield "event-after-terminal", f"{sorted(behind)} behind {min(self.ends)}"
