"""Field widths: the most bytes that any field of a column has in a batch, as whoever writes the batch knows it.

A table in the server's memory gives each text its full width, so it is made no wider than a batch needs. Measured are
columns of text and of binary, of which a field is the value itself, or its base64, which is longer. Where a mapping has
a JSON column, which no table in memory takes, nothing is measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dynaurora.mappings.columns import BLOB_BYTES, TEXT_BYTES
from dynaurora.mappings.compiled.row_text import FIELD_END, ROW_END

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.rows import Row

MEASURED_KINDS: Final = frozenset({"VARCHAR", "CHAR", "VARBINARY", *TEXT_BYTES, *BLOB_BYTES})
_SYSTEM_FIELDS: Final = 2
"""Of a row, before those of columns."""


def measured_columns(mapping: Mapping) -> tuple[int, ...]:
    """Return the positions of the columns that are measured."""
    kinds = [column.type.kind for column in mapping.columns]
    return () if "JSON" in kinds else tuple(number for number, kind in enumerate(kinds) if kind in MEASURED_KINDS)


class FieldWidths:
    """The widths of the rows of one batch, as far as they were measured."""

    def __init__(self, mapping: Mapping) -> None:
        self.measured = measured_columns(mapping)
        self._columns = len(mapping.columns)
        self._rows = 0
        self._widths = dict.fromkeys(self.measured, 0)

    def see(self, rows: int, widths: Iterable[int]) -> None:
        """Take into account the widths of so many rows, of each measured column in turn."""
        self._rows += rows
        for number, width in zip(self.measured, widths, strict=True):
            self._widths[number] = max(self._widths[number], width)

    def see_rows(self, rows: Sequence[Row]) -> None:
        """Measure rows."""
        for row in rows:
            self.see(1, [len((row.fields[number] or "").encode()) for number in self.measured])

    def see_marked(self, rows: int, data: bytes) -> None:
        """Measure so many rows that are written with the marks of `row_text`, none of which is in a text."""
        fields = [row.split(FIELD_END.encode()) for row in data.split(ROW_END.encode())[:-1]]
        places = [number + _SYSTEM_FIELDS for number in self.measured]
        self.see(rows, [max((len(row[place]) for row in fields), default=0) for place in places])

    def take(self, rows: int) -> tuple[int, ...]:
        """Return the widths of all columns of so many rows, 0 of those that are not measured, and begin anew.

        Nothing where it were other rows that were measured.
        """
        widths = tuple(self._widths.get(number, 0) for number in range(self._columns))
        is_known = bool(self.measured and rows) and self._rows == rows
        self._rows, self._widths = 0, dict.fromkeys(self.measured, 0)
        return widths if is_known else ()
