"""Trials: items mapped without being written anywhere, and what became of them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from backfill.failures.verdicts import REFUSED
from backfill.samples import take_key
from dynaurora.dynamodb.changes import Change
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.errors import RejectedChange
from dynaurora.mappings.conditions import Condition, Route
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.reasons import name_reason
from dynaurora.mappings.row_mapper import RowMapper

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from backfill.failures.verdicts import Verdict
    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.errors import Reason
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.rows import Row

TargetColumn = tuple[str, str]
"""A target's table, and one of its columns."""
MOST_REASONS: Final = 100
MOST_KEYS: Final = 3
"""Of items that are told for each reason."""


@dataclass
class Refused:
    """Why items were refused."""

    message: str
    items: int = 0
    keys: list[TypedItem] = field(default_factory=list)


@dataclass
class Trial:
    """Items mapped one by one."""

    mapping: Mapping
    keep: int = 0
    """Rows to keep."""
    items: int = 0
    taken: int = 0
    refused: dict[str, Refused] = field(default_factory=dict)
    """By reason, as reports count it."""
    skipped: int = 0
    """Items that no target takes, of a mapping with several."""
    rows: Counter[str] = field(default_factory=Counter)
    """Rows by the target that they are of."""
    filled: Counter[TargetColumn] = field(default_factory=Counter)
    """Rows whose column is not NULL."""
    longest: dict[TargetColumn, int] = field(default_factory=dict)
    """Characters of the longest field of each column, as it is loaded."""
    kept: list[dict[str, Any]] = field(default_factory=list)
    """The first rows, by column."""

    def __post_init__(self) -> None:
        self._routes = [
            (mapper, Condition(mapper.mapping) if mapper.mapping.when else None)
            for mapper in RowMapper(self.mapping).targets
        ]
        self._second = int(time.time())

    def add(self, item: TypedItem) -> None:
        """Map one more item."""
        self.items += 1
        key = take_key(item, self.mapping.key_attributes)
        change = Change(snapshot_version(self._second), self._second * 1000, key, item)
        try:
            rows = [(mapper.mapping, mapper.row(change)) for mapper in self._find_targets(change)]
            for _, row in rows:
                encode_row(row)
        except RejectedChange as error:
            self._refuse(error.reasons, key)
            return
        self.taken += bool(rows)
        self.skipped += not rows
        for target, row in rows:
            self._count(target, row)

    def _find_targets(self, change: Change) -> Iterator[RowMapper]:
        """Yield what maps for each target that takes a change. Raises RejectedChange where one cannot be decided."""
        for mapper, condition in self._routes:
            if condition is None or condition.find_route(change) is Route.TAKEN:
                yield mapper

    def _count(self, target: Mapping, row: Row) -> None:
        self.rows[target.table] += 1
        names = [column.name for column in target.columns]
        if len(self.kept) < self.keep:
            self.kept.append(dict(zip(names, row.fields, strict=True)))
        for name, text in zip(names, row.fields, strict=True):
            if text is not None:
                self.filled[target.table, name] += 1
                self.longest[target.table, name] = max(self.longest.get((target.table, name), 0), len(text))

    def add_all(self, items: Iterable[TypedItem]) -> None:
        """Map more items."""
        for item in items:
            self.add(item)

    def add_verdict(self, verdict: Verdict) -> None:
        """Take into account what the mapping says of a record that is kept as failed."""
        self.items += 1
        if verdict.outcome == REFUSED:
            self._refuse(verdict.reasons, verdict.key or {})
        else:
            self.taken += 1

    def ordered(self) -> list[tuple[str, Refused]]:
        """Return the reasons, those of most items first."""
        return sorted(self.refused.items(), key=lambda each: -each[1].items)

    def _refuse(self, reasons: tuple[Reason, ...], key: TypedItem) -> None:
        reason = reasons[0]
        name = name_reason(reason)
        if name not in self.refused and len(self.refused) >= MOST_REASONS:
            name = "other reasons"
        found = self.refused.setdefault(name, Refused(reason.message))
        found.items += 1
        if key and len(found.keys) < MOST_KEYS:
            found.keys.append(key)

    def as_dict(self) -> dict[str, Any]:
        """Return what became of the items, for machines."""
        document = {
            "items": self.items,
            "taken": self.taken,
            "refused": self.items - self.taken - self.skipped,
            "skipped": self.skipped,
            "reasons": [
                {"reason": name, "items": found.items, "message": found.message, "keys": found.keys}
                for name, found in self.ordered()
            ],
            "columns": [
                {
                    "table": target.table,
                    "name": column.name,
                    "type": column.type.sql,
                    "filled": self.filled[target.table, column.name],
                    "longest": self.longest.get((target.table, column.name), 0),
                }
                for target in self.mapping.targets
                for column in target.columns
            ],
        }
        return document | ({"rows": self.kept} if self.keep else {})
