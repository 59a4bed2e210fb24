"""DDL: the statements that change a replica's columns, made from its mapping.

What the server can do without a copy of the table: a column is added at once, a longer VARCHAR or VARBINARY is a
matter of the table's description, as long as its length takes as many bytes as before. `ALGORITHM` and `LOCK` are said,
so that a server that cannot refuses, instead of keeping imports from their table for as long as a copy takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dynaurora.aurora.sql import GENERATION, quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dynaurora.mappings.mapping import Column, Mapping

INSTANT: Final = "ALGORITHM=INSTANT"
ONLINE: Final = "ALGORITHM=INPLACE, LOCK=NONE"


def add_to_replica(mapping: Mapping, columns: Iterable[Column], how: str, *, generation: bool = False) -> str:
    """Return the one statement that gives a replica columns, and that of generations where it is wanted.

    One statement, since the server counts those that it did at once (`count_row_versions`).
    """
    added = [f"ADD COLUMN {quote(column.name)} {column.type.sql} NULL" for column in columns]
    first = [f"ADD COLUMN {GENERATION} AFTER `_version`"] if generation else []
    return _alter(mapping, [*first, *added], how)


def widen_in_replica(mapping: Mapping, column: Column, collation: str | None, comment: str = "") -> str:
    """Return the statement that makes a column of the replica longer, with its collation and comment as they are."""
    collated = f" CHARACTER SET utf8mb4 COLLATE {collation}" if column.type.is_text else ""
    nullable = "NOT NULL" if column in mapping.key_columns else "NULL"
    text = "'" + comment.replace("\\", "\\\\").replace("'", "''") + "'"
    noted = f" COMMENT {text}" if comment else ""
    definition = f"{quote(column.name)} {column.type.sql}{collated} {nullable}{noted}"
    return _alter(mapping, [f"MODIFY COLUMN {definition}"], ONLINE)


def drop_from_replica(mapping: Mapping, names: Iterable[str], how: str) -> str:
    """Return the one statement that drops columns of the replica."""
    return _alter(mapping, [f"DROP COLUMN {quote(name)}" for name in names], how)


def rebuild_replica(mapping: Mapping) -> str:
    """Return the statement that writes the replica anew, while imports go on."""
    return _alter(mapping, ["ENGINE=InnoDB"], ONLINE)


def _alter(mapping: Mapping, changes: list[str], how: str) -> str:
    return f"ALTER TABLE {quote(mapping.database)}.{quote(mapping.replica)} {', '.join([*changes, how])}"
