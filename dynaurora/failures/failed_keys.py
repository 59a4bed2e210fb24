"""Failed keys: the items that changes are kept of which are not in Aurora, each with the version of its change.

    records of the failed prefix, parked ones too     their key and version
    batches that Aurora did not take, or that nobody  those of each row
      has started an import of
    batches that could not be converted               nobody can tell their keys: they are counted

Small objects are read ahead, others record by record, and rows line by line; where each key is to be told once, with
its newest change, what was seen is kept in a temporary database on disk. So memory does not grow with what is kept.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aws.objects import read_or_none
from dynaurora.batches.batch import Batch
from dynaurora.dynamodb.attributes import respell_numbers
from dynaurora.errors import DynauroraError, InvalidBatchError, ObjectMissingError, RejectedChange
from dynaurora.failures.failed_batches import read_record
from dynaurora.failures.failed_records import read_change, read_records, split_record
from dynaurora.failures.list_failures import (
    BATCH,
    RECORDS,
    SUPERSEDED,
    UNSTARTED,
    kind_of_batch,
    list_failures,
    list_unstarted,
    unstarted_batch,
)
from dynaurora.failures.newest_entries import NewestEntries
from dynaurora.failures.read_ahead import hold_small, read_ahead
from dynaurora.failures.refused_rows import decode_refused_row
from dynaurora.mappings.csv_format import LABEL
from dynaurora.mappings.key_types import type_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Mapping as ReadOnlyDict

    from dynaurora.aws.objects import Listed, ObjectStore
    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.failures.failed_records import FailedRecord
    from dynaurora.failures.list_failures import Place
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.registry import Registry

FIELD: Final = re.compile(r"(?:[^\\,]|\\.)*", re.DOTALL)
ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
UNESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "Z": "\x1a"}
"""What is not the character itself after a backslash."""


@dataclass(frozen=True, slots=True)
class FailedKey:
    """A key of which a change is kept that is not in Aurora."""

    key: TypedItem
    """In DynamoDB's JSON: each key attribute with its type."""
    version: int
    """Of the newest of its changes that is kept, where each key is told once."""
    target: str | None
    """The table of the one target that the change is missing in; None for any of its mapping."""
    kind: str
    """RECORDS, or how a batch is taken up: BATCH, UNSTARTED."""
    object_key: str
    """Of the object that it is kept in."""

    @property
    def is_record(self) -> bool:
        """Whether a record is kept, which the mapping may refuse; else a row, which an import brings."""
        return self.kind == RECORDS


@dataclass
class FailedKeys:
    """The failed keys of one replication, parked ones too."""

    place: Place
    store: ObjectStore
    registry: Registry
    """Of the mapping: rows were written by documents of it."""
    key_types: ReadOnlyDict[str, str]
    """The type descriptor of each key attribute of the table, S, N or B: `TableItems.read_key_types`."""
    unknown: Counter[str] = field(default_factory=Counter)
    """By kind, failures whose keys nobody can tell: records that are no changes, and batches that are not converted or
    whose objects are gone. Complete once all was read."""

    def read(self) -> Iterator[FailedKey]:
        """Yield the key of each change that is kept, in the order of the objects; one may come several times."""
        mapping = self.registry.find_current()
        for (kind, listed), records in read_kept_records(self.place, self.store):
            with suppress(ObjectMissingError):  # settled meanwhile
                yield from self._name(records, listed, mapping) if kind == RECORDS else self._read_failed_batch(listed)
        for listed in list_unstarted(self.place, self.store):
            yield from self._read_batch(UNSTARTED, unstarted_batch(self.place, listed), listed.key)

    def read_newest(self) -> Iterator[FailedKey]:
        """Yield each key once for each target, with the newest of its changes."""
        with NewestEntries() as newest:
            for found in self.read():
                name = json.dumps([found.target, write_key(found.key)])
                newest.put(name, found.version, [found.key, found.target, found.kind, found.object_key])
            for version, (key, target, kind, object_key) in newest:
                yield FailedKey(key, version, target, kind, object_key)

    def _name(self, records: Iterable[FailedRecord], listed: Listed, mapping: Mapping) -> Iterator[FailedKey]:
        for record in records:
            found = read_keyed(record, mapping, self.key_types)
            if found is None:
                self.unknown[RECORDS] += 1
            else:
                key, version, target = found
                yield FailedKey(key, version, target, RECORDS, listed.key)

    def _read_failed_batch(self, listed: Listed) -> Iterator[FailedKey]:
        record = read_record(read_or_none(self.store, self.place.bucket, listed.key) or b"")
        kind = kind_of_batch(record)
        if kind == SUPERSEDED:
            return  # its records are kept themselves
        try:
            batch = Batch.from_event(record)
        except InvalidBatchError:
            self.unknown[kind] += 1
            return
        yield from self._read_batch(BATCH, batch, listed.key)

    def _read_batch(self, kind: str, batch: Batch, object_key: str) -> Iterator[FailedKey]:
        """Yield the keys of a batch's rows."""
        wrote = dict[str, "Mapping | None"]()
        for item in batch.objects:
            try:
                with self.store.open(item.bucket, item.key) as lines:
                    for line in lines:
                        found = self._read_row(line, batch.digest, wrote)
                        if found is None:
                            self.unknown[kind] += 1
                        else:
                            yield FailedKey(*found, kind, object_key)
            except ObjectMissingError:
                self.unknown[kind] += 1

    def _read_row(
        self, line: bytes, digest: str | None, wrote: dict[str, Mapping | None]
    ) -> tuple[TypedItem, int, str | None] | None:
        """Return key, version and target of a row; None where nobody can tell what wrote it."""
        match = LABEL.match(line)
        label = match[1].decode() if match else ""
        if label not in wrote:
            wrote[label] = self._find_writer(label, digest)
        mapping = wrote[label]
        if mapping is None:
            return None
        with suppress(IndexError, KeyError, UnicodeDecodeError, ValueError):
            fields = read_fields(line[match.end() if match else 0 :].decode().removesuffix("\n"))
            positions = [mapping.columns.index(column) + 2 for column in mapping.key_columns]
            texts = dict(zip(mapping.key_attributes, (fields[place] for place in positions), strict=True))
            return type_key(mapping, self.key_types, texts), int(fields[1]), mapping.target_name
        return None

    def _find_writer(self, label: str, digest: str | None) -> Mapping | None:
        table, _, short = label.partition(".")
        with suppress(DynauroraError):
            document = self.registry.find_short(short) if label else self.registry.find_recorded(digest)
            return document.find_target(table) if label else document
        return None


def read_kept_records(place: Place, store: ObjectStore) -> Iterator[tuple[tuple[str, Listed], Iterable[FailedRecord]]]:
    """Yield each object that is kept as failed, parked too, with its kind and its changes; of a batch none are read.

    Where an object was settled since it was listed, none are left of it, or what reads them raises ObjectMissingError.
    """

    def read(found: tuple[str, Listed]) -> Iterable[FailedRecord]:
        kind, listed = found
        if kind != RECORDS:
            return ()
        with suppress(ObjectMissingError):
            records = read_records(store, place.bucket, listed.key)
            return hold_small(listed, chain.from_iterable(map(split_record, records)))
        return ()

    return read_ahead(list_failures(place, store, prefix=None, parked=True), read)


def read_keyed(
    record: FailedRecord, mapping: Mapping, key_types: ReadOnlyDict[str, str]
) -> tuple[TypedItem, int, str | None] | None:
    """Return key, version and target of a failed record; None where it is no change of the table."""
    with suppress(RejectedChange, KeyError, ValueError, RecursionError):
        row = decode_refused_row(record.data)
        if row is not None:
            its = mapping.find_target(row.target) or mapping
            return type_key(its, key_types, row.keys), row.version, its.target_name
        change = read_change(record.data)
        if change is not None:
            key = change.key(mapping.key_attributes)
            return (key, change.version, record.target) if is_typed(key, key_types) else None
    return None


def is_typed(key: TypedItem, key_types: ReadOnlyDict[str, str]) -> bool:
    """Tell whether a key has the table's attributes, each of its type."""
    return {name: [*value] for name, value in key.items()} == {name: [kind] for name, kind in key_types.items()}


def read_fields(line: str) -> list[str]:
    """Return the fields of a line of CSV, its newline and label taken off; NULL is read as `N`, which no key is."""
    fields, start = list[str](), 0
    while start <= len(line) and (match := FIELD.match(line, start)):
        fields.append(ESCAPE.sub(lambda escaped: UNESCAPES.get(escaped[1], escaped[1]), match[0]))
        start = match.end() + 1
    return fields


def write_key(key: TypedItem) -> str:
    """Return a key as text that tells it from others of its table, whose types are known, however it spells numbers."""
    typed = respell_numbers(key).items()
    texts: list[tuple[str, Any]] = [(name, text) for name, value in typed for text in value.values()]
    return json.dumps(sorted(texts))
