"""How fast a run goes, and how long it still takes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Final

WINDOW_SECONDS: Final = 60.0
SHORTEST_SECONDS: Final = 1.0
"""Over less, a rate is chance."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Batches of a run by what became of them; `planned` is None until they are planned."""

    planned: int | None
    imported: int = 0
    failed: int = 0
    running: int = 0
    stopped: int = 0
    """Those that were under way when the run was stopped, or gave up."""

    @property
    def ended(self) -> int:
        """Those that nothing more is done about."""
        return self.imported + self.failed


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a run, by the ledger."""

    imported: int
    already_newer: int
    """Aurora had a newer change of these keys."""
    rejected: int

    @property
    def all(self) -> int:
        """All that were handled."""
        return self.imported + self.already_newer + self.rejected


class RateMeter:
    """Tells the rate of a count from how it has grown in the last minute."""

    def __init__(self) -> None:
        self._samples = deque[tuple[datetime, int]]()

    def add(self, at: datetime, count: int) -> None:
        """Take a count, not older than the last one."""
        self._samples.append((at, count))
        while len(self._samples) > 2 and (at - self._samples[1][0]).total_seconds() >= WINDOW_SECONDS:
            self._samples.popleft()

    @property
    def per_second(self) -> float | None:
        """The rate; None until it has been watched for a while."""
        if len(self._samples) < 2:
            return None
        (first_at, first), (last_at, last) = self._samples[0], self._samples[-1]
        return compute_rate(last - first, (last_at - first_at).total_seconds())


def compute_rate(count: int, seconds: float) -> float | None:
    """Return a count per second; None where the time is too short to say."""
    return count / seconds if seconds >= SHORTEST_SECONDS else None


def estimate_seconds_left(batches: Batches, importing_since: datetime | None, now: datetime) -> float | None:
    """Return how long the batches that have not ended will take, if they take as long as those that have.

    None until one has ended.
    """
    if importing_since is None or batches.planned is None or batches.ended == 0:
        return None
    seconds = (now - importing_since).total_seconds()
    return seconds / batches.ended * max(0, batches.planned - batches.ended)
