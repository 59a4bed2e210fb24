"""What a row takes of InnoDB's page: a mapping whose rows may take more cannot have its table, or loses imports later.

A row has to be smaller than half a page of 16 KiB (MySQL 8.0 Reference Manual, "InnoDB Limits"). MariaDB holds the
longest row against it when a table is created, MySQL counts milder then and refuses the row that is too long, which
would fail a whole batch. Both take the same rows, so that one rule does for both.

Apart from what `build_mapping` checks: a mapping that is deployed is not held against it, since its rows may be short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dynaurora.errors import InvalidMappingError
from dynaurora.mappings.columns import INLINE_BYTES, OFF_PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.target_columns import Column

LONGEST_ROW: Final = 8125
"""Bytes in a page of 16 KiB: "Row size too large (> 8126)", says the server of the next one."""
ROW_HEADER_BYTES: Final = 5 + 6 + 7
"""Of each row: its header, and the transaction and undo record that wrote it."""
SYSTEM_PAGE_BYTES: Final = 1 + 23 + 8
"""`_deleted` and `_version`, and the number of a staged row, which is longer than the replica's generation."""
MOST_COLUMNS: Final = 1017
"""Of a table (MySQL 8.0 Reference Manual, "InnoDB Limits")."""
SYSTEM_COUNT: Final = 3
NAMED: Final = 5
"""Columns that a message names."""
LONG_TYPE_BYTES: Final = 1 + INLINE_BYTES


def check_page(mapping: Mapping, kept: Sequence[Column] = ()) -> None:
    """Raise InvalidMappingError where InnoDB could refuse the tables of a mapping, or a row in them.

    `kept` are columns that the replica has besides, which an earlier mapping wrote.
    """
    columns = [*mapping.columns, *kept]
    if len(columns) + SYSTEM_COUNT > MOST_COLUMNS:
        problem = f"there are {len(columns)} columns, and a table has room for {MOST_COLUMNS - SYSTEM_COUNT}"
        raise InvalidMappingError(f"{mapping.name} at {mapping.place}.columns: {problem}.")
    octets = count_page_bytes(mapping, kept)
    if octets > LONGEST_ROW:
        problem = f"a row may take {octets} bytes of InnoDB's page, which has room for {LONGEST_ROW}"
        advice = advise(mapping, columns)
        raise InvalidMappingError(f"{mapping.name} at {mapping.place}.columns: {problem}. {advice}")


def count_page_bytes(mapping: Mapping, kept: Sequence[Column] = ()) -> int:
    """Return the most bytes that a row takes of the page, in the replica and where it is staged."""
    keys = set(mapping.key_columns)
    others = [*(column for column in mapping.columns if column not in keys), *kept]
    nulls = (len(others) + 7) // 8
    of_key = sum(count_key_bytes(column) for column in keys)
    return ROW_HEADER_BYTES + SYSTEM_PAGE_BYTES + nulls + of_key + sum(column.type.page_bytes for column in others)


def count_key_bytes(column: Column) -> int:
    """Return the most bytes that a key column takes of the page: a key is never stored off it."""
    octets = column.type.key_bytes or 0
    if column.type.kind in {"VARCHAR", "VARBINARY"}:
        return octets + (1 if octets < OFF_PAGE_BYTES else 2)
    return column.type.fixed_bytes


def advise(mapping: Mapping, columns: Iterable[Column]) -> str:
    """Return what would make the rows shorter, naming the widest columns."""
    others = [column for column in columns if column not in set(mapping.key_columns)]
    widest = sorted(others, key=lambda column: -column.type.page_bytes)
    named = ", ".join(f"{column.name} {column.type.sql}" for column in widest[:NAMED])
    more = f" and {len(widest) - NAMED} others" if len(widest) > NAMED else ""
    most = widest[0].type.page_bytes if widest else 0
    if most > LONG_TYPE_BYTES:
        return (
            f"The widest are {named}, up to {most} bytes each. A TEXT, or a VARCHAR of 64 characters or more, takes"
            f" {LONG_TYPE_BYTES}: make them so."
        )
    return f"The widest are {named}{more}, up to {most} bytes each. Put some of them into one JSON column."
