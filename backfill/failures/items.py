"""Failures of items: one entry for each key, with its newest version, and whether something newer has overtaken it.

What was read is kept in a temporary database on disk, and rows are looked up some hundred at a time, so that neither
memory nor calls grow beyond that with what is kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Self

from backfill.failures.describe import summarize_failure
from backfill.failures.reader import RECORD
from backfill.terminal.formatting import format_iso
from dynaurora.failures.failed_records import FailedRecord
from dynaurora.failures.newest_entries import NewestEntries
from dynaurora.failures.superseded import FailedItem, find_overtaken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from backfill.failures.reader import Failure
    from dynaurora.failures.superseded import ItemNamer, NewerRows

LOOKED_UP: Final = 500
"""Entries whose rows are looked up together."""


@dataclass(frozen=True, slots=True)
class ItemEntry:
    """The failure of one item, or one of something that is none."""

    document: dict[str, Any]
    """As it is told to machines."""
    cells: tuple[str, ...]
    """As it is told to people."""
    label: str
    first_seen_at: str
    """In ISO 8601."""
    items: tuple[FailedItem, ...]
    """In each target that it is missing in."""
    is_record: bool
    is_parked: bool
    older: int
    """Failures of the same item with earlier versions, or kept once more, that this one replaces."""
    superseded: bool | None = None
    """Whether its row is newer; None where nobody could look."""

    def unknown(self) -> ItemEntry:
        """Return it as nobody knows whether it is superseded."""
        return replace(self, superseded=None)

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        return {**self.document, "superseded": self.superseded, "older_failures": self.older}


@dataclass
class ItemEntries:
    """The failures of one mapping by item; used as a context."""

    namer: ItemNamer | None
    """Tells items apart; without one each failure stands for itself."""
    rows: NewerRows | None = None
    """Knows the rows; without it nobody can tell what is superseded."""
    _newest: NewestEntries = field(default_factory=NewestEntries)

    def __enter__(self) -> Self:
        """Begin with none."""
        self._newest.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave nothing behind."""
        self._newest.__exit__(*error)

    def add(self, failure: Failure, label: str) -> None:
        """Take one more failure."""
        items = name_items(failure, self.namer)
        name = name_of(items) if items else json.dumps([failure.key, failure.number])
        entry = {
            "document": failure.as_dict(),
            "cells": summarize_failure(failure),
            "label": label,
            "first_seen_at": describe_time(failure.first_seen_at),
            "items": [(item.table, item.fields, str(item.version)) for item in items],
            "is_record": failure.kind == RECORD,
            "is_parked": failure.is_parked,
        }
        self._newest.put(name, max((item.version for item in items), default=0), entry)

    def __iter__(self) -> Iterator[ItemEntry]:
        """Yield the entries, each with whether it is superseded."""
        some: list[ItemEntry] = []
        for _, times, entry in self._newest.read_times():
            items = tuple(FailedItem(table, tuple(fields), int(version)) for table, fields, version in entry["items"])
            some.append(ItemEntry(**entry | {"items": items, "cells": tuple(entry["cells"])}, older=times - 1))
            if len(some) == LOOKED_UP:
                yield from self._judge(some)
                some = []
        yield from self._judge(some)

    def is_newest(self, items: Iterable[FailedItem]) -> bool:
        """Tell whether there is no newer failure of items, which were taken."""
        items = list(items)
        return max(item.version for item in items) >= self._newest.find_version(name_of(items))

    def _judge(self, entries: list[ItemEntry]) -> Iterator[ItemEntry]:
        if self.rows is None:
            yield from entries
            return
        overtaken = find_overtaken([list(entry.items) for entry in entries], self.rows)
        for entry in entries:
            is_overtaken = bool(entry.items) and all(item in overtaken for item in entry.items)
            yield replace(entry, superseded=is_overtaken)


def name_items(failure: Failure, namer: ItemNamer | None) -> list[FailedItem]:
    """Return the item of a failure, in each target that it is missing in."""
    if namer is None or failure.kind != RECORD:
        return []
    return namer.name(FailedRecord(failure.data, "", "", 0, 0, "", target=failure.target))


def name_of(items: Iterable[FailedItem]) -> str:
    """Return what tells the failure of an item from those of others."""
    return json.dumps([(item.table, item.fields) for item in items])


def describe_time(time: datetime) -> str:
    """Return a time as text that sorts."""
    return format_iso(time) or ""
