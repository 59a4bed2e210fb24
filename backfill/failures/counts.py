"""Counting failures, and telling how far reading them has come."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeVar

from backfill.failures.reader import RECORD, name_prefix
from backfill.terminal.console import say
from backfill.terminal.formatting import format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from backfill.failures.reader import Failure
    from dynaurora.failures.list_failures import Place

Found = TypeVar("Found")

NOTE_SECONDS: Final = 5.0
"""Between notes of how far it is."""
REASON: Final = "reason"
HOUR: Final = "hour"
PREFIX: Final = "prefix"


def noting_progress(found: Iterable[Found], noun: str = "failure") -> Iterator[Found]:
    """Yield what is found, and tell every few seconds how many there are so far."""
    noted_at = time.monotonic()
    for number, one in enumerate(found, 1):
        yield one
        if time.monotonic() - noted_at >= NOTE_SECONDS:
            noted_at = time.monotonic()
            say(f"{format_count(number, noun)} read so far")


def make_label(by: str, place: Place) -> Callable[[Failure], str]:
    """Return what names the group of a failure."""
    return {
        REASON: lambda failure: failure.labels[0],
        HOUR: lambda failure: failure.first_seen_at.strftime("%Y-%m-%dT%H:00Z"),
        PREFIX: lambda failure: name_prefix(place, failure.key),
    }[by]


class Tally:
    """Failures counted by group."""

    def __init__(self, by: str, place: Place) -> None:
        self._by = by
        self._label = make_label(by, place)
        self.counts = Counter[str]()
        self.records = 0
        self.batches = 0
        self.parked = 0

    def add(self, failure: Failure) -> None:
        """Take one more."""
        self.counts[self._label(failure)] += 1
        self.records += failure.kind == RECORD
        self.batches += failure.kind != RECORD
        self.parked += failure.is_parked

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The groups: hours in their order, others by how many are in them."""
        by_name = sorted(self.counts.items())  # of those that are as many, too
        return by_name if self._by == HOUR else sorted(by_name, key=lambda counted: -counted[1])
