"""Memory tables: where a batch is staged whose rows surely have room in the server's memory.

They take each text in its full width, and have no TEXT, BLOB or JSON (MySQL 8.0 Reference Manual, "The MEMORY Storage
Engine"). Where a batch's writer has told how wide its fields are (`dynaurora.mappings.field_widths`), text and binary
are bytes there, so many: compared as bytes they are in the order of the keys' collation, and the replica's columns take
them for text again. A field that is wider than was told is refused by the load, which then goes to a table on disk.

All imports together take a share of the memory that the server has at its smallest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dynaurora.aurora import sql
from dynaurora.aurora.connection import is_mariadb
from dynaurora.mappings.columns import BLOB_BYTES, TEXT_BYTES
from dynaurora.mappings.field_widths import MEASURED_KINDS

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.target_columns import Column

SMALLEST_MEMORY_BYTES: Final = 2**30
"""Of Aurora Serverless at half an ACU, the least that it works with; an ACU has about 2 GiB (Amazon Aurora User Guide,
"How Aurora Serverless v2 works")."""
MEMORY_SHARE: Final = 0.05
"""Of that, for rows that are staged by all imports at once."""
MEMORY_STEP_BYTES: Final = 1024
"""A bound of tables in memory is a multiple of it; another one is refused in strict mode (MySQL 8.0 Reference Manual,
"Server System Variables", `max_heap_table_size`)."""
ROW_OVERHEAD_BYTES: Final = 64
"""Of a row there, besides its columns and version: its mark, what blocks waste, and a number and its index, if any."""
WIDTH_BYTES: Final = 3
"""Of a column whose width was told, most, beside the bytes of its value: its length, and whether it is NULL."""
MAX_ROW_BYTES: Final = 65_535
"""Of a row of any table (MySQL 8.0 Reference Manual, "Limits on Table Column Count and Row Size")."""
Widths = tuple[int, ...]
"""The most bytes of any field, by column; none where nobody has told."""


def room_in_memory(slots: int) -> int:
    """Return the bytes that an import's rows may take in the server's memory, where so many may import at once.

    0 where any number may, as 0 slots have it: nothing would bound what they take together.
    """
    room = int(SMALLEST_MEMORY_BYTES * MEMORY_SHARE) // slots if slots else 0
    return room // MEMORY_STEP_BYTES * MEMORY_STEP_BYTES


def memory_rows(aurora: Aurora, mapping: Mapping, room: int, widths: Widths = ()) -> int:
    """Return how many rows of a target have room in so many bytes of the server's memory; 0 where none may be there.

    MariaDB gains nothing from full widths (`benchmarks/README.md`).
    """
    kinds = {column.type.kind for column in mapping.columns}
    is_wide = not widths and (is_mariadb(aurora.server_version) or kinds & (TEXT_BYTES.keys() | BLOB_BYTES.keys()))
    if is_wide or "JSON" in kinds:
        return 0
    octets = sum(_memory_bytes(column, width) for column, width in pair_widths(mapping, widths))
    octets += sql.VERSION_BYTES + ROW_OVERHEAD_BYTES
    return room // octets if octets <= MAX_ROW_BYTES else 0


def pair_widths(mapping: Mapping, widths: Widths) -> list[tuple[Column, int | None]]:
    """Return the columns with the bytes that each is made to hold; None where that is its type's to say."""
    if not widths:
        return [(column, None) for column in mapping.columns]
    pairs = zip(mapping.columns, widths, strict=True)
    return [(column, max(1, width) if column.type.kind in MEASURED_KINDS else None) for column, width in pairs]


def create_in_memory(mapping: Mapping, collation: str, widths: Widths = (), *, numbered: bool = False) -> str:
    """Return the statement that creates the temporary table in the server's memory, without a key unless numbered.

    Nothing is looked up there, and numbering its rows takes MariaDB a fifth of the load (`benchmarks/README.md`).
    """
    keys = set(mapping.key_columns)
    narrow = {
        column.name: f"{sql.quote(column.name)} VARBINARY({width}) {'NOT NULL' if column in keys else 'NULL'}"
        for column, width in pair_widths(mapping, widths)
        if width is not None
    }
    return sql.create_in_engine(mapping, collation, "MEMORY", narrow, numbered=numbered)


def bound_memory(octets: int) -> str:
    """Return the statement that has tables in memory that the session creates take so many bytes at most."""
    return f"SET SESSION max_heap_table_size = {octets}"


def _memory_bytes(column: Column, width: int | None) -> int:
    return column.type.row_bytes if width is None else width + WIDTH_BYTES
