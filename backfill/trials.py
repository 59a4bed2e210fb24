"""Trials: items mapped without being written anywhere, and what became of them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from backfill.samples import take_key
from dynaurora.dynamodb.changes import Change
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.errors import RejectedChange
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.reasons import name_reason
from dynaurora.mappings.row_mapper import RowMapper

if TYPE_CHECKING:
    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.mappings.mapping import Mapping

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
    items: int = 0
    taken: int = 0
    refused: dict[str, Refused] = field(default_factory=dict)
    """By reason, as reports count it."""
    filled: Counter[str] = field(default_factory=Counter)
    """Rows whose column is not NULL."""
    longest: dict[str, int] = field(default_factory=dict)
    """Characters of the longest field of each column, as it is loaded."""

    def __post_init__(self) -> None:
        self._mapper = RowMapper(self.mapping)
        self._second = int(time.time())

    def add(self, item: TypedItem) -> None:
        """Map one more item."""
        self.items += 1
        key = take_key(item, self.mapping.key_attributes)
        change = Change(snapshot_version(self._second), self._second * 1000, key, item)
        try:
            row = self._mapper.row(change)
            encode_row(row)
        except RejectedChange as error:
            self._refuse(error, key)
            return
        self.taken += 1
        for column, text in zip(self.mapping.columns, row.fields, strict=True):
            if text is not None:
                self.filled[column.name] += 1
                self.longest[column.name] = max(self.longest.get(column.name, 0), len(text))

    def _refuse(self, error: RejectedChange, key: TypedItem) -> None:
        reason = error.reasons[0]
        name = name_reason(reason)
        if name not in self.refused and len(self.refused) >= MOST_REASONS:
            name = "other reasons"
        found = self.refused.setdefault(name, Refused(reason.message))
        found.items += 1
        if len(found.keys) < MOST_KEYS:
            found.keys.append(key)

    def as_dict(self) -> dict[str, Any]:
        """Return what became of the items, for machines."""
        ordered = sorted(self.refused.items(), key=lambda each: -each[1].items)
        return {
            "items": self.items,
            "taken": self.taken,
            "refused": self.items - self.taken,
            "reasons": {name: found.items for name, found in ordered},
        }
