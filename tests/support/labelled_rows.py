"""Rows as a stream's transformation writes them: each line begins with the label of its part."""

from collections.abc import Iterable

from dynaurora.mappings.csv_format import encode_row, row_label
from dynaurora.mappings.mapping import Mapping
from dynaurora.mappings.rows import Row


def encode_labelled(mapping: Mapping, rows: Iterable[Row]) -> bytes:
    """Return the labelled lines of rows that a mapping wrote."""
    label = row_label(mapping)
    return b"".join(label + encode_row(row) for row in rows)
