"""Sorted rows: the CSV of a batch in the order of its keys, a part of an upload at a time.

An export has its items in no order that Aurora knows, and a table is in the order of its key: rows that come so are
staged and merged sooner. It is a matter of time alone: the order is that of the CSV's bytes, which is near to the
key's, and the merge sorts for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aws.objects import PART_BYTES

if TYPE_CHECKING:
    from dynaurora.aws.objects import Upload
    from dynaurora.mappings.mapping import Mapping

WRITTEN_TOGETHER: Final = 5000
"""Rows that are joined at a time."""
FIELDS_BEFORE: Final = 2
"""Of a row, before its mapping's columns; a label is one more."""


Order = Callable[[bytes], Any]
"""From a row to what it is sorted by."""


class SortedRows:
    """What rows are written to on their way to an upload."""

    def __init__(self, upload: Upload, mapping: Mapping, *, incremental: bool = False) -> None:
        self._upload = upload
        self._rows: list[bytes] = []
        self._size = 0
        self._order = find_order(mapping, incremental=incremental)

    def write(self, rows: bytes) -> None:
        """Hold rows until there are enough to be sorted."""
        if self._order is None:
            self._upload.write(rows)
            return
        self._rows += rows.splitlines(keepends=True)  # what would end a line is escaped: each is a row
        self._size += len(rows)
        if self._size >= PART_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are held."""
        rows, self._rows, self._size = self._rows, [], 0
        rows.sort(key=None if self._order is whole_row else self._order)
        for start in range(0, len(rows), WRITTEN_TOGETHER):
            self._upload.write(b"".join(rows[start : start + WRITTEN_TOGETHER]))


def find_order(mapping: Mapping, *, incremental: bool) -> Order | None:
    """Return what the rows of a mapping's export are sorted by; None where that is not worth its time.

    Those of a full export are of one version and, up to their keys, the same where these come first.
    """
    if all(_begins_with_keys(target) for target in mapping.targets):
        before = FIELDS_BEFORE + mapping.routes
        return (lambda row: row.split(b",", before)[-1]) if incremental else whole_row
    if mapping.routes:  # each target's keys are elsewhere
        return None
    places = [FIELDS_BEFORE + mapping.columns.index(column) for column in mapping.key_columns]
    key, end = itemgetter(*places), max(places) + 1
    return lambda row: key(row.split(b",", end))


def whole_row(row: bytes) -> bytes:
    """Return what a row is sorted by that begins with its key."""
    return row


def _begins_with_keys(mapping: Mapping) -> bool:
    return mapping.columns[: len(mapping.key_columns)] == mapping.key_columns
