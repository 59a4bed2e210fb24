"""Forms of rows: fields, as they would be loaded, and values, as the driver reads them, made comparable.

Values are compared as the types of their columns see them: text by bytes, JSON by value, numbers as numbers. A column
of the change's own time is not compared, since an item does not know it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dynaurora.mappings.columns import INTEGER_BITS
from dynaurora.mappings.target_columns import CHANGED_AT_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dynaurora.mappings.columns import ColumnType, Field
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.target_columns import Column

Comparable = Any
Form = Callable[[Any], Comparable]
"""Makes what is not NULL comparable."""
FormedKey = tuple[Comparable, ...]


class RowReader:
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
) -> Callable[[tuple[Any, ...]], FormedKey]:
    """Return what reads some columns of a row of the mapping."""
    forms = [(mapping.columns.index(column), form_of(column.type)) for column in columns]

    def read(row: tuple[Any, ...]) -> FormedKey:
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
