"""Purging replicas: what the horizon leaves behind is deleted, in small steps, as long as there is time.

    raise the floor                      nothing older is imported from then on
    delete rows of the ledger            the oldest first, by their index
    delete what verifications have left
    look through each target             a stretch of its primary key at a time; delete the tombstones of before the
                                         floor, by their keys

Each step is a transaction of some hundred rows. How far it went is noted with what it deleted: whoever dies leaves a
purge that the next one goes on with. Imports beside it wait for a step's rows at most.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora.purging import Purges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.purging.horizon import Horizon

COUNTED_IMPORTS: Final = 1_000_000
"""Rows of the ledger that are counted before a purge: with more, it is so many at least."""


@dataclass(frozen=True, slots=True)
class Purged:
    """How far a purge is."""

    done: bool
    tombstones: int
    imports: int
    """Rows of the ledger."""
    verifications: int
    """Rows of verifications: themselves, differences, and keys that they had seen."""


class Purger:
    """Purges the replicas of one mapping, over one connection."""

    def __init__(self, aurora: Aurora, mapping: Mapping, clock: Callable[[], float] = time.monotonic) -> None:
        self._mapping = mapping
        self._clock = clock
        self._purges = Purges(aurora, mapping)

    def begin(self, horizon: Horizon) -> int:
        """Raise the floor and begin, or go on with what was begun; return the floor.

        Raises LockWaitError where a merge takes too long, and TargetMismatchError where an older release prepared the
        target.
        """
        floor = self._purges.raise_floor(horizon.floor)
        self._purges.begin(horizon.imports_before.replace(tzinfo=None))
        return floor

    def purge(self, seconds: float) -> Purged:
        """Purge for so many seconds, and return how far that came. Where nothing is begun, nothing is purged."""
        until, purge = self._clock() + seconds, self._purges.read()
        done = purge is None or purge.ended_at is not None
        if not done:
            steps = self._steps()
            while not done and self._clock() < until:
                done = next(steps, None) is None
        if done and purge and purge.ended_at is None:
            self._purges.end()
        return self.look()

    def look(self) -> Purged:
        """Return how far the last purge is."""
        found = self._purges.read()
        if found is None:
            return Purged(True, 0, 0, 0)
        return Purged(found.ended_at is not None, found.tombstones, found.imports, found.verifications)

    def count_tombstones(self, floor: int, seconds: float, table: str, after: list[str] | None) -> dict[str, Any]:
        """Return how many tombstones there are of before a second, in as much of a target as there is time for.

        `rows`, and in `after` the key, as fields, where to go on; None where that was all.
        """
        target, until, rows = self._mapping.find_target(table), self._clock() + seconds, 0
        position = tuple(after) if after else None
        while True:
            found, position = self._purges.count_tombstones(target or self._mapping, position, floor)
            rows += found
            if position is None or self._clock() >= until:
                return {"rows": rows, "after": position}

    def count_imports(self, horizon: Horizon) -> int:
        """Return how many rows of the ledger may go, up to COUNTED_IMPORTS."""
        return self._purges.count_imports(horizon.imports_before.replace(tzinfo=None), COUNTED_IMPORTS)

    def _steps(self) -> Iterator[int]:
        """Purge step by step, from where the last one was."""
        purge, floor, purges = self._purges.read(), self._purges.read_floor(), self._purges
        if purge is None:
            return
        while deleted := purges.delete_imports(purge.imports_before):
            yield deleted
        while deleted := purges.delete_verifications(purge.imports_before):
            yield deleted
        targets, position = [*self._mapping.targets], purge.position
        tables = [target.table for target in targets]
        for target in targets[tables.index(purge.target) if purge.target in tables else 0 :]:
            while True:
                position = purges.delete_tombstones(target, position, floor)
                if position is None:
                    break
                yield 0
