"""Chance that can be had again."""

import random


def chance() -> random.Random:
    """A source of it for one test.

    A failure shows the seed. What seeds the seed is the `--randomly-seed` that pytest prints first; given back to it,
    the test draws the same again.
    """
    seed = random.getrandbits(32)
    print(f"seed {seed}")
    return random.Random(seed)
