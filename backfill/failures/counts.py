"""Counting failures, and telling how far reading them has come."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from backfill.failures.reader import name_prefix
from backfill.terminal.console import say
from backfill.terminal.formatting import format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from backfill.failures.items import ItemEntry
    from backfill.failures.reader import Failure
    from dynaurora.failures.list_failures import Place

Found = TypeVar("Found")

AGES: Final = (
    (timedelta(hours=1), "less than an hour"),
    (timedelta(days=1), "an hour to a day"),
    (timedelta(days=7), "a day to a week"),
)
"""Up to which age a failure is in a group."""
OLDEST: Final = "more than a week"

NOTE_SECONDS: Final = 5.0
"""Between notes of how far it is."""
REASON: Final = "reason"
HOUR: Final = "hour"
AGE: Final = "age"
PREFIX: Final = "prefix"


def noting_progress(found: Iterable[Found], noun: str = "failure", done: str = "read") -> Iterator[Found]:
    """Yield what is found, and tell every few seconds how many there are so far."""
    noted_at = time.monotonic()
    for number, one in enumerate(found, 1):
        yield one
        if time.monotonic() - noted_at >= NOTE_SECONDS:
            noted_at = time.monotonic()
            say(f"{format_count(number, noun)} {done} so far", is_progress=True)


def make_label(by: str, place: Place) -> Callable[[Failure], str]:
    """Return what names the group of a failure."""
    return {
        REASON: lambda failure: failure.labels[0],
        AGE: lambda failure: name_age(failure.first_seen_at),
        HOUR: lambda failure: failure.first_seen_at.strftime("%Y-%m-%dT%H:00Z"),
        PREFIX: lambda failure: name_prefix(place, failure.key),
    }[by]


def name_age(first_seen_at: datetime) -> str:
    """Return how long ago something failed first, in words that sort by it."""
    age = datetime.now(UTC) - first_seen_at
    return next((name for longest, name in AGES if age < longest), OLDEST)


class Tally:
    """Failures of items counted by group; those that are superseded by themselves."""

    def __init__(self, by: str) -> None:
        self._by = by
        self.counts = Counter[str]()
        self.superseded = 0
        """Entries whose rows are newer."""
        self.older = 0
        """Earlier failures of the same items."""
        self.is_looked_up = True
        """Whether the rows could be asked."""
        self.oldest = ""
        self.newest = ""
        self.records = 0
        self.batches = 0
        self.parked = 0

    def add(self, entry: ItemEntry) -> None:
        """Take one more."""
        self.older += entry.older
        self.is_looked_up = self.is_looked_up and entry.superseded is not None
        if entry.superseded:
            self.superseded += 1
            return
        self.counts[entry.label] += 1
        self.records += entry.is_record
        self.batches += not entry.is_record
        self.parked += entry.is_parked
        self.oldest = min(self.oldest or entry.first_seen_at, entry.first_seen_at)
        self.newest = max(self.newest, entry.first_seen_at)

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The groups: hours and ages in their order, others by how many are in them."""
        by_name = sorted(self.counts.items())  # of those that are as many, too
        if self._by == AGE:
            names = [name for _, name in AGES] + [OLDEST]
            return sorted(by_name, key=lambda counted: names.index(counted[0]))
        return by_name if self._by == HOUR else sorted(by_name, key=lambda counted: -counted[1])
