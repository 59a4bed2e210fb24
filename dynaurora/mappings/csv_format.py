r"""The CSV of batches, as `LOAD DATA` reads it back byte for byte.

    FIELDS TERMINATED BY ',' ESCAPED BY '\\' LINES TERMINATED BY '\n'

No enclosure, no header, NULL is `\N`; `_deleted` and `_version` first, then the mapping's columns in order. The
characters that would end a field or a line are escaped, so a line of the file is a row. (MySQL 8.0 Reference
Manual, "LOAD DATA Statement", field and line handling.)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dynaurora.mappings.rows import Row

FORMAT_SQL = r"FIELDS TERMINATED BY ',' ESCAPED BY '\\' LINES TERMINATED BY '\n'"
"""The format as a LOAD DATA statement says it."""

NULL = r"\N"
SPECIAL = re.compile("[\\\\,\n\r\t\0]")
ESCAPES = str.maketrans({"\\": r"\\", ",": r"\,", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\0": r"\0"})


def encode_row(row: Row) -> bytes:
    """Return a row as one line of CSV, its newline included."""
    fields = [NULL if field is None else escape(field) for field in row.fields]
    return f"{'1' if row.deleted else '0'},{row.version},{','.join(fields)}\n".encode()


def escape(text: str) -> str:
    """Return a field's text with what would end it, or start an escape, escaped."""
    return text.translate(ESCAPES) if SPECIAL.search(text) else text
