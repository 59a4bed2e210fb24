"""Gaps: writes that no record of the stream ever tells of, and what brings them back."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from backfill import gaps
from backfill.gaps import Window
from tests.integration.convergence.dynamodb import Write

MARGIN: Final = 120
"""Seconds that a gap's filling reaches beyond the gap: the rule as documented, and not the constant under test."""
MIN_WINDOW: Final = 900
"""Seconds of the shortest incremental export."""
LENGTHS: Final = ((1, 250), (1, 300), (1, 400), (MIN_WINDOW, 86_400))
"""Of windows, in seconds, least and most: mostly so short that histories of some minutes have several."""


class Filling(Enum):
    """What brings a gap's writes back."""

    EXPORT = auto()
    """A full export: of what was written before the stream was switched on, so nothing was imported before it."""
    SWEEP = auto()
    """A full export and a sweep."""
    KEYS = auto()
    """An incremental export and a reading of keys."""


@dataclass(frozen=True)
class Gap:
    """Writes that the stream does not tell of, from one to another."""

    first: Write
    last: Write
    filling: Filling
    windows: tuple[Window, ...] = ()
    """Of the incremental exports that fill it."""

    def hides(self, write: Write) -> bool:
        return self.first.number <= write.number <= self.last.number

    def draw_view(self, draw: random.Random) -> int:
        """Return a second from which on a view of the table has all that was lost."""
        return earliest_view(self.last) + draw.choice((0, 0, 1, 60, 300))


def earliest_view(last: Write) -> int:
    """Return the first second at which a view of the table is after a lost write."""
    return last.stamped_second + MARGIN + 1


def draw_first(draw: random.Random, writes: Sequence[Write]) -> int:
    """Return where a gap begins: most often between two writes of the same second."""
    within = [
        number
        for number, write in enumerate(writes)
        if number and write.stamped_second == writes[number - 1].stamped_second
    ]
    return draw.choice(within) if within and draw.random() < 0.7 else draw.randrange(len(writes))


def draw_gap(draw: random.Random, writes: Sequence[Write]) -> Gap | None:
    """Return a gap in a stream, or None for a stream that loses nothing."""
    filling = draw.choice((None, None, None, None, *Filling, *Filling, Filling.KEYS))
    if not filling:
        return None
    first = 0 if filling is Filling.EXPORT else draw_first(draw, writes)
    to_the_end = [len(writes)] * (4 if filling is Filling.EXPORT else 1)
    last = min(first + draw.choice((0, 0, 1, 2, 5, *to_the_end)), len(writes) - 1)
    gap = Gap(writes[first], writes[last], filling)
    if filling is not Filling.KEYS:
        return gap
    told = (
        gap.first.stamped_second - draw.choice((0, 0, 1, 60, 300)),
        gap.last.stamped_second + draw.choice((0, 0, 1, 60, 300)),
    )
    return Gap(gap.first, gap.last, filling, tuple(gaps.plan_windows(*told, draw.choice(LENGTHS))))
