"""Kept keys: the items that changes of are kept as failed, parked too, each with the newest version that is kept."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backfill.rereading import name_key
from dynaurora.errors import ObjectMissingError, RejectedChange
from dynaurora.failures.failed_records import read_change, read_records, split_record
from dynaurora.failures.list_failures import RECORDS, list_failures
from dynaurora.failures.refused_rows import decode_refused_row
from dynaurora.mappings.key_types import type_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.failures.failed_records import FailedRecord
    from dynaurora.failures.list_failures import Place
    from dynaurora.mappings.mapping import Mapping


@dataclass(frozen=True, slots=True)
class KeptKey:
    """A key of which a change is kept as failed."""

    key: TypedItem
    """In DynamoDB's JSON."""
    version: int
    target: str | None
    """The table of the one target that the change is missing in; None for any of its mapping."""


@dataclass
class KeptKeys:
    """The kept keys of one replication."""

    place: Place
    store: ObjectStore
    mapping: Mapping
    key_types: dict[str, str]
    """Type descriptors of the table's key attributes."""
    unknown: Counter[str] = field(default_factory=Counter)
    """By kind, failures whose keys nobody can tell: batches, and records that are no changes."""

    def read_newest(self) -> Iterator[KeptKey]:
        """Yield each key once for each target, with the newest of its versions."""
        newest: dict[tuple[str | None, str], KeptKey] = {}
        for found in self._read():
            name = found.target, name_key(found.key)
            if name not in newest or newest[name].version < found.version:
                newest[name] = found
        yield from newest.values()

    def _read(self) -> Iterator[KeptKey]:
        for kind, listed in list_failures(self.place, self.store, prefix=None, parked=True):
            if kind != RECORDS:
                self.unknown[kind] += 1
                continue
            with suppress(ObjectMissingError):  # settled meanwhile
                for record in read_records(self.store, self.place.bucket, listed.key):
                    for single in split_record(record):
                        found = self._read_key(single)
                        if found is None:
                            self.unknown[kind] += 1
                        else:
                            yield found

    def _read_key(self, record: FailedRecord) -> KeptKey | None:
        with suppress(RejectedChange, KeyError, ValueError):
            row = decode_refused_row(record.data)
            if row is not None:
                its = self.mapping.find_target(row.target) or self.mapping
                return KeptKey(type_key(its, self.key_types, row.keys), row.version, its.target_name)
            change = read_change(record.data)
            if change is not None and change.keys.keys() == self.key_types.keys():
                return KeptKey(change.keys, change.version, record.target)
        return None
