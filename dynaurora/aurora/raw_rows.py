"""Raw rows: lines of a batch as text, numbered, in a table that refuses none; and the same rows typed, by ranges.

    raw     `_row`, and the fields as they are in the CSV, in as many LONGTEXT columns as a page has room for; a batch
            with more fields has several of them in each column, as a JSON array
    typed   a temporary table: the rows with the columns and types of their mapping, by the same numbers
    sorted  a temporary table: rows in the order of the merge, numbered anew

The raw table is loaded, so where the server does not load into temporary tables it is a permanent one, the slot's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dynaurora.aurora.sql import STAGED, create_staged, format_of, name_staged, quote

if TYPE_CHECKING:
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.target_columns import Column

RAW: Final = "_dynaurora_raw"
"""The temporary table of raw rows. Names of permanent ones begin so."""
TYPED: Final = "_dynaurora_typed"
SORTED: Final = "_dynaurora_sorted"
RAW_COLUMNS: Final = 150
"""A LONGTEXT has at most 40 bytes in a row's page, and a row there at most 8,126 (MySQL 8.0 Reference Manual, "InnoDB
Row Formats", "InnoDB Limits"): so many always have room."""
FLAG: Final = "^[01]$"
VERSION_TEXT: Final = "^[0-9]{1,50}$"


def name_raw(mapping: Mapping, slot: int) -> str:
    """Return the name of the permanent raw table of a slot."""
    return name_raw_beside(name_staged(mapping, slot))


def name_raw_beside(table: str) -> str:
    """Return the name of the raw table that goes with a table to stage in, temporary or a slot's."""
    return RAW + table.removeprefix(STAGED)


def create_raw(mapping: Mapping, table: str = RAW) -> str:
    """Return the statement that creates a raw table: the temporary one, or one that is named and fits every mapping."""
    kind, count = "TABLE", RAW_COLUMNS
    if table == RAW:
        kind, count = "TEMPORARY TABLE", min(count_fields(mapping), RAW_COLUMNS)
    columns = ", ".join(f"`f{number}` LONGTEXT NULL" for number in range(count))
    return (
        f"CREATE {kind} {_name(mapping, table)} (`_row` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, {columns})"
        " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 ROW_FORMAT=DYNAMIC"
    )


def drop_temporary(mapping: Mapping, table: str) -> str:
    """Return the statement that drops one of the temporary tables; it does not end a transaction."""
    return f"DROP TEMPORARY TABLE IF EXISTS {_name(mapping, table)}"


def load_raw(mapping: Mapping, table: str, label: str = "") -> str:
    """Return the statement that loads a batch's lines as they are; its one parameter is the URI of their manifest."""
    fields = count_fields(mapping)
    packed = _pack(fields)
    if packed == 1:
        names, assignments = [f"`f{number}`" for number in range(fields)], ""
    else:
        names = [f"@field_{number}" for number in range(fields)]
        groups = [names[start : start + packed] for start in range(0, fields, packed)]
        arrays = (f"`f{number}` = JSON_ARRAY({', '.join(group)})" for number, group in enumerate(groups))
        assignments = f" SET {', '.join(arrays)}"
    return (
        f"LOAD DATA FROM S3 MANIFEST %s INTO TABLE {_name(mapping, table)} CHARACTER SET utf8mb4"
        f" {format_of(label)} ({', '.join(names)}){assignments}"
    )


def count_malformed(mapping: Mapping, table: str) -> str:
    """Return the query for the number of raw rows that do not say which row they are, or of which version."""
    keys = [field_text(mapping, column) for column in mapping.key_columns]
    deleted, version = (_field(mapping, number) for number in range(2))
    nulls = " OR ".join(f"{text} IS NULL" for text in (deleted, version, *keys))
    return (
        f"SELECT COUNT(*) FROM {_name(mapping, table)} WHERE {nulls}"
        f" OR NOT {deleted} REGEXP '{FLAG}' OR NOT {version} REGEXP '{VERSION_TEXT}'"
    )


def create_typed(mapping: Mapping, collation: str, table: str = TYPED) -> str:
    """Return the statement that creates the table of typed rows, or of sorted ones."""
    return create_staged(mapping, collation, numbered=True).replace(quote(STAGED), quote(table), 1)


def type_rows(mapping: Mapping, raw: str, rows: range) -> str:
    """Return the statement that brings raw rows, by their numbers, into the typed table."""
    fields = [_field(mapping, 0), _field(mapping, 1)]
    for column in mapping.columns:
        text = field_text(mapping, column)
        fields.append(f"FROM_BASE64({text})" if column.type.is_binary else text)
    return (
        f"INSERT INTO {_name(mapping, TYPED)} (`_row`, {_typed_names(mapping)})"
        f" SELECT `_row`, {', '.join(fields)} FROM {_name(mapping, raw)} WHERE `_row` BETWEEN {rows[0]} AND {rows[-1]}"
    )


def sort_rows(mapping: Mapping, table: str) -> str:
    """Return the statement that brings rows into the sorted table, in the order of their keys, the newest first."""
    keys = ", ".join(quote(column.name) for column in mapping.key_columns)
    names = _typed_names(mapping)
    return (
        f"INSERT INTO {_name(mapping, SORTED)} ({names}) SELECT {names} FROM {_name(mapping, table)}"
        f" ORDER BY {keys}, `_version` DESC"
    )


def select_bounds(mapping: Mapping, table: str) -> str:
    """Return the query for the number of rows, and the first and the last of their numbers."""
    return f"SELECT COUNT(*), COALESCE(MIN(`_row`), 0), COALESCE(MAX(`_row`), 0) FROM {_name(mapping, table)}"


def describe_raw_row(mapping: Mapping, table: str, row: int, column: Column | None) -> str:
    """Return the query for a raw row's version, the length of a column in bytes, and its keys as the CSV has them."""
    length = f"OCTET_LENGTH({field_text(mapping, column)})" if column else "NULL"
    keys = ", ".join(field_text(mapping, column) for column in mapping.key_columns)
    return f"SELECT {_field(mapping, 1)}, {length}, {keys} FROM {_name(mapping, table)} WHERE `_row` = {row}"


def describe_typed_row(mapping: Mapping, table: str, row: int, column: Column | None) -> str:
    """Return the same query of a row that is typed: keys are text, and base64 where they are binary."""
    length = f"OCTET_LENGTH({quote(column.name)})" if column else "NULL"
    keys = ", ".join(
        rf"REPLACE(TO_BASE64({quote(column.name)}), '\n', '')"
        if column.type.is_binary
        else f"CAST({quote(column.name)} AS CHAR)"
        for column in mapping.key_columns
    )
    return f"SELECT `_version`, {length}, {keys} FROM {_name(mapping, table)} WHERE `_row` = {row}"


def count_fields(mapping: Mapping) -> int:
    """Return how many fields a line has."""
    return len(mapping.columns) + 2


def field_text(mapping: Mapping, column: Column) -> str:
    """Return a column's field of a raw row, as SQL."""
    return _field(mapping, mapping.columns.index(column) + 2)


def _pack(fields: int) -> int:
    """Return how many fields a raw column holds."""
    return -(-fields // RAW_COLUMNS)


def _field(mapping: Mapping, number: int) -> str:
    packed = _pack(count_fields(mapping))
    if packed == 1:
        return f"`f{number}`"
    element = f"JSON_EXTRACT(`f{number // packed}`, '$[{number % packed}]')"
    return f"IF(JSON_TYPE({element}) = 'NULL', NULL, JSON_UNQUOTE({element}))"


def _typed_names(mapping: Mapping) -> str:
    return ", ".join(map(quote, ("_deleted", "_version", *(column.name for column in mapping.columns))))


def _name(mapping: Mapping, table: str) -> str:
    return f"{quote(mapping.database)}.{quote(table)}"
