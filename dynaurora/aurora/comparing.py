"""Comparing: statements that look rows up by their keys, that compare what is staged, and that walk through the rows.

Of a key that is to be remembered they give a digest, eight bytes: so that one table (`dynaurora.aurora.seen_keys`)
serves targets of any key. Of a row that is none of its item's, it would be taken for one with a chance of one in
eighteen trillion for each million of rows. What is told of many rows is told in one value, entry after entry without
anything between: a server takes as long for a row that it sends as for comparing it.
"""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora.sql import quote
from dynaurora.mappings.columns import INTEGER_BITS
from dynaurora.mappings.target_columns import CHANGED_AT_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dynaurora.aurora.origins import Origin
    from dynaurora.mappings.columns import ColumnType, Field
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.target_columns import Column

SYSTEM_FIELDS: Final = 4
"""Of a row that is looked up, the fields before its columns: whether it is a tombstone, its version, the generation of
its mapping, and the digest of its key."""
DIGEST_BYTES: Final = 8
NO_DIGEST: Final = f"X'{'00' * DIGEST_BYTES}'"
"""Of what is not to be remembered."""
CODE_BYTES: Final = 2
"""Of a verdict: its first two letters tell it from all others."""
MOST_TOLD_BYTES: Final = 8 * 1024**2
"""Of one value that tells of many rows: of 800,000, where no batch has more than 50,000."""
ALLOW_LONG_VALUES: Final = f"SET SESSION group_concat_max_len = {MOST_TOLD_BYTES}"


def as_parameter(kind: ColumnType, field: Field) -> Any:
    """Return a field as a parameter that is compared with its column as a value of the column's type.

    A number that is given as text would be compared as a double (MySQL 8.0 Reference Manual, "Type Conversion in
    Expression Evaluation").
    """
    if field is None:
        return None
    if kind.is_binary:
        return base64.b64decode(field)
    if kind.kind in INTEGER_BITS or kind.kind in {"BOOLEAN", "YEAR"}:
        return int(field)
    return Decimal(field) if kind.kind in {"DECIMAL", "DOUBLE"} else field


def select_by_keys(mapping: Mapping, count: int) -> str:
    """Return the query for so many rows by their keys, tombstones too: the system fields, then the columns in order."""
    names = ", ".join(quote(column.name) for column in mapping.columns)
    fields = f"`_deleted`, `_version`, `_mapping`, {digest_key(mapping)}, {names}"
    return f"SELECT {fields} FROM {_replica(mapping)} WHERE {_is_one_of(mapping, count)}"


def digest_key(mapping: Mapping, table: str = "") -> str:
    """Return the digest of a row's key, DIGEST_BYTES: equal where all bytes of it are."""
    place = f"{quote(table)}." if table else ""
    texts = [_as_bytes(column, place) for column in mapping.key_columns]
    whole = texts[0] if len(texts) == 1 else f"CONCAT(LENGTH({texts[0]}), ':', {', '.join(texts)})"
    return f"UNHEX(LEFT(SHA2({whole}, 256), {2 * DIGEST_BYTES}))"


def select_boundary(mapping: Mapping, *, is_first: bool) -> str:
    """Return the query for the key that so many rows further on is: after a key, unless it is the first one."""
    where = "" if is_first else f" WHERE {_is_after(mapping)}"
    names = ", ".join(_names(mapping))
    return f"SELECT {_key_fields(mapping)} FROM {_replica(mapping)}{where} ORDER BY {names} LIMIT 1 OFFSET %s"


def select_written(mapping: Mapping, *, is_first: bool, is_last: bool) -> str:
    """Return the query for the rows that exist and have versions from one to below another: version, then the key.

    Its parameters are the two versions, then the two keys as far as there are any.
    """
    return (
        f"SELECT `_version`, {_key_fields(mapping)} FROM {_replica(mapping)}"
        f" WHERE NOT `_deleted` AND `_version` >= %s AND `_version` < %s{_between(mapping, is_first, is_last)}"
    )


def count_rows(mapping: Mapping, *, is_first: bool, is_last: bool) -> str:
    """Return the query for the number of rows that exist, after a key and up to another."""
    return f"SELECT COUNT(*) FROM {_replica(mapping)} WHERE NOT `_deleted`{_between(mapping, is_first, is_last)}"


def select_tombstones(mapping: Mapping, *, is_first: bool, is_last: bool) -> str:
    """Return the query for the keys, as fields, of the tombstones below a version, after a key and up to another."""
    return (
        f"SELECT {_key_fields(mapping)} FROM {_replica(mapping)}"
        f" WHERE `_deleted` AND `_version` < %s{_between(mapping, is_first, is_last)}"
    )


def delete_tombstones(mapping: Mapping, count: int) -> str:
    """Return the statement that deletes those of so many rows, by their keys, that are tombstones below a version.

    It names the index: a scan would wait for every row that an import is writing.
    """
    table = f"{_replica(mapping)} FROM {_replica(mapping)} FORCE INDEX (PRIMARY)"
    return f"DELETE {table} WHERE {_is_one_of(mapping, count)} AND `_deleted` AND `_version` < %s"


def tell_digests(mapping: Mapping, *, is_first: bool, is_last: bool, of_snapshot: bool) -> str:
    """Return the query for the rows that exist, after a key and up to another, in two values; NULL where none are.

    Of each row, in the same order: a byte, 1 where it is no older than a snapshot; and the digest of its key. Its
    parameters are, where there is a snapshot, its version and the first one that is impossible, which no change has;
    and the two keys as far as there are any.
    """
    newer = "IF(`_version` >= %s AND `_version` < %s, X'01', X'00')" if of_snapshot else "X'00'"
    where = f"NOT `_deleted`{_between(mapping, is_first, is_last)}"
    return f"SELECT {_all_of(newer)}, {_all_of(digest_key(mapping))} FROM {_replica(mapping)} WHERE {where}"


def select_by_digests(mapping: Mapping, count: int, *, is_first: bool, is_last: bool) -> str:
    """Return the query for the keys' fields of the rows that exist and have one of so many digests, in a range."""
    is_one = f"{digest_key(mapping)} IN ({', '.join(['%s'] * count)})"
    where = f"NOT `_deleted`{_between(mapping, is_first, is_last)} AND {is_one}"
    return f"SELECT {_key_fields(mapping)} FROM {_replica(mapping)} WHERE {where}"


def range_parameters(mapping: Mapping, after: Sequence[str] | None, upto: Sequence[str] | None) -> tuple[Any, ...]:
    """Return the parameters of a range between two keys, given as fields; None for no end."""
    return tuple(value for key in (after, upto) if key is not None for value in _bounds(mapping, key))


def tell_verdicts(origin: Origin, staged: str, *, mariadb: bool, future: int) -> str:
    """Return the query for what staged rows are, compared with the replica's, in two values.

    Of each row, in the same order: CODE_BYTES of its verdict; and the digest of its key in the replica, NO_DIGEST where
    it is not there, or the target takes no item of it. `future` is the version from which on one is impossible.
    Verdicts are those of `dynaurora.verification`.
    """
    code = f"LEFT({_judge_staged(origin, mariadb, future)}, {CODE_BYTES})"
    digest = f"IF(`staged`.`_deleted`, {NO_DIGEST}, COALESCE({digest_key(origin.mapping, 'row')}, {NO_DIGEST}))"
    return f"SELECT {_all_of(code)}, {_all_of(digest)} FROM {_staged_and_rows(origin.mapping, staged)}"


def select_suspects(origin: Origin, staged: str, *, mariadb: bool, future: int) -> str:
    """Return the query for so many of the staged rows that are neither equal nor newer nor skipped.

    Each with its verdict, the names of the columns that differ, and the fields of its key.
    """
    mapping = origin.mapping
    names = ", ".join(
        f"IF({is_same}, NULL, '{column.name}')" for column, is_same in _compared(mapping, mariadb=mariadb)
    )
    named = f"CONCAT_WS(','{', ' + names if names else ''})"
    return (
        f"SELECT {_judge_staged(origin, mariadb, future)} AS `verdict`, {named}, {_key_fields(mapping, 'staged')}"
        f" FROM {_staged_and_rows(mapping, staged)}"
        " HAVING `verdict` NOT IN ('identical', 'newer', 'skipped') LIMIT %s"
    )


def _judge_staged(origin: Origin, mariadb: bool, future: int) -> str:
    """Return what a staged row is, by the replica's row of its key, if there is one."""
    is_gone = "(`row`.`_version` IS NULL OR `row`.`_deleted`)"
    is_newer = "`row`.`_version` > `staged`.`_version`"
    is_same = " AND ".join(is_same for _, is_same in _compared(origin.mapping, mariadb=mariadb)) or "TRUE"
    older = f" WHEN `row`.`_mapping` < {origin.generation} THEN 'older_mapping'" if origin.generation > 1 else ""
    return (
        f"CASE WHEN `row`.`_version` >= {future} THEN 'impossible'"
        f" WHEN `staged`.`_deleted` THEN IF({is_gone}, 'skipped', IF({is_newer}, 'newer', 'extra'))"
        f" WHEN {is_gone} THEN IF({is_newer}, 'newer', 'missing')"
        f" WHEN {is_same} THEN 'identical' WHEN {is_newer} THEN 'newer'{older} ELSE 'differing' END"
    )


def _compared(mapping: Mapping, *, mariadb: bool) -> list[tuple[Column, str]]:
    """Return each column that is compared, with whether it has what was staged: text by bytes, JSON by value."""
    others = [column for column in mapping.columns if column not in set(mapping.key_columns)]
    return [(column, _has_same(column, mariadb)) for column in others if column.source != CHANGED_AT_MS]


def _has_same(column: Column, mariadb: bool) -> str:
    one, other = f"`staged`.{quote(column.name)}", f"`row`.{quote(column.name)}"
    if column.type.is_text:
        return f"(CAST({one} AS BINARY) <=> CAST({other} AS BINARY))"
    if column.type.kind == "JSON" and mariadb:  # which keeps its text
        return f"({one} <=> {other} OR COALESCE(JSON_EQUALS({one}, {other}), 0))"
    return f"({one} <=> {other})"


def _staged_and_rows(mapping: Mapping, staged: str) -> str:
    same_key = " AND ".join(f"`row`.{name} = `staged`.{name}" for name in _names(mapping))
    table = f"{quote(mapping.database)}.{quote(staged)} AS `staged`"
    return f"{table} LEFT JOIN {_replica(mapping)} AS `row` ON {same_key}"


def _all_of(expression: str) -> str:
    return f"GROUP_CONCAT({expression} SEPARATOR '')"


def _bounds(mapping: Mapping, key: Sequence[str]) -> tuple[Any, ...]:
    values = [as_parameter(column.type, field) for column, field in zip(mapping.key_columns, key, strict=True)]
    return tuple(values) if len(values) == 1 else (values[0], values[0], values[1])


def _between(mapping: Mapping, is_first: bool, is_last: bool) -> str:
    conditions = ([] if is_first else [_is_after(mapping)]) + ([] if is_last else [_is_up_to(mapping)])
    return "".join(f" AND {condition}" for condition in conditions)


def _is_after(mapping: Mapping) -> str:
    first, *second = _names(mapping)
    # The first part lets the server begin where the key is.
    return f"{first} >= %s AND ({first} > %s OR {second[0]} > %s)" if second else f"{first} > %s"


def _is_up_to(mapping: Mapping) -> str:
    first, *second = _names(mapping)
    return f"{first} <= %s AND ({first} < %s OR {second[0]} <= %s)" if second else f"{first} <= %s"


def _is_one_of(mapping: Mapping, count: int) -> str:
    names = _names(mapping)
    place = ", ".join(["%s"] * len(names))
    if len(names) == 1:
        return f"{names[0]} IN ({', '.join(['%s'] * count)})"
    return f"({', '.join(names)}) IN ({', '.join([f'({place})'] * count)})"


def _key_fields(mapping: Mapping, table: str = "") -> str:
    """Return a row's key as a batch's fields have it: text, and base64 of what is binary, which MySQL breaks."""
    place = f"{quote(table)}." if table else ""
    return ", ".join(
        rf"REPLACE(TO_BASE64({place}{quote(column.name)}), '\n', '')"
        if column.type.is_binary
        else f"CAST({place}{quote(column.name)} AS CHAR)"
        for column in mapping.key_columns
    )


def _as_bytes(column: Column, place: str) -> str:
    name = f"{place}{quote(column.name)}"
    if column.type.is_binary:
        return name
    return f"CAST({name} AS BINARY)" if column.type.is_text else f"CAST(CAST({name} AS CHAR) AS BINARY)"


def _names(mapping: Mapping) -> list[str]:
    return [quote(column.name) for column in mapping.key_columns]


def _replica(mapping: Mapping) -> str:
    return f"{quote(mapping.database)}.{quote(mapping.replica)}"
