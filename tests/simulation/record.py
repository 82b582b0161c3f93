"""What a run has shown: what Redis ever had, what every reader was given, who ended what, who was promised a stop."""

from collections import defaultdict
from dataclasses import dataclass, field

import msgspec

from realtime.events import AnyEvent, Finished
from tests.history.rows import Row, canonical

# One who reads in calm weather has what Redis has within this time.
_PROMPT_S = 0.7


def value_of(event: AnyEvent) -> str:
    """An event as a value; an end in the form in which the history checker looks for its outcome."""
    plain = msgspec.json.encode(event)
    return canonical(msgspec.json.decode(plain)) if isinstance(event, Finished) else plain.decode()


@dataclass(frozen=True, slots=True)
class Seal:
    """A writer was told what became of its end."""

    generation: str
    worker: str
    result: str
    outcome: str
    events: int


@dataclass(slots=True)
class Record:
    """See the module.

    Attributes:
        had: By generation, epoch and number, every value that Redis ever had there.
        had_at: When it first had something there.
        rows: What each reader was given, in its own order.
        created: Generations whose start was answered.
        stopped: When the first stop of each was answered.
        wrongs: What should not have been possible, as it was seen.
    """

    had: dict[tuple[str, str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    had_at: dict[tuple[str, str, int], float] = field(default_factory=dict)
    ended_at: dict[str, float] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    created: set[str] = field(default_factory=set)
    stopped: dict[str, float] = field(default_factory=dict)
    seals: list[Seal] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)

    def keep(self, now: float, generation: str, epoch: str, seq: int, value: str) -> None:
        """Redis has an event."""
        place = generation, epoch, seq
        self.had[place].add(value)
        self.had_at.setdefault(place, now)
        if '"type": "finished"' in value:
            self.ended_at.setdefault(generation, now)

    def show(self, now: float, since: float | None, generation: str, epoch: str, seq: int, value: str) -> None:
        """A reader was given an event.

        Args:
            since: When it came; None in weather that may keep anything from it.
        """
        place = generation, epoch, seq
        if value not in self.had.get(place, ()):
            self.wrongs.append(f"{generation[:4]} {epoch}-{seq} was shown before Redis had it")
        elif since is not None and now - max(since, self.had_at[place]) > _PROMPT_S:
            late = now - max(since, self.had_at[place])
            self.wrongs.append(f"{generation[:4]} {epoch}-{seq} was shown {late:.1f} s late")
