"""Writing many rows at once: their text is made with separators of its own, then escaped in one go.

A field's text may hold anything. So rows are joined with control characters that texts hardly ever have, counted
afterwards: if there are exactly as many as were put in, none came from a text. What the format escapes is then escaped
in all of the text, and the separators become the format's. (`dynaurora.mappings.csv_format` says what the format is.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynaurora.mappings.csv_format import ESCAPES

if TYPE_CHECKING:
    from dynaurora.mappings.rows import Row

FIELD_END = "\x1f"
ROW_END = "\x1e"
NULL_MARK = "\x1d"
NULL_TEXT = f"{NULL_MARK}N"
MARKS = f"{FIELD_END}{ROW_END}{NULL_MARK}".encode()
ESCAPED = b"\xff"
"""Stands for all that has to be escaped, to find out whether anything has: no byte of UTF-8."""
FINAL = bytes.maketrans(f"{FIELD_END}{ROW_END}{NULL_MARK}".encode(), b",\n\\")
"""What the separators become; together with the N behind it, the last makes a NULL."""
TRIAL = bytes.maketrans(
    "".join([FIELD_END, ROW_END, NULL_MARK, *map(chr, ESCAPES)]).encode(), b",\n\\" + ESCAPED * len(ESCAPES)
)


def mark_row(row: Row) -> str:
    """Return a row with the separators of this module, without its end."""
    fields = (NULL_TEXT if field is None else field for field in row.fields)
    return f"{'1' if row.deleted else '0'}{FIELD_END}{row.version}{FIELD_END}{FIELD_END.join(fields)}"


def finish_rows(marked: str, rows: int, columns: int, nulls: int) -> bytes | None:
    """Return the CSV of rows that are joined; None where a text has one of the separators in it."""
    data = marked.encode()  # all that is looked for is ASCII, which is found faster in bytes than in wide characters
    if len(data) - len(data.translate(None, MARKS)) != rows * (columns + 2) + nulls:
        return None
    if b"," in data:  # as JSON has, and it is found at once
        return _escape(data)
    csv = data.translate(TRIAL)
    return _escape(data) if ESCAPED in csv else csv


def _escape(data: bytes) -> bytes:
    for code, escape in ESCAPES.items():  # the backslash first, with which the others are escaped
        data = data.replace(chr(code).encode(), escape.encode())
    return data.translate(FINAL)
