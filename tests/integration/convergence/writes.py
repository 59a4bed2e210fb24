"""What is written in a history: a few keys within a few minutes, near the places where the version rule could break."""

import random
from collections.abc import Iterator
from typing import Final

from tests.integration.convergence.dynamodb import MAX_SKEW, SECOND, Write
from tests.integration.convergence.things import PARTITIONS, SORTS, Key, draw_thing

START: Final = 1_700_000_000
MAX_WRITES: Final = 14
MAX_STEP: Final = 20
"""Between two sequence numbers."""


def draw_writes(draw: random.Random, prefix: str, odd: float) -> Iterator[Write]:
    """Yield writes to a few keys, most of them within the second of the one before."""
    wanted = draw.choice((1, 1, 2, 3))
    own = [(prefix + partition, sort) for partition in PARTITIONS for sort in SORTS]
    chosen = draw.sample(own, wanted)
    skew = draw.choice((0, -MAX_SKEW, -MAX_SKEW, MAX_SKEW - 1, draw.randint(-MAX_SKEW, MAX_SKEW)))
    at = START * SECOND + draw.randrange(SECOND)
    sequence = draw_sequence(draw)
    key, there = chosen[0], set[Key]()
    for number in range(1, draw.randint(3, MAX_WRITES + 1)):
        key = key if draw.random() < 0.6 else draw.choice(chosen)
        deletes = key in there and draw.random() < 0.35
        thing = None if deletes else draw_thing(draw, number, odd)
        yield Write(number, at, at + skew, key, thing, key in there, sequence)
        (there.discard if deletes else there.add)(key)
        sequence += draw.randint(1, MAX_STEP)
        at += draw_pause(draw, at)


def draw_sequence(draw: random.Random) -> int:
    """Return a history's first sequence number, of 21 to 40 digits: soon after it they have one more, or none left."""
    digits = draw.choice((40, 39, 39, draw.randint(21, 39), draw.randint(21, 39)))
    headroom = MAX_WRITES * MAX_STEP if digits == 40 else 0
    return 10**digits - headroom - draw.randint(1, 60)


def draw_pause(draw: random.Random, at: int) -> int:
    """Return how long after a write the next one is."""
    second = SECOND * draw.choice((1, 1, 2, 59, 60, 61, 119, 120, 121, 300))
    to_next_second = SECOND - at % SECOND
    return draw.choice((1, 1, draw.randint(1, 300_000), to_next_second, to_next_second + 1, second))
