"""Verifying by a scan: items are read from here, and their rows are compared within the stack's network.

    the table      is scanned in segments beside each other, no faster than is allowed
    each page      is mapped, and sent to the function compare_rows, which looks the rows up and answers with verdicts
    the database   then lists the rows that no item was seen of, stretch by stretch
    suspects       are looked at again, until they agree or are proved different

No value of a row leaves the database, and no invocation sees more than some hundred of them.
"""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dynaurora.verification.compare_items import Compared, Suspect, compare_items, divide, look_up, map_items
from dynaurora.verification.verdicts import RowVerdict
from dynaurora.verification.verifier import Verifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.dynamodb.items import TableItems
    from dynaurora.dynamodb.scans import TableScan
    from dynaurora.verification.expectations import Expectation

SAMPLED_SEGMENTS: Final = 1_000
"""Of which a sample reads its share."""


@dataclass
class Verification(Verifier):
    """One verification that may read its items from here."""

    _lock: threading.Lock = field(default_factory=threading.Lock)

    def scan(self, scan: TableScan, segments: Sequence[int], of: int, workers: int) -> None:
        """Compare the items of some of so many segments, some beside each other."""
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(self._compare_segment, scan, segment, of) for segment in segments]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def compare_keys(self, items: TableItems, keys: Iterable[TypedItem]) -> None:
        """Compare the items of some keys, read one by one, with their rows; a row without an item is extra."""
        for some in divide(keys):
            read = [(key, items.read_item(key)) for key in some]
            self.take(compare_items(self.expecter, self.lookup, [item for _, item in read if item is not None]))
            self._compare_gone([key for key, item in read if item is None])

    def _compare_gone(self, keys: Sequence[TypedItem]) -> None:
        """Look for rows of keys that have no item."""
        gone: dict[str, list[tuple[TypedItem, Expectation]]] = {}
        for key in keys:
            for expected in self.expecter.expect(key, None):
                if expected.expectation is not None:
                    gone.setdefault(expected.table, []).append((key, expected.expectation))
        for table, its in gone.items():
            findings = self.lookup.compare(table, [wanted for _, wanted in its])
            found = zip(its, findings, strict=True)
            rows = [Suspect(table, key, one) for (key, _), one in found if one.verdict is not RowVerdict.IDENTICAL]
            self.take(Compared(suspects=rows))

    def _compare_segment(self, scan: TableScan, segment: int, of: int) -> None:
        for page in scan.read_segment(segment, of):
            with self._lock:  # what maps is for one at a time
                mapped = map_items(self.expecter, page)
            compared = look_up(mapped, self.lookup)
            with self._lock:
                self.take(compared)


def choose_segments(percent: float | None, workers: int) -> tuple[list[int], int]:
    """Return which segments to read, of how many: all, or at random so many percent of them."""
    if percent is None:
        return [*range(workers)], workers
    count = max(1, round(SAMPLED_SEGMENTS * percent / 100))
    return random.sample(range(SAMPLED_SEGMENTS), count), SAMPLED_SEGMENTS
