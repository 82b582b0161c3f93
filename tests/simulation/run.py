"""Runs seeds, and says what is wrong with one and how to have it again."""

from collections.abc import Iterable, Mapping

from .judge import wrongs
from .plans import drawn
from .scene import playing

COMMAND = "python -m tests.simulation"


def faults_of(seed: int, edits: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong with the run of a seed.

    Args:
        edits: Scripts that run as something else, by their text.
    """
    with playing(drawn(seed), edits or {}) as scene:
        scene.run()
        return wrongs(scene)


def first_wrong(seeds: Iterable[int], edits: Mapping[str, str] | None = None) -> tuple[int, list[str]] | None:
    """The first of the seeds with which something is wrong, and what; None when there is none."""
    for seed in seeds:
        found = faults_of(seed, edits)
        if found:
            return seed, found
    return None


def said(seed: int, found: list[str]) -> str:
    """A failure in words."""
    return "\n  ".join([f"seed {seed} ({COMMAND} {seed}):", *found[:20]])
