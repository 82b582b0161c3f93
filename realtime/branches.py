"""Which epoch wrote which events of a log: one, unless another process had to take the log over.

What a writer had written and nobody kept is lost with it, and whoever follows writes other events under the same
numbers. So events keep the epoch that wrote them, and a cursor into the lost part fits none.
"""


class Branches:
    """The epochs of one log, each from a number on.

    Args:
        epoch: The first, already encoded.

    Attributes:
        epoch: The newest.
        since: Every event after this number is of the newest.
    """

    __slots__ = ("_earlier", "epoch", "since")

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.since = 0
        self._earlier: tuple[tuple[int, str], ...] = ()

    def begin(self, epoch: str, after: int) -> None:
        """What comes after that number is of another epoch."""
        self._earlier = (*self._earlier, (self.since, self.epoch))
        self.epoch, self.since = epoch, after

    def at(self, seq: int) -> str:
        """The epoch of the event of that number; of the place before all, the first."""
        if seq > self.since or not self._earlier:
            return self.epoch
        return next((epoch for since, epoch in reversed(self._earlier) if seq > since), self._earlier[0][1])

    def __contains__(self, epoch: str) -> bool:
        return epoch == self.epoch or any(epoch == earlier for _, earlier in self._earlier)
