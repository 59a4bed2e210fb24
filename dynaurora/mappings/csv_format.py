r"""The CSV of batches, as `LOAD DATA` reads it back byte for byte.

    FIELDS TERMINATED BY ',' ESCAPED BY '\\' LINES TERMINATED BY '\n'

No enclosure, no header, NULL is `\N`; `_deleted` and `_version` first, then the mapping's columns in order. The
characters that would end a field or a line are escaped, so a line of the file is a row. So is 0x1A, as `\Z`: no data
holds a raw one. (MySQL 8.0 Reference Manual, "LOAD DATA Statement", field and line handling.)

Rows of the stream are *labelled*: each begins with the part of its batch, the table and the mapping that it is of.

    0x1A table . short digest , _deleted , _version , …

`LOAD DATA … LINES STARTING BY '\Z<table>.<short digest>,'` loads the rows of one part and passes over the others. A
value cannot imitate a label, for it has no raw 0x1A.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.rows import Row

FORMAT_SQL = r"FIELDS TERMINATED BY ',' ESCAPED BY '\\' LINES TERMINATED BY '\n'"
"""The format as a LOAD DATA statement says it."""

NULL = r"\N"
LABEL_START = "\x1a"
"""What a labelled row begins with, and nothing else has in it."""
SHORT_DIGEST_LENGTH = 16
"""Hexadecimal digits of a digest that a label has: enough to tell the documents of one table apart."""
LABEL = re.compile(rb"\x1a([A-Za-z_][A-Za-z0-9_]{0,63}\.[0-9a-f]{16}),")
"""What a labelled row begins with, the name of its part in it."""
SPECIAL = re.compile("[\\\\,\n\r\t\0\x1a]")
ESCAPES = str.maketrans(
    {"\\": r"\\", ",": r"\,", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\0": r"\0", LABEL_START: r"\Z"}
)


def encode_row(row: Row) -> bytes:
    """Return a row as one line of CSV, its newline included."""
    fields = [NULL if field is None else escape(field) for field in row.fields]
    return f"{'1' if row.deleted else '0'},{row.version},{','.join(fields)}\n".encode()


def escape(text: str) -> str:
    """Return a field's text with what would end it, or start an escape, escaped."""
    return text.translate(ESCAPES) if SPECIAL.search(text) else text


def make_label(target: str, digest: str) -> str:
    """Return the name of the part of a batch whose rows a mapping, by its digest, writes for a target."""
    return f"{target}.{digest[:SHORT_DIGEST_LENGTH]}"


def row_label(mapping: Mapping) -> bytes:
    """Return what each row of the stream begins with that a mapping wrote."""
    return f"{LABEL_START}{make_label(mapping.table, mapping.digest)},".encode()
