"""Superseded failures: failed changes that are overtaken, so that nothing would come of them.

    the replica has a newer row of the key, or a tombstone    importing the change would not change it
    a newer change of the key is kept as failed too           that one is the item's failure

A record is superseded where this is so in each target that it is missing in. It is kept in the archive, and can be
brought back from there.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from dynaurora.aurora.newer_rows import find_newer
from dynaurora.dynamodb.changes import Change
from dynaurora.errors import RejectedChange
from dynaurora.failures.failed_records import read_change
from dynaurora.failures.refused_rows import decode_refused_row
from dynaurora.mappings.row_mapper import RowMapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from dynaurora.aurora.connection import Aurora
    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.failures.failed_records import FailedRecord
    from dynaurora.mappings.columns import Field
    from dynaurora.mappings.mapping import Mapping

BY_ROW: Final = "row"
"""A newer row has overtaken the failure."""
BY_FAILURE: Final = "failure"
"""A newer failure of the same item has."""


@dataclass
class Superseded:
    """What is superseded of some records."""

    reasons: dict[bytes, str] = field(default_factory=dict)
    """By what a record is, BY_ROW or BY_FAILURE."""
    records: int = 0
    """Changes: of a pack, each."""
    parked: int = 0
    """Those of them that would have been parked."""

    def covers(self, record: FailedRecord) -> bool:
        """Tell whether a record is superseded."""
        return identify_record(record) in self.reasons


class NewerRows(Protocol):
    """What knows the rows of a mapping's targets."""

    def find_overtaken(self, table: str, keys: Sequence[tuple[Sequence[Field], int]]) -> set[int]:
        """Return the positions of the keys of which a target has a newer row than the version."""
        ...


@dataclass(frozen=True, slots=True)
class FailedItem:
    """An item that a failed record is of, in one target."""

    table: str
    fields: tuple[Field, ...]
    """Of its key's columns, as a batch would have them."""
    version: int


@dataclass
class ItemNamer:
    """Tells which items failed records are of."""

    mapping: Mapping
    _mappers: dict[str, RowMapper] = field(default_factory=dict)

    def name(self, record: FailedRecord) -> list[FailedItem]:
        """Return the item of a record in each target that it is missing in; none where it is no change of the table."""
        with suppress(RejectedChange, KeyError, ValueError, RecursionError):
            row = decode_refused_row(record.data)
            if row is not None:
                target = self.mapping.find_target(row.target) or self.mapping
                fields = tuple(row.keys[name] for name in target.key_attributes)
                return [FailedItem(target.table, fields, row.version)]
            change = read_change(record.data)
            if change is not None:
                return self._name_change(change, record.target)
        return []

    def _name_change(self, change: Change, only: str | None) -> list[FailedItem]:
        items = list[FailedItem]()
        for target in [self.mapping.find_target(only)] if only else self.mapping.targets:
            fields = None if target is None else map_key(self._find_mapper(target), change.keys)
            if target is None or fields is None:
                return []  # who knows what it is missing in
            items.append(FailedItem(target.table, tuple(fields), change.version))
        return items

    def _find_mapper(self, target: Mapping) -> RowMapper:
        if target.table not in self._mappers:
            self._mappers[target.table] = RowMapper(target)
        return self._mappers[target.table]


def map_key(mapper: RowMapper, typed_key: TypedItem) -> list[Field] | None:
    """Return the fields of a key's columns; None where no row can have it."""
    with suppress(RejectedChange):
        fields = mapper.row(Change(0, 0, typed_key, None)).fields
        return [fields[mapper.mapping.columns.index(column)] for column in mapper.mapping.key_columns]
    return None


@dataclass(frozen=True)
class ReplicaRows:
    """The rows of a mapping's targets, over a connection."""

    mapping: Mapping
    aurora: Aurora

    def find_overtaken(self, table: str, keys: Sequence[tuple[Sequence[Field], int]]) -> set[int]:
        """Return the positions of the keys of which a target has a newer row than the version."""
        target = self.mapping.find_target(table)
        return find_newer(self.aurora, target, keys) if target else set()


@dataclass(frozen=True)
class Superseder:
    """Tells which records are superseded, over a connection that is opened once there are any."""

    find_mapping: Callable[[], Mapping]
    connect: Callable[[], AbstractContextManager[Aurora]]

    def find(self, records: Iterable[FailedRecord]) -> dict[bytes, str]:
        """Return which of some records are superseded, and by what. Raises what the database does."""
        mapping = self.find_mapping()
        with self.connect() as aurora:
            return find_superseded(records, ItemNamer(mapping), ReplicaRows(mapping, aurora))


def find_superseded(records: Iterable[FailedRecord], namer: ItemNamer, rows: NewerRows) -> dict[bytes, str]:
    """Return which of some records are superseded, by what they are, each with BY_ROW or BY_FAILURE."""
    items = dict[bytes, list[FailedItem]]()
    newest: dict[tuple[str, tuple[Field, ...]], int] = {}
    for record in records:
        named = namer.name(record)
        if named:
            items[identify_record(record)] = named
        for item in named:
            place = item.table, item.fields
            newest[place] = max(newest.get(place, 0), item.version)
    overtaken = find_overtaken(items.values(), rows)
    found = dict[bytes, str]()
    for identity, named in items.items():
        if all(item in overtaken for item in named):
            found[identity] = BY_ROW
        elif all(item in overtaken or item.version < newest[item.table, item.fields] for item in named):
            found[identity] = BY_FAILURE
    return found


def find_overtaken(items: Iterable[list[FailedItem]], rows: NewerRows) -> set[FailedItem]:
    """Return the items of which there is a newer row."""
    by_table = dict[str, list[FailedItem]]()
    for named in items:
        for item in named:
            by_table.setdefault(item.table, []).append(item)
    return {
        its[position]
        for table, its in by_table.items()
        for position in rows.find_overtaken(table, [(item.fields, item.version) for item in its])
    }


def identify_record(record: FailedRecord) -> bytes:
    """Return what tells a record from others: its bytes, and the target that it is missing in."""
    return hashlib.sha256((record.target or "").encode() + b"\0" + record.data).digest()
