"""Kept failures: keys of changes that are kept as failed, which is why their rows are not as their items are."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from dynaurora.errors import ObjectMissingError, RejectedChange
from dynaurora.failures.failed_keys import write_key
from dynaurora.failures.failed_records import read_change, read_records, split_record
from dynaurora.failures.list_failures import RECORDS, list_failures
from dynaurora.failures.refused_rows import decode_refused_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.failures.failed_records import FailedRecord
    from dynaurora.failures.list_failures import Place
    from dynaurora.verification.compare_items import Suspect


@dataclass(frozen=True)
class KeptFailures:
    """The failures of one replication, parked ones too; read once they are asked for."""

    place: Place
    store: ObjectStore

    def has(self, suspect: Suspect) -> bool:
        """Tell whether a change of a suspect is kept as failed."""
        return write_key(suspect.key) in self._keys

    @cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(self._read())

    def _read(self) -> Iterator[str]:
        for kind, listed in list_failures(self.place, self.store, prefix=None, parked=True):
            with suppress(ObjectMissingError):
                if kind == RECORDS:
                    for record in read_records(self.store, self.place.bucket, listed.key):
                        yield from filter(None, map(read_key, split_record(record)))


def read_key(record: FailedRecord) -> str | None:
    """Return the key of a record's change; None where it has none."""
    with suppress(RejectedChange, ValueError):
        row = decode_refused_row(record.data)
        if row is not None:
            return write_key({name: {"S": text} for name, text in row.keys.items()})
        change = read_change(record.data)
        return None if change is None else write_key(change.keys)
    return None
