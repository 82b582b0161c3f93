"""The names of what should not be possible, each with the invariant it breaks."""

from dataclasses import dataclass
from typing import Literal

Name = Literal[
    "inconsistent-offset",  # I1: two values at one place of one branch.
    "int-poll-skip",  # I2: a gap within a connection.
    "poll-skip",  # I2: a gap over a reconnect, or before the first event.
    "duplicate",  # I3: the same place twice.
    "nonmonotonic",  # I3: a place before one it already has.
    "not-a-prefix",  # I4: what an observer holds is not how the log begins.
    "lost-write",  # I5: acknowledged, gone past by an observer, and shown to nobody.
    "aborted-read",  # I6: shown although its append was refused.
    "phantom-read",  # I6: shown although nobody ever wrote it.
    "second-terminal",  # I7: two ends in one branch.
    "event-after-terminal",  # I7: something behind the end.
    "missing-terminal",  # I7: an observer stayed, or was told that there is no more, and has no end.
    "no-terminal",  # I7: the generation never ended.
    "double-settle",  # I9: two records in the ledger.
    "unsettled",  # I9: none.
    "settled-wrong",  # I9: a record that does not match the end.
    "wrong-cursor",  # The observer itself is wrong: it did not ask to go on from where it was.
]


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One thing that should not have been possible."""

    name: Name
    generation: str
    detail: str
