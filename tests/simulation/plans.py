"""What a seed stands for: who writes what, how good the links are, and what goes wrong when."""

import random
from dataclasses import dataclass
from typing import Literal

from .drivers import Work
from .network import Weather
from .server import Loss

Kind = Literal["crash", "pause", "cut", "deaf", "freeze", "restart", "jump"]
# Twice what makes two writers of one log.
_KINDS: tuple[Kind, ...] = ("crash", "pause", "pause", "cut", "cut", "deaf", "freeze", "restart", "restart", "jump")
# Of those that can keep a process from its lease, or it from Redis.
PARTING: frozenset[Kind] = frozenset({"crash", "pause", "cut"})
_CALM = 0.15
# Late enough that there is a moment between any two steps.
_CALM_WEATHER = Weather(fast_s=0.05, slow_s=0.15)
_ENDLESS = 1_000_000


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        worker: Number of the process it happens to.
        lasts_s: Until it is over; of a crash, until another process takes its place.
    """

    kind: Kind
    at: float
    lasts_s: float
    worker: int
    loss: Loss = "nothing"


@dataclass(frozen=True, slots=True)
class Plan:
    """See the module.

    Attributes:
        calm: Nothing goes wrong but that a clock jumps, and nothing is late.
        heals_at: From when on nothing goes wrong any more, but that messages are lost.
        slow_end_s: What whoever has taken something over takes at the most to end it.
        stops: When somebody asks for the end of which generation.
    """

    seed: int
    calm: bool
    workers: int
    weather: Weather
    works: tuple[Work, ...]
    readers: tuple[int, ...]
    faults: tuple[Fault, ...]
    stops: tuple[tuple[float, str], ...]
    heals_at: float
    slow_end_s: float

    @property
    def kinds(self) -> set[Kind]:
        """What goes wrong in it."""
        return {fault.kind for fault in self.faults}

    @property
    def lossy(self) -> bool:
        """Redis forgets something it has answered for."""
        return any(fault.loss != "nothing" for fault in self.faults)

    @property
    def smooth(self) -> bool:
        """What is sent arrives, if it is no message, and soon."""
        weather = self.weather
        return not weather.lost_requests and not weather.lost_answers and weather.slow_s <= 0.5

    @property
    def parts_nobody(self) -> bool:
        """No process is kept from Redis for as long as a lease holds, or where a clock makes it longer, a renewal."""
        slow = self.weather.slow_s > _CALM_WEATHER.slow_s and "jump" in self.kinds
        return not (self.kinds & PARTING or self.lossy or slow) and self.weather.lost_answers < 0.1


def drawn(seed: int) -> Plan:
    """The plan of a seed."""
    rng = random.Random(seed)
    calm = rng.random() < _CALM
    works = tuple(_work(rng, number) for number in range(rng.randint(1, 4)))
    workers = rng.choice([2, 3, 3])
    faults = tuple(_jumps(rng) if calm else _faults(rng, workers))
    stops = tuple((rng.uniform(0.5, 18), work.generation) for work in works if rng.random() < 0.6)
    slow_end_s = rng.choice([0.0, 4.0, 4.0])
    return Plan(
        seed=seed,
        calm=calm,
        workers=workers,
        weather=_CALM_WEATHER if calm else _weather(rng),
        works=works,
        readers=tuple(rng.randint(1, 3) for _ in works),
        faults=faults,
        stops=stops,
        slow_end_s=slow_end_s,
        heals_at=max(12.0, *(fault.at + fault.lasts_s for fault in faults), 0.0),
    )


def _work(rng: random.Random, number: int) -> Work:
    every_s = rng.choice([0.02, 0.2, 1.0, 2.5])
    tokens = _ENDLESS if rng.random() < 0.5 else max(1, int(rng.uniform(0, 25) / every_s))
    return Work(f"{number:02x}{rng.getrandbits(120):030x}", rng.uniform(0, 6), every_s, tokens, rng.choice([1, 1, 3]))


def _weather(rng: random.Random) -> Weather:
    return Weather(
        fast_s=rng.choice([0.001, 0.01, 0.05]),
        slow_s=rng.choice([0.05, 0.5, 1.5]),
        slow=rng.choice([0.02, 0.1]),
        lost_requests=rng.choice([0, 0, 0.02, 0.1]),
        lost_answers=rng.choice([0, 0, 0.02, 0.1]),
        lost_messages=rng.choice([0, 0, 0.1, 0.4]),
    )


def _jumps(rng: random.Random) -> list[Fault]:
    """What is to be noticed by nobody."""
    return [Fault("jump", rng.uniform(2, 12), 10, 0)] if rng.random() < 0.5 else []


def _faults(rng: random.Random, workers: int) -> list[Fault]:
    found = []
    for kind in rng.sample(_KINDS, rng.choice([0, 1, 2, 2, 3])):
        for _ in range(rng.randint(1, 2)):
            at, worker = rng.uniform(0.5, 18), rng.randrange(workers)
            # Such that a process is missed, and comes back when it is being replaced.
            lasts_s = rng.choice([rng.uniform(0.2, 4), rng.uniform(8, 15), rng.uniform(9, 13)])
            loss: Loss = "nothing"
            if kind == "restart":
                lasts_s = rng.uniform(0.05, 3)
                loss = rng.choice(["nothing", "a second", "a second", "a second", "everything"])
            found.append(Fault(kind, at, lasts_s, worker, loss))
            if loss == "a second" and rng.random() < 0.7:
                # What nobody is left to write again.
                gone: Kind = rng.choice(["crash", "pause"])
                found += [
                    Fault(gone, at + rng.uniform(-0.5, 0.1), 12, one)
                    for one in rng.sample(range(workers), rng.randint(1, workers - 1))
                ]
    return found
