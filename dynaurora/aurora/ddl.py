"""DDL: the statements that change a replica's columns, made from its mapping.

What the server can do without a copy of the table: a column is added at once, a longer VARCHAR or VARBINARY is a
matter of the table's description, as long as its length takes as many bytes as before. `ALGORITHM` and `LOCK` are said,
so that a server that cannot refuses, instead of keeping imports from their table for as long as a copy takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dynaurora.aurora.sql import GENERATION, comment_of, define_index, define_type, quote, write_comment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dynaurora.aurora.replica_columns import FoundColumn
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.target_columns import Column, Index

INSTANT: Final = "ALGORITHM=INSTANT"
ONLINE: Final = "ALGORITHM=INPLACE, LOCK=NONE"


def add_to_replica(mapping: Mapping, columns: Iterable[Column], how: str, *, generation: bool = False) -> str:
    """Return the one statement that gives a replica columns, and that of generations where it is wanted.

    One statement, since the server counts those that it did at once (`count_row_versions`).
    """
    added = [
        f"ADD COLUMN {quote(column.name)} {define_type(column)} NULL{write_comment(comment_of(column))}"
        for column in columns
    ]
    first = [f"ADD COLUMN {GENERATION} AFTER `_version`"] if generation else []
    return _alter(mapping, [*first, *added], how)


def widen_in_replica(mapping: Mapping, column: Column, collation: str | None, comment: str = "") -> str:
    """Return the statement that makes a column of the replica longer, with its collation and comment as they are."""
    return _alter(mapping, [_modify(mapping, column, collation, comment)], ONLINE)


def comment_in_replica(mapping: Mapping, column: Column, found: FoundColumn) -> str:
    """Return the statement that gives a column of the replica its comment, and leaves all else as it is."""
    collation = None if column.type.kind == "JSON" else found.collation
    return _alter(mapping, [_modify(mapping, column, collation, comment_of(column))], ONLINE)


def _modify(mapping: Mapping, column: Column, collation: str | None, comment: str) -> str:
    collated = f" CHARACTER SET {collation.partition('_')[0]} COLLATE {collation}" if collation else ""
    nullable = "NOT NULL" if column in mapping.key_columns else "NULL"
    return f"MODIFY COLUMN {quote(column.name)} {column.type.sql}{collated} {nullable}{write_comment(comment)}"


def add_indexes(mapping: Mapping, indexes: Iterable[Index], replaced: Iterable[str]) -> str:
    """Return the one statement that gives a replica indexes, in the place of some; it reads all rows meanwhile."""
    gone = [f"DROP INDEX {quote(name)}" for name in replaced]
    return _alter(mapping, [*gone, *(f"ADD {define_index(index)}" for index in indexes)], ONLINE)


def drop_indexes(mapping: Mapping, names: Iterable[str]) -> str:
    """Return the one statement that drops indexes of the replica."""
    return _alter(mapping, [f"DROP INDEX {quote(name)}" for name in names], ONLINE)


def drop_from_replica(mapping: Mapping, names: Iterable[str], how: str) -> str:
    """Return the one statement that drops columns of the replica."""
    return _alter(mapping, [f"DROP COLUMN {quote(name)}" for name in names], how)


def rebuild_replica(mapping: Mapping) -> str:
    """Return the statement that writes the replica anew, while imports go on."""
    return _alter(mapping, ["ENGINE=InnoDB"], ONLINE)


def _alter(mapping: Mapping, changes: list[str], how: str) -> str:
    return f"ALTER TABLE {quote(mapping.database)}.{quote(mapping.replica)} {', '.join([*changes, how])}"
