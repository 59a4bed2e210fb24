"""Attempts: work that may end its process, counted before it begins, and isolated once it has.

A function that is out of time or memory, or is killed, says nothing any more. So each attempt is written down before it
begins, and again when it ends, well or with an error. Where it did not end, the next attempt works carefully: by a
sandbox, and noting what it has in hand, some records at a time. If that attempt dies too, what it had in hand is taken
in tenths, and so on, until one record is in hand alone. That one is not touched again: it is refused, the rest goes on.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aws.objects import read_or_none
from dynaurora.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dynaurora.aws.objects import ObjectStore

PARTS: Final = 10
"""Into so many what was in hand is taken apart: a thousand records are one after three deaths."""
ENDED: Final = b"{}"
"""The note of an attempt that is over."""
DEADLY: Final = Reason("killed", "", "ended the function that mapped it, alone as well as among others")


@dataclass
class Attempts:
    """The attempts at one piece of work, whose records are numbered from 0."""

    keep: Callable[[bytes], Any] | None = None
    """Keeps a note in place of the one before; None where nobody will look."""
    deaths: int = 0
    """Earlier attempts that ended without a word."""
    suspects: range = range(0)
    """What the last of them had in hand."""
    condemned: set[int] = field(default_factory=set)
    """Records at which attempts died that had nothing else in hand."""

    @property
    def is_careful(self) -> bool:
        """Whether an earlier attempt died."""
        return self.deaths > 0

    def divide(self, records: range, size: int) -> Iterator[tuple[range, bool]]:
        """Yield what to take in hand at a time, and whether that is a record that is not to be touched.

        All of it at once where no attempt died; else at most so many, each noted before it is yielded.
        """
        while records:
            hand, is_condemned = self._choose(records, size)
            if self.is_careful and not is_condemned:
                self.note(hand)
            yield hand, is_condemned
            records = range(hand.stop, records.stop)

    def _choose(self, records: range, size: int) -> tuple[range, bool]:
        """Return what to take in hand first of some records, and whether it is condemned."""
        first = records.start
        if not self.is_careful:
            return records, False
        if first in self.condemned:
            return range(first, first + 1), True
        stops = [records.stop, first + size, *(number for number in self.condemned if number > first)]
        if first < self.suspects.start:
            stops.append(self.suspects.start)
        elif first < self.suspects.stop:
            stops += [self.suspects.stop, first + max(1, len(self.suspects) // PARTS)]
        return range(first, min(stops)), False

    def note(self, hand: range) -> None:
        """Note that an attempt is under way, and what it has in hand."""
        known = {"deaths": self.deaths, "condemned": sorted(self.condemned)}
        if self.keep:
            self.keep(json.dumps({**known, "first": hand.start, "records": len(hand)}).encode())


@contextmanager
def attempting(store: ObjectStore, bucket: str, key: str) -> Iterator[Attempts]:
    """Count an attempt before the work begins, and its end once it is over, whatever it raises."""
    noted = json.loads(read_or_none(store, bucket, key) or ENDED)
    attempts = _recall(noted, lambda note: store.write(bucket, key, note))
    attempts.note(attempts.suspects)
    try:
        yield attempts
    except Exception:
        store.write(bucket, key, ENDED)
        raise
    store.write(bucket, key, ENDED)


def _recall(noted: dict[str, Any], keep: Callable[[bytes], Any]) -> Attempts:
    """Return what is known of the attempts before: whatever is noted is of one that did not end."""
    if not noted:
        return Attempts(keep)
    hand = range(noted["first"], noted["first"] + noted["records"])
    condemned = {*noted["condemned"], *(hand if len(hand) == 1 else ())}
    return Attempts(keep, noted["deaths"] + 1, hand, condemned)
