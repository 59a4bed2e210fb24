"""Traffic of a table: how many changes a second, for which share of the time. Cost is not linear in it.

A batch, a call and a pack are paid as such, however little is in them: a table that is written to for an hour each
night costs less than one that is written to all day at the mean of that. So each stretch is counted by its own rate.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

WRITE_UNIT_BYTES: Final = 1024
"""Of an item, that a write unit writes, rounded up (DynamoDB Developer Guide, "DynamoDB read and write operations")."""
DIGITS: Final = 3
"""Of a rate that tell it from another."""
MINUTE: Final = 60
HOUR: Final = 3600
LEAST_RATE: Final = 1 / (366 * 24 * HOUR)
"""Changes a second: of fewer than one in a year nothing is counted."""


@dataclass(frozen=True)
class Traffic:
    """Changes a second, each for a share of the time; nothing for what is left."""

    shares: Mapping[float, float] = field(default_factory=dict)
    """Of the time, from 0 to 1, by the rate."""
    busy_hours: float = 0.0
    """The share of hours in which there is any change."""

    @property
    def mean(self) -> float:
        """Changes a second, idle time included."""
        return sum(rate * share for rate, share in self.shares.items())

    @property
    def peak(self) -> float:
        """Changes a second of the busiest stretch."""
        return max(self.shares, default=0.0)

    @property
    def busy(self) -> float:
        """The share of the time in which there is any change."""
        return min(1.0, sum(self.shares.values()))


def steady(rate: float) -> Traffic:
    """Return the traffic of a table that is changed all the time at one rate; at less than LEAST_RATE, never."""
    return Traffic({rate: 1.0}, min(1.0, rate * HOUR)) if rate >= LEAST_RATE else Traffic()


def count_write_units(item_bytes: float) -> int:
    """Return the units that writing an item takes, outside of transactions."""
    return max(1, ceil(item_bytes / WRITE_UNIT_BYTES))


def make_traffic(written: Mapping[datetime, float], since: datetime, until: datetime, stretch_seconds: int) -> Traffic:
    """Return the traffic between two times, of the changes of each stretch that had any, by its begin.

    A stretch is as long as changes are collected for, at least: what is written within it makes the same batches,
    however it is spread. Of the first and the last one only what lies between the times counts.
    """
    shares = defaultdict[float, float](float)
    seconds = max(1.0, (until - since).total_seconds())
    busy = {begin: changes for begin, changes in written.items() if changes}
    for begin, changes in busy.items():
        end = min(until, begin + timedelta(seconds=stretch_seconds))
        covered = max(1.0, (end - max(begin, since)).total_seconds())
        shares[_round(changes / covered)] += covered / seconds
    hours = {int(begin.timestamp()) // HOUR for begin in busy}
    return Traffic(dict(shares), min(1.0, len(hours) * HOUR / max(seconds, HOUR)))


def choose_stretch(buffer_seconds: float, period: int = MINUTE) -> int:
    """Return how many seconds are looked at together: whole periods, and no fewer than changes are collected for."""
    return period * max(1, ceil(buffer_seconds / period))


def _round(rate: float) -> float:
    return float(f"{rate:.{DIGITS}g}")
