"""Verification: DynamoDB and Aurora compared key by key, column by column.

What Aurora should have is what the mapping makes of each item now in DynamoDB. Values are compared as the types of
their columns see them; a column of the change's own time is not compared, since an item does not know it.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dynaurora.aurora import sql
from dynaurora.aurora.fills import is_hidden
from dynaurora.dynamodb.changes import Change
from dynaurora.errors import RejectedChange
from dynaurora.mappings.columns import INTEGER_BITS
from dynaurora.mappings.conditions import Condition, Route
from dynaurora.mappings.reasons import count_reasons
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.mappings.target_columns import CHANGED_AT_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dynaurora.aurora.connection import Aurora
    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.mappings.columns import ColumnType, Field
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.target_columns import Column

Comparable = Any
Form = Callable[[Any], Comparable]
"""Makes what is not NULL comparable."""
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
    skipped: int = 0
    """Items that the target does not take: they have no row in it. Of several targets, counted for each."""
    examples: list[str] = field(default_factory=list)
    """Of keys that differ or are missing, up to ten: the columns' names, no values."""

    @property
    def agrees(self) -> bool:
        """Whether every key agrees or is accounted for by a rejection."""
        return not self.differing and not self.missing

    def add(self, other: Comparison) -> None:
        """Take in what was found of another target of the same items, which are counted once."""
        self.items = max(self.items, other.items)
        self.rows += other.rows
        self.identical += other.identical
        self.differing += other.differing
        self.missing += other.missing
        self.unmapped += other.unmapped
        self.unmapped_reasons.update(other.unmapped_reasons)
        self.skipped += other.skipped
        for text in other.examples:
            self.example(text)

    def example(self, text: str) -> None:
        """Remember what is wrong with a key, while there are few."""
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(text)


def compare_targets(mapping: Mapping, scan: Callable[[], Iterable[TypedItem]], aurora: Aurora) -> Comparison:
    """Compare a table's items with the rows of all targets of a mapping's file; `scan` reads the items once."""
    total = Comparison()
    for target in mapping.targets:
        if not is_hidden(aurora, target):  # nobody sees it yet
            total.add(compare(target, scan(), aurora))
    return total


def compare(mapping: Mapping, items: Iterable[TypedItem], aurora: Aurora) -> Comparison:
    """Compare a table's items, in DynamoDB's typed form, with the rows of one target's view.

    The view's rows are held in memory, by key; the items are not.
    """
    comparison, reader = Comparison(), _Reader(mapping)
    rows = {reader.value_key(row): reader.values(row) for row in aurora.stream(sql.select_rows(mapping))}
    comparison.rows = len(rows)
    mapper, condition = RowMapper(mapping), Condition(mapping) if mapping.when else None
    for item in items:
        comparison.items += 1
        _compare_item(reader, mapper, condition, item, rows, comparison)
    comparison.differing += len(rows)
    for _ in rows:
        comparison.example("a row has no item")
    return comparison


def _compare_item(
    reader: _Reader,
    mapper: RowMapper,
    condition: Condition | None,
    item: TypedItem,
    rows: dict[Key, Key],
    comparison: Comparison,
) -> None:
    keys = {name: item[name] for name in mapper.mapping.key_attributes}
    try:
        if condition is not None and condition.find_route(Change(0, 0, keys, item)) is not Route.TAKEN:
            comparison.skipped += 1
            return
        fields = mapper.row(Change(0, 0, keys, item)).fields
    except RejectedChange as error:
        comparison.unmapped += 1
        comparison.unmapped_reasons.update(count_reasons(error.reasons))
        with suppress(RejectedChange):  # a key that no row can have
            rows.pop(reader.field_key(mapper.row(Change(0, 0, keys, None)).fields), None)
        return
    found = rows.pop(reader.field_key(fields), None)
    if found is None:
        comparison.missing += 1
        comparison.example("an item has no row")
        return
    expected = reader.fields(fields)
    if found == expected:
        comparison.identical += 1
        return
    comparison.differing += 1
    names = [column.name for column, one, other in zip(reader.columns, found, expected, strict=True) if one != other]
    comparison.example(f"a row differs from its item in {', '.join(names)}")


class _Reader:
    """Reads rows of a mapping, as fields or as the driver's values, in the form in which they are compared."""

    def __init__(self, mapping: Mapping) -> None:
        self.columns = [column for column in mapping.columns if column.source != CHANGED_AT_MS]
        """The columns that are compared."""
        self.field_key = _make_reader(mapping, mapping.key_columns, _field_form)
        self.value_key = _make_reader(mapping, mapping.key_columns, _value_form)
        self.fields = _make_reader(mapping, self.columns, _field_form)
        self.values = _make_reader(mapping, self.columns, _value_form)


def _make_reader(
    mapping: Mapping, columns: Iterable[Column], form_of: Callable[[ColumnType], Form | None]
) -> Callable[[tuple[Any, ...]], Key]:
    """Return what reads some columns of a row of the mapping."""
    forms = [(mapping.columns.index(column), form_of(column.type)) for column in columns]

    def read(row: tuple[Any, ...]) -> Key:
        return tuple(
            [
                row[position] if form is None or row[position] is None else form(row[position])
                for position, form in forms
            ]
        )

    return read


def comparable_field(kind: ColumnType, text: Field) -> Comparable:
    """Return a field, as it would be loaded, in the form in which rows are compared."""
    form = _field_form(kind)
    return text if text is None or form is None else form(text)


def comparable_value(kind: ColumnType, value: Any) -> Comparable:
    """Return a value that the driver read in the form in which rows are compared."""
    form = _value_form(kind)
    return value if value is None or form is None else form(value)


def _field_form(kind: ColumnType) -> Form | None:
    """Return what makes a field comparable; None where it is so as it is."""
    if kind.is_binary:
        return base64.b64decode
    if kind.is_text or kind.kind == "DATE":
        return None
    if kind.kind == "JSON":
        return _canonical_json
    if kind.kind in {"DATETIME", "TIMESTAMP"}:
        return lambda text: datetime.fromisoformat(text).isoformat()
    if kind.kind == "TIME":
        return _read_time
    return int if kind.kind in INTEGER_BITS or kind.kind in {"BOOLEAN", "YEAR"} else Decimal


def _value_form(kind: ColumnType) -> Form | None:
    """Return what makes a value that the driver read comparable; None where it is so as it is."""
    if kind.kind == "JSON":
        return _canonical_json
    if kind.kind in {"DATE", "DATETIME", "TIMESTAMP"}:
        return lambda value: value.isoformat() if isinstance(value, date) else value
    if kind.kind == "DOUBLE":
        return lambda value: Decimal(repr(value)) if isinstance(value, float) else value
    return None


def _read_time(text: str) -> timedelta:
    """Return a time of day as the driver has it."""
    clock, _, figures = text.partition(".")
    hours, minutes, seconds = map(int, clock.split(":"))
    return timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=int(figures.ljust(6, "0") or 0))


def _canonical_json(text: str) -> str:
    """Return JSON with sorted names, its numbers as doubles: MySQL keeps neither order nor spelling."""
    return json.dumps(json.loads(text), sort_keys=True)
