"""Writing many rows at once: their text is made with separators of its own, then escaped in one go.

A field's text may hold anything. So rows are joined with control characters that texts hardly ever have, counted
afterwards: if there are exactly as many as were put in, none came from a text. What the format escapes is then escaped
in all of the text, and the separators become the format's. (`dynaurora.mappings.csv_format` says what the format is.)

A field that is JSON has a mark in its place. The documents of all rows are written by one call, and then put in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Raw

from dynaurora.mappings.compiled.json_values import encode_documents
from dynaurora.mappings.csv_format import ESCAPES

if TYPE_CHECKING:
    from dynaurora.mappings.rows import Row

FIELD_END = "\x1f"
ROW_END = "\x1e"
NULL_MARK = "\x1d"
NULL_TEXT = f"{NULL_MARK}N"
DOCUMENT_MARK = "\x1c"
"""Stands for a field whose document is handed over beside the rows."""
NULL_DOCUMENT = Raw(NULL_TEXT)
"""A document that makes a NULL."""
MARKS = f"{FIELD_END}{ROW_END}{NULL_MARK}{DOCUMENT_MARK}".encode()
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


def finish_rows(marked: str, documents: list[Any], rows: int, columns: int, nulls: int) -> bytes | None:
    """Return the CSV of rows that are joined; None where a text has one of the separators in it.

    `documents` are the JSON values whose marks are in the rows, in their order; `nulls` are counted without theirs.
    """
    data = marked.encode()  # all that is looked for is ASCII, which is found faster in bytes than in wide characters
    if len(data) - len(data.translate(None, MARKS)) != rows * (columns + 2) + nulls + len(documents):
        return None
    csv = data.translate(TRIAL)
    if ESCAPED in csv:
        csv = _escape(data)
    return _put_in(csv, documents) if documents else csv


def _escape(data: bytes) -> bytes:
    for code, escape in ESCAPES.items():  # the backslash first, with which the others are escaped
        data = data.replace(chr(code).encode(), escape.encode())
    return data.translate(FINAL)


def _put_in(csv: bytes, documents: list[Any]) -> bytes:
    """Return the CSV with the JSON of documents where their marks are: in JSON, all else that is escaped is already."""
    lines = encode_documents(documents).replace(b"\\", rb"\\").replace(b",", rb"\,").replace(NULL_MARK.encode(), b"\\")
    pieces = [b""] * (2 * len(documents) + 1)
    pieces[::2] = csv.split(DOCUMENT_MARK.encode())
    pieces[1::2] = lines[:-1].split(b"\n")
    return b"".join(pieces)
