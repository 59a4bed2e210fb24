"""Judging: suspects are looked at again, row and then key, until they agree or are proved different.

    the item is read, consistently       it is so since
    again and again
      the row is looked up               equal: it agrees, and is done with
      the item is read again             another one: that is what the row has to be, since now
                                         the same, and the row is of a change since: it was another in between
      the stream is imported until then  and the item is still the same: the row should be equal, and is not,
                                         unless a batch is pending that has a change of it: it is behind
    in the end                           what still changes is behind

So a change on its way is never taken for a difference, nor is one that arrives while both sides are read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from dynaurora.verification.compare_items import Suspect
from dynaurora.verification.pending_batches import Pending
from dynaurora.verification.verdicts import SUSPICIOUS, Found, RowVerdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.verification.compare_rows import Lookup
    from dynaurora.verification.expectations import Expectation, Expecter

POLL_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 600.0
"""For how long suspects are looked at again."""


class ConsistentItems(Protocol):
    """What judging needs of the source table."""

    def read_item(self, key: TypedItem) -> TypedItem | None:
        """Return an item as it is now, by its key; None where there is none."""
        ...


@dataclass(slots=True)
class OpenCase:
    """A suspect that is not judged yet."""

    suspect: Suspect
    item: TypedItem | None
    since: float
    """Unix time at which the item was so already."""
    expectation: Expectation | None


@dataclass
class SuspectJudge:
    """Judges suspects."""

    expecter: Expecter
    lookup: Lookup
    items: ConsistentItems
    find_watermark: Callable[[], float]
    """Tells until which second of Unix time all changes are imported."""
    is_kept: Callable[[Suspect], bool] = lambda _suspect: False
    """Tells whether a change of a suspect is kept as failed."""
    find_pending: Callable[[str, Expectation | None], Pending | None] = lambda _table, _expectation: None
    """Tells whether a batch with a change of a key waits for its import, or was given up."""
    keeps_expired: bool = False
    """Whether rows of expired items are kept: one without an item is there by right."""
    poll_seconds: float = POLL_SECONDS
    patience_seconds: float = PATIENCE_SECONDS
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def judge(self, suspects: Iterable[Suspect]) -> Iterator[Suspect]:
        """Yield each suspect with what is found in the end, as soon as it is."""
        cases, deadline = [self.open(suspect) for suspect in suspects], self.clock() + self.patience_seconds
        while cases:
            watermark, left = self.find_watermark(), list[OpenCase]()
            for case, finding, looked_at in self.look_again(cases):
                decided = self.decide(case, finding, looked_at, watermark)
                if decided is None:
                    left.append(case)
                else:
                    yield Suspect(case.suspect.table, case.suspect.key, decided)
            cases = left
            if cases and self.clock() >= deadline:
                yield from (self._give_up(case) for case in cases)
                return
            if cases:
                self.sleep(self.poll_seconds)

    def open(self, suspect: Suspect) -> OpenCase:
        """Return the case of a suspect, with its item as it is now."""
        since = self.clock()
        item = self.items.read_item(suspect.key)
        return OpenCase(suspect, item, since, self._expect(suspect, item))

    def look_again(self, cases: list[OpenCase]) -> Iterator[tuple[OpenCase, Found, float]]:
        """Yield each case with what its row is now, and when that was told, in Unix time."""
        by_table: dict[str, list[OpenCase]] = {}
        for case in cases:
            if case.expectation is None:
                yield case, Found(RowVerdict.FAILED), self.clock()  # no row can have such a key
            else:
                by_table.setdefault(case.suspect.table, []).append(case)
        for table, its in by_table.items():
            found = self.lookup.compare(table, [case.expectation for case in its if case.expectation])
            looked_at = self.clock()  # the ages are as of now, however long it takes to decide the cases
            yield from ((case, finding, looked_at) for case, finding in zip(its, found, strict=True))

    def decide(self, case: OpenCase, finding: Found, looked_at: float, watermark: float) -> Found | None:
        """Return what a case is, by its row, which was looked at before; None where that is not told yet."""
        if finding.verdict not in SUSPICIOUS:
            return finding
        now = self.clock()
        item = self.items.read_item(case.suspect.key)
        if item != case.item or _is_changed(finding, case.since, looked_at):
            case.item, case.since, case.expectation = item, now, self._expect(case.suspect, item)
            return None
        if item is None and self.keeps_expired and finding.verdict is RowVerdict.EXTRA:
            return Found(RowVerdict.SKIPPED)
        if watermark <= case.since:
            return None
        if self.is_kept(case.suspect):
            return Found(RowVerdict.FAILED)
        pending = self.find_pending(case.suspect.table, case.expectation)
        if pending is Pending.FAILED:  # which no patience helps
            return Found(RowVerdict.BEHIND)
        return finding if pending is None else None

    def _give_up(self, case: OpenCase) -> Suspect:
        is_kept = self.is_kept(case.suspect)
        verdict = RowVerdict.FAILED if is_kept else RowVerdict.BEHIND
        return Suspect(case.suspect.table, case.suspect.key, Found(verdict))

    def _expect(self, suspect: Suspect, item: TypedItem | None) -> Expectation | None:
        (expected,) = self.expecter.expect(suspect.key, item, suspect.table)
        return expected.expectation


def _is_changed(finding: Found, since: float, looked_at: float) -> bool:
    """Tell whether a row is of a change that was made since: then its item was another in between, and is so again.

    The row's age is told by the clock of where the rows are, in whole seconds, as versions have them.
    """
    return finding.age is not None and looked_at - finding.age + 1 > since
