"""Rows as a stream's transformation writes them: each line begins with the label of its part."""

from collections.abc import Iterable

from dynaurora.batches.parts import make_label
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.mapping import Mapping
from dynaurora.mappings.rows import Row


def encode_labelled(mapping: Mapping, rows: Iterable[Row]) -> bytes:
    """Return the labelled lines of rows that a mapping wrote; raw 0x1A in data is escaped, as a label needs it."""
    label = make_label(mapping.table, mapping.digest)
    return b"".join(f"\x1a{label},".encode() + encode_row(row).replace(b"\x1a", b"\\Z") for row in rows)
