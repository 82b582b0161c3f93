"""What the bus counts of itself: plain numbers, which cost next to nothing, and are read when somebody asks."""

from bisect import bisect_left

# Up to what a round trip may take: from Redis on this machine to the end of every call.
BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Counts:
    """See the module.

    Attributes:
        flushed_s: Seconds that all flushes took which were answered.
        flushes: How many of them took up to each of `BOUNDS_S` and longer than the one before; and longer than all.
        events: Those that Redis acknowledged.
        gaps: Times that a log was not where its writer took it to be.
        lost: Times that Redis had lost what a log is.
        taken_over: Logs whose writer was gone.
        repairs: Times that a log was found behind by a comparison, and not by a message.
        rebuilt: Times that the connection to listen by ended, and was made anew.
    """

    __slots__ = ("events", "flushed_s", "flushes", "gaps", "lost", "rebuilt", "repairs", "taken_over")

    def __init__(self) -> None:
        self.flushed_s = 0.0
        self.flushes = [0] * (len(BOUNDS_S) + 1)
        self.events = self.gaps = self.lost = self.taken_over = self.repairs = self.rebuilt = 0

    def flushed(self, seconds: float) -> None:
        """A round trip with appends was answered."""
        self.flushed_s += seconds
        self.flushes[bisect_left(BOUNDS_S, seconds)] += 1
