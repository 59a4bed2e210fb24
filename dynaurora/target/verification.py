"""Verification: DynamoDB and Aurora compared key by key, column by column.

What Aurora should have is what the mapping makes of each item now in DynamoDB. Values are compared as the types of
their columns see them; a column of the change's own time is not compared, since an item does not know it.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dynaurora.aurora import sql
from dynaurora.dynamodb.changes import Change
from dynaurora.errors import RejectedChange
from dynaurora.mappings.mapping import CHANGED_AT_MS
from dynaurora.mappings.reasons import count_reasons
from dynaurora.mappings.row_mapper import RowMapper

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dynaurora.aurora.connection import Aurora
    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.mappings.columns import ColumnType, Field
    from dynaurora.mappings.mapping import Mapping

Comparable = Any
Key = tuple[Comparable, ...]
MAX_EXAMPLES = 10


@dataclass(slots=True)
class Comparison:
    """What a comparison found; every key is counted once."""

    items: int = 0
    rows: int = 0
    identical: int = 0
    differing: int = 0
    """Rows whose columns differ from the item, and rows without an item."""
    missing: int = 0
    """Items that the mapping accepts and that have no row."""
    unmapped: int = 0
    """Items that the mapping refuses as they are now: their rows, where there are any, are older by right."""
    unmapped_reasons: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    """Of keys that differ or are missing, up to ten: the columns' names, no values."""

    @property
    def agrees(self) -> bool:
        """Whether every key agrees or is accounted for by a rejection."""
        return not self.differing and not self.missing

    def example(self, text: str) -> None:
        """Remember what is wrong with a key, while there are few."""
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(text)


def compare(mapping: Mapping, items: Iterable[TypedItem], aurora: Aurora) -> Comparison:
    """Compare a table's items, in DynamoDB's typed form, with the view's rows.

    The view's rows are held in memory, by key; the items are not.
    """
    comparison = Comparison()
    rows = _read_rows(mapping, aurora)
    comparison.rows = len(rows)
    mapper = RowMapper(mapping)
    for item in items:
        comparison.items += 1
        _compare_item(mapping, mapper, item, rows, comparison)
    comparison.differing += len(rows)
    for _ in rows:
        comparison.example("a row has no item")
    return comparison


def _compare_item(
    mapping: Mapping, mapper: RowMapper, item: TypedItem, rows: dict[Key, Key], comparison: Comparison
) -> None:
    keys = {name: item[name] for name in mapping.key_attributes}
    try:
        fields = mapper.row(Change(0, 0, keys, item)).fields
    except RejectedChange as error:
        comparison.unmapped += 1
        comparison.unmapped_reasons.update(count_reasons(error.reasons))
        with suppress(RejectedChange):  # a key that no row can have
            rows.pop(_key(mapping, mapper.row(Change(0, 0, keys, None)).fields), None)
        return
    found = rows.pop(_key(mapping, fields), None)
    if found is None:
        comparison.missing += 1
        comparison.example("an item has no row")
        return
    expected = _comparable_fields(mapping, fields)
    if found == expected:
        comparison.identical += 1
        return
    comparison.differing += 1
    names = [
        column.name
        for column, one, other in zip(_compared_columns(mapping), found, expected, strict=True)
        if one != other
    ]
    comparison.example(f"a row differs from its item in {', '.join(names)}")


def _read_rows(mapping: Mapping, aurora: Aurora) -> dict[Key, Key]:
    positions = [mapping.columns.index(column) for column in mapping.key_columns]
    compared = [(mapping.columns.index(column), column.type) for column in _compared_columns(mapping)]
    return {
        tuple(comparable_value(mapping.columns[position].type, row[position]) for position in positions): tuple(
            comparable_value(kind, row[position]) for position, kind in compared
        )
        for row in aurora.stream(sql.select_rows(mapping))
    }


def _compared_columns(mapping: Mapping) -> list[Any]:
    return [column for column in mapping.columns if column.source != CHANGED_AT_MS]


def _key(mapping: Mapping, fields: tuple[Field, ...]) -> Key:
    return tuple(comparable_field(column.type, fields[mapping.columns.index(column)]) for column in mapping.key_columns)


def _comparable_fields(mapping: Mapping, fields: tuple[Field, ...]) -> Key:
    return tuple(
        comparable_field(column.type, fields[mapping.columns.index(column)]) for column in _compared_columns(mapping)
    )


def comparable_field(kind: ColumnType, text: Field) -> Comparable:
    """Return a field, as it would be loaded, in the form in which rows are compared."""
    if text is None:
        return None
    if kind.is_binary:
        return base64.b64decode(text)
    if kind.is_text:
        return text
    if kind.kind == "JSON":
        return _canonical_json(text)
    if kind.kind == "DATE":
        return text
    if kind.kind in {"DATETIME", "TIMESTAMP"}:
        return datetime.fromisoformat(text).isoformat()
    return Decimal(text)


def comparable_value(kind: ColumnType, value: Any) -> Comparable:
    """Return a value that the driver read in the form in which rows are compared."""
    if value is None:
        return None
    if kind.kind == "JSON":
        return _canonical_json(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, (int, Decimal)):
        return Decimal(value)
    return value


def _canonical_json(text: str) -> str:
    """Return JSON with sorted names, its numbers as doubles: MySQL keeps neither order nor spelling."""
    return json.dumps(json.loads(text), sort_keys=True)
