"""What must hold in every history, whatever was cut, paused, stopped or raced: named anomalies, or none.

The invariants are those of a log with many readers (after Jepsen's Kafka checker): agreement, contiguity, no duplicate
and no reorder, prefix, no lost acknowledged write, no aborted read, one end and last, settled once. Unique values make
identity a matter of equality, and no clock is compared: only the order of each observer's own rows counts.

A log that another process has taken over goes on under a greater epoch. Whoever has everything up to where that one
begins reads on as if nothing had happened; whoever has more has something that is no longer so, and must be told to
forget it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .anomalies import Anomaly, Name
from .branches import Branch
from .rows import Append, Close, Open, Received, Reset, Row, Settled, Stop


@dataclass(slots=True)
class _Place:
    """Where one observer is in one generation.

    Attributes:
        any_next: The next number is not known: the beginning of the log is no longer kept.
        told_all: Its last connection ended as one that has nothing more to say.
    """

    epoch: str | None = None
    seq: int = 0
    conn: int = 0
    any_next: bool = False
    joined: bool = False
    ended: bool = False
    open: bool = False
    told_all: bool = False

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}" if self.epoch is not None else "nothing"


def check(rows: Iterable[Row], *, over: bool = True, ledger: bool = True) -> list[Anomaly]:
    """Find everything that is wrong with a history.

    Args:
        over: Every generation has had the time to end, and every observer that stayed the time to see it.
        ledger: The history holds the ledger's rows.
    """
    return _Checker(list(rows)).run(over=over, ledger=ledger)


class _Checker:
    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows
        self._found: list[Anomaly] = []
        self._branches: dict[tuple[str, str], Branch] = {}
        self._places: dict[tuple[str, str], _Place] = defaultdict(_Place)
        # The branch that counts: the one with the greatest epoch.
        self._newest: dict[str, str] = {}

    def run(self, *, over: bool, ledger: bool) -> list[Anomaly]:
        for row in self._rows:
            if isinstance(row, Append | Received):
                self._branches.setdefault((row.generation, row.epoch), Branch()).add(row)
                self._newest[row.generation] = max(self._newest.get(row.generation, ""), row.epoch, key=_age)
        for row in self._rows:
            self._follow(row)
        recorded = {generation for (generation, _), branch in self._branches.items() if branch.written}
        for (generation, epoch), branch in self._branches.items():
            for name, detail in branch.findings(recorded=generation in recorded):
                self._say(name, generation, f"{epoch}: {detail}")
        self._check_one_end()
        if over:
            self._check_ends()
        if ledger:
            self._check_ledger()
        return self._found

    def _say(self, name: Name, generation: str, detail: str) -> None:
        self._found.append(Anomaly(name, generation, detail))

    # What one observer saw, in its own order.

    def _follow(self, row: Row) -> None:
        match row:
            case Open():
                self._open(row, self._places[row.observer, row.generation])
            case Received():
                self._received(row, self._places[row.observer, row.generation])
            case Reset():
                place = self._places[row.observer, row.generation]
                place.epoch, place.seq, place.ended, place.any_next = None, 0, False, row.reason == "trimmed"
            case Close():
                place = self._places[row.observer, row.generation]
                place.open, place.told_all = False, row.reason == "ended"

    def _open(self, row: Open, place: _Place) -> None:
        if row.cursor is not None and not place.joined:
            place.epoch, place.seq = row.cursor
        elif row.cursor != (None if place.epoch is None else (place.epoch, place.seq)):
            self._say("wrong-cursor", row.generation, f"{row} holds {place}")
        place.joined, place.open, place.told_all = True, True, False

    def _received(self, row: Received, place: _Place) -> None:
        name = self._misplaced(row, place)
        if name is not None:
            self._say(name, row.generation, f"{row} after {place}")
        if place.ended:
            self._say("event-after-terminal", row.generation, f"{row} after {place}")
        branch = self._branches[row.generation, row.epoch]
        if row.epoch == place.epoch or not place.any_next:
            branch.passed.update(range(place.seq + 1 if row.epoch == place.epoch else 1, row.seq))
        if not branch.allows(row.seq, row.value):
            self._say("not-a-prefix", row.generation, f"{row} is not what the log has there")
        place.epoch, place.seq, place.conn, place.ended, place.any_next = (
            row.epoch,
            row.seq,
            row.conn,
            row.terminal,
            False,
        )

    def _misplaced(self, row: Received, place: _Place) -> Name | None:
        if place.epoch is None:
            return None if row.seq == 1 or place.any_next else "poll-skip"
        if row.epoch != place.epoch and not self._goes_on(row, place.epoch, place.seq):
            # Of a branch that what it has is no part of, and without a reset.
            return "not-a-prefix"
        if row.seq == place.seq:
            return "duplicate"
        if row.seq < place.seq:
            return "nonmonotonic"
        if row.seq == place.seq + 1:
            return None
        return "int-poll-skip" if place.conn == row.conn else "poll-skip"

    def _goes_on(self, row: Received, epoch: str, seq: int) -> bool:
        """Whether the row's branch is one that begins behind this place of another."""
        return _age(row.epoch) > _age(epoch) and self._branches[row.generation, row.epoch].begins > seq

    def _check_one_end(self) -> None:
        """A log ends once over all its branches, those that were lost too: who was shown the end has acted on it."""
        ended: defaultdict[str, list[str]] = defaultdict(list)
        for (generation, epoch), branch in self._branches.items():
            if branch.ends:
                ended[generation].append(epoch)
        for generation, epochs in ended.items():
            if len(epochs) > 1 or epochs[0] != self._newest[generation]:
                self._say("second-terminal", generation, f"{epochs} have ended, and {self._newest[generation]} goes on")

    # What there must be when everything is over.

    def _check_ends(self) -> None:
        stopped = {row.generation for row in self._rows if isinstance(row, Stop)}
        for generation in {*self._newest, *stopped}:
            if not self._ends(generation):
                self._say("no-terminal", generation, "it has not ended" + " and was stopped" * (generation in stopped))
        for (observer, generation), place in self._places.items():
            # One who joined with the place of the end is rightly told that there is nothing more.
            newest = place.epoch == self._newest.get(generation)
            ended = place.ended or (newest and place.seq in self._ends(generation))
            if (place.open or place.told_all) and not ended:
                self._say("missing-terminal", generation, f"{observer} has {place}")

    def _check_ledger(self) -> None:
        settled = Counter(row.generation for row in self._rows if isinstance(row, Settled))
        for generation in self._newest:
            if settled[generation] > 1:
                self._say("double-settle", generation, f"{settled[generation]} records")
            if self._ends(generation) and not settled[generation]:
                self._say("unsettled", generation, "it has ended and the ledger does not know")
        for row in self._rows:
            if isinstance(row, Settled) and not self._matches(row):
                self._say("settled-wrong", row.generation, f"{row}; the log says otherwise")

    def _matches(self, row: Settled) -> bool:
        ends, branch = self._ends(row.generation), self._branch(row.generation)
        outcome = f'"outcome": "{row.outcome}"'
        return row.events in ends and any(outcome in value for value in branch.final.get(row.events, ()))

    def _branch(self, generation: str) -> Branch:
        return self._branches.get((generation, self._newest.get(generation, "")), Branch())

    def _ends(self, generation: str) -> set[int]:
        return self._branch(generation).ends


def _age(epoch: str) -> tuple[int, str]:
    """Epochs grow, and in base 36 the longer one is the greater."""
    return len(epoch), epoch
