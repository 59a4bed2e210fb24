"""Kept failures: keys of changes that are kept as failed, which is why their rows are not as their items are.

They are kept in a temporary database on disk, so that memory does not grow with them.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from dynaurora.errors import ObjectMissingError, RejectedChange
from dynaurora.failures.failed_keys import read_kept_records, write_key
from dynaurora.failures.failed_records import read_change
from dynaurora.failures.newest_entries import NewestEntries
from dynaurora.failures.refused_rows import decode_refused_row

if TYPE_CHECKING:
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.failures.failed_records import FailedRecord
    from dynaurora.failures.list_failures import Place
    from dynaurora.verification.compare_items import Suspect


@dataclass(frozen=True)
class KeptFailures:
    """The failures of one replication, parked ones too; read once, when they are asked for."""

    place: Place
    store: ObjectStore
    decimals: frozenset[str] = frozenset()
    """Key attributes whose columns are DECIMAL: rows have zeros at the end of their numbers."""

    def has(self, suspect: Suspect) -> bool:
        """Tell whether a change of a suspect is kept as failed."""
        return self._keys.has(write_key(suspect.key))

    @cached_property
    def _keys(self) -> NewestEntries:
        entries = NewestEntries().__enter__()
        weakref.finalize(self, entries.__exit__)
        for _, records in read_kept_records(self.place, self.store):
            with suppress(ObjectMissingError):  # settled meanwhile
                for name in filter(None, (read_key(record, self.decimals) for record in records)):
                    entries.put(name, 0, None)
        return entries


def read_key(record: FailedRecord, decimals: frozenset[str]) -> str | None:
    """Return the key of a record's change; None where it has none."""
    with suppress(RejectedChange, ValueError):
        row = decode_refused_row(record.data)
        if row is not None:
            return write_key({name: {"N" if name in decimals else "S": text} for name, text in row.keys.items()})
        change = read_change(record.data)
        return None if change is None else write_key(change.keys)
    return None
