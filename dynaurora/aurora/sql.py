"""SQL: every statement on the target's tables, made from its mapping.

Identifiers come from a checked mapping and are quoted in backticks; values are bound. Every statement runs on
Aurora MySQL 3, MySQL 8 and MariaDB alike; what differs between servers is the name of the key collation, and how a user
changes a password of theirs.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from dynaurora.aurora.connection import is_mariadb
from dynaurora.dynamodb.versions import SEQUENCE_RANGE
from dynaurora.mappings.csv_format import FORMAT_SQL
from dynaurora.mappings.mapping import INDEX_BYTES
from dynaurora.mappings.target_columns import CHANGED_AT_MS

if TYPE_CHECKING:
    from dynaurora.aurora.origins import Origin
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.target_columns import Column, Index

STAGED = "_dynaurora_staged"
"""The temporary table that a batch is loaded into; each connection has its own. Names of permanent ones begin so."""
EXPECTED = "_dynaurora_expected"
"""The one that the replica is compared with."""
PROBE = "_dynaurora_probe"
"""The one that a line is loaded into, to see whether the server can."""
PERMANENT_PROBE = "_dynaurora_permanent_probe"
"""The same, where the server does not load into temporary tables."""
TABLE_NAME_CHARACTERS = 64
"""Most of a table's name (MySQL 8.0 Reference Manual, "Identifier Length Limits")."""
GENERATION = "`_mapping` INT UNSIGNED NOT NULL DEFAULT 0"
"""The replica's column for the generation of the mapping that wrote a row."""
VERSION_BYTES = 23
"""Of a DECIMAL(50,0) (MySQL 8.0 Reference Manual, "Data Type Storage Requirements")."""


MADE_BY = "dynaurora"
"""The comment of an index that a mapping asked for."""
COMMENT_CHARACTERS = 1024
"""Most of a column's comment (MySQL 8.0 Reference Manual, "CREATE TABLE Statement")."""
BEYOND_FIRST_PLANE = re.compile("[\ud800-\udfff\U00010000-\U0010ffff]")
ENUM_COLLATION = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
"""Of an ENUM that is no key: others take members that differ in case or accents for the same."""


def quote(name: str) -> str:
    """Return an identifier in backticks."""
    return "`" + name.replace("`", "``") + "`"


def key_collation(server_version: str) -> str:
    """Return the collation that compares text by bytes and pads nothing, as DynamoDB compares keys.

    `utf8mb4_bin` would not do: it takes "a" and "a " for the same key.
    """
    return "utf8mb4_nopad_bin" if is_mariadb(server_version) else "utf8mb4_0900_bin"


def set_own_password(server_version: str, new: str, current: str) -> tuple[str, tuple[str, ...]]:
    """Return the statement by which a user, who needs no right for it, gets another password, and its parameters.

    MySQL may be set to want the current one, too (`password_require_current`), and takes it in any case.
    """
    if is_mariadb(server_version):
        return "SET PASSWORD = PASSWORD(%s)", (new,)
    return "ALTER USER USER() IDENTIFIED BY %s REPLACE %s", (new, current)


def create_replica(mapping: Mapping, collation: str) -> str:
    """Return the statement that creates the table of rows, tombstones and versions."""
    definitions = [*_replica_definitions(mapping, collation), *map(define_index, mapping.indexes)]
    return (
        f"CREATE TABLE IF NOT EXISTS {_table(mapping, mapping.replica)} (\n  "
        + ",\n  ".join(definitions)
        + "\n) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 ROW_FORMAT=DYNAMIC"
    )


def create_expected(mapping: Mapping, collation: str) -> str:
    """Return the statement that creates an empty temporary table with the columns and key that the replica has to have.

    The server itself then says how it spells them: `INT` or `int(11)`, JSON as `longtext`.
    """
    return _create_temporary(mapping, _replica_definitions(mapping, collation), EXPECTED)


def drop_expected(mapping: Mapping) -> str:
    """Return the statement that drops it; like creating it, it does not end a transaction."""
    return f"DROP TEMPORARY TABLE IF EXISTS {_table(mapping, EXPECTED)}"


def show_create(mapping: Mapping, table: str) -> str:
    """Return the statement that tells a table's whole definition."""
    return f"SHOW CREATE TABLE {_table(mapping, table)}"


def show_columns(mapping: Mapping, table: str) -> str:
    """Return the statement that tells a table's columns in order: name, type, collation, whether it takes NULL."""
    return f"SHOW FULL COLUMNS FROM {_table(mapping, table)}"


def show_unique_keys(mapping: Mapping, table: str) -> str:
    """Return the statement that tells the columns of a table's unique keys, the primary key first."""
    return f"SHOW INDEX FROM {_table(mapping, table)} WHERE Non_unique = 0"


def show_indexes(mapping: Mapping, table: str) -> str:
    """Return the statement that tells the columns of all of a table's indexes."""
    return f"SHOW INDEX FROM {_table(mapping, table)}"


def define_index(index: Index) -> str:
    """Return the definition of an index that a mapping asks for."""
    return f"INDEX {quote(index.name)} ({', '.join(map(quote, index.columns))}) COMMENT '{MADE_BY}'"


def comment_of(column: Column) -> str:
    """Return the comment that a column has in the database: so long, and of the first plane, as MySQL keeps them."""
    text = BEYOND_FIRST_PLANE.sub("\ufffd", column.description)
    return text if len(text) <= COMMENT_CHARACTERS else f"{text[: COMMENT_CHARACTERS - 1]}…"


def write_comment(text: str) -> str:
    """Return the clause of a comment; nothing where there is none."""
    return " COMMENT '" + text.replace("\\", "\\\\").replace("'", "''") + "'" if text else ""


def create_view(mapping: Mapping) -> str:
    """Return the statement that creates the view of the rows that exist: what people query."""
    return (
        f"CREATE OR REPLACE VIEW {_table(mapping, mapping.table)} AS SELECT {_names(mapping.columns)}"
        f" FROM {_table(mapping, mapping.replica)} WHERE NOT {quote('_deleted')}"
    )


def drop_view(mapping: Mapping) -> str:
    """Return the statement that drops the view, where there is one."""
    return f"DROP VIEW IF EXISTS {_table(mapping, mapping.table)}"


def create_staged(mapping: Mapping, collation: str, *, numbered: bool = False) -> str:
    """Return the statement that creates the temporary table a batch is loaded into.

    Its key is the replica's with the version, the newest first: the order of the merge. Of lines with the same key and
    version it keeps one, unless rows are to be numbered. Numbered too, and sorted by the merge, are those whose key
    would be longer than a key may be. (A table without a key would be numbered by the server, or refused:
    `sql_require_primary_key`.)
    """
    octets = sum(column.type.key_bytes or 0 for column in mapping.key_columns)
    if numbered or octets + VERSION_BYTES > INDEX_BYTES:
        return _create_temporary(mapping, _numbered_definitions(mapping, collation))
    key = f"PRIMARY KEY ({_names(mapping.key_columns)}, `_version` DESC)"
    return _create_temporary(mapping, [*_definitions(mapping, collation), key])


def create_in_engine(
    mapping: Mapping, collation: str, engine: str, others: dict[str, str], *, numbered: bool = False
) -> str:
    """Return the statement that creates the temporary table in a storage engine, without a key unless it is numbered.

    `others` has the definitions of columns that have another one than by their types, by name.
    """
    definitions = (_numbered_definitions if numbered else _definitions)(mapping, collation)
    first = len(definitions) - len(mapping.columns)
    columns = zip(mapping.columns, definitions[first:], strict=True)
    definitions[first:] = [others.get(column.name, definition) for column, definition in columns]
    return _create(f"TEMPORARY TABLE {_table(mapping, STAGED)}", definitions, engine)


def create_permanent(mapping: Mapping, table: str, collation: str) -> str:
    """Return the statement that creates a permanent table for batches to be loaded into, its rows numbered."""
    return _create(f"TABLE {_table(mapping, table)}", _numbered_definitions(mapping, collation))


def name_staged(mapping: Mapping, slot: int) -> str:
    """Return the name of the permanent table of a slot: the target's in it, or its digest where that is too long."""
    name = f"{STAGED}_{mapping.table}_{slot}"
    if len(name) <= TABLE_NAME_CHARACTERS:
        return name
    return f"{STAGED}_{hashlib.sha256(mapping.table.encode()).hexdigest()[:32]}_{slot}"


def empty_staged(mapping: Mapping, table: str) -> str:
    """Return the statement that empties a permanent table.

    TRUNCATE would be faster, and take the DROP privilege, which the loader has of nothing.
    """
    return f"DELETE FROM {_table(mapping, table)}"


def drop_table(mapping: Mapping, table: str) -> str:
    """Return the statement that drops a permanent table."""
    return f"DROP TABLE IF EXISTS {_table(mapping, table)}"


def load_staged(mapping: Mapping, table: str = STAGED, label: str = "") -> str:
    """Return the statement that loads a batch's objects; its one parameter is the URI of their manifest.

    Of objects whose lines have labels, `<target>.<short digest>`, it loads those of one and passes over the others.
    Without IGNORE, and in strict SQL mode, a line that does not fit fails the load. REPLACE is for a change that was
    delivered twice: two lines with the same key and version.
    """
    fields = ["`_deleted`", "`_version`"]
    decoded = []
    for position, column in enumerate(mapping.columns):
        if column.type.is_binary:
            fields.append(f"@field_{position}")
            decoded.append(f"{quote(column.name)} = FROM_BASE64(@field_{position})")
        else:
            fields.append(quote(column.name))
    return (
        f"LOAD DATA FROM S3 MANIFEST %s REPLACE INTO TABLE {_table(mapping, table)} CHARACTER SET utf8mb4"
        f" {format_of(label)} ({', '.join(fields)})" + (f" SET {', '.join(decoded)}" if decoded else "")
    )


def format_of(label: str) -> str:
    """Return the format of a batch as a load says it: of all lines, or of those that begin with a label."""
    return FORMAT_SQL.replace(" LINES ", rf" LINES STARTING BY '\Z{label},' ") if label else FORMAT_SQL


def merge_staged(origin: Origin, table: str = STAGED, rows: range | None = None) -> str:
    """Return the statement that brings the staged rows into the replica, the highest version of a key winning.

    At the same version the newer generation wins. `rows` are the numbers of those to bring, where not all are. Sorted
    by key, concurrent merges take their row locks in one order and do not deadlock; sorted by version, the newest
    first, each row is written once at most. `_version` is assigned last and `_mapping` before it, since each
    assignment sees the ones before it (MySQL 8.0 Reference Manual, "INSERT ... ON DUPLICATE KEY UPDATE Statement").
    """
    mapping = origin.mapping
    replica, staged = quote(mapping.replica), quote(STAGED)
    others = [column for column in mapping.columns if column not in set(mapping.key_columns)]
    # What the time of the change depends on is assigned after it.
    others.sort(key=lambda column: column.source != CHANGED_AT_MS)
    values = {quote(column.name): _new_value(origin, column) for column in others}
    values |= {"`_deleted`": f"{staged}.`_deleted`"}
    values |= dict.fromkeys(map(quote, origin.later), "NULL")
    values |= {"`_mapping`": str(origin.generation)}
    wins = (
        f"{staged}.`_version` > {replica}.`_version`"
        f" OR {staged}.`_version` = {replica}.`_version` AND {replica}.`_mapping` < {origin.generation}"
    )
    updates = [f"{replica}.{name} = IF({wins}, {value}, {replica}.{name})" for name, value in values.items()]
    updates.append(f"{replica}.`_version` = GREATEST({staged}.`_version`, {replica}.`_version`)")
    return f"{_insert_staged(origin, table, rows)}\nON DUPLICATE KEY UPDATE\n  " + ",\n  ".join(updates)


def _new_value(origin: Origin, column: Column) -> str:
    """Return what a column gets of a row that wins.

    That is what was staged. A time of the change stays what it was where a view of the table brings nothing else that
    is new: the row is only completed, or seen again. (Versions of views are whole seconds, of sequence 0.)
    """
    staged, replica = quote(STAGED), quote(origin.mapping.replica)
    name = quote(column.name)
    if column.source != CHANGED_AT_MS:
        return f"{staged}.{name}"
    conditions = [
        f"MOD({staged}.`_version`, {SEQUENCE_RANGE}) = 0",
        f"{replica}.`_mapping` BETWEEN {origin.since.get(column.name, 0)} AND {origin.generation}",
        f"NOT ({staged}.`_deleted` OR {replica}.`_deleted`)",
        *(
            _is_the_same(origin, other)
            for other in origin.mapping.columns
            if other.source != CHANGED_AT_MS and other not in set(origin.mapping.key_columns)
        ),
    ]
    return f"IF({' AND '.join(conditions)}, {replica}.{name}, {staged}.{name})"


def _is_the_same(origin: Origin, column: Column) -> str:
    """Return whether a column has what was staged, byte by byte; or was not written yet when the row was."""
    one, other = (f"{quote(table)}.{quote(column.name)}" for table in (origin.mapping.replica, STAGED))
    if column.type.is_text:
        one, other = f"CAST({one} AS BINARY)", f"CAST({other} AS BINARY)"
    since = origin.since.get(column.name, 0)
    unwritten = f"{quote(origin.mapping.replica)}.`_mapping` < {since} OR " if since else ""
    return f"({unwritten}{one} <=> {other})"


def insert_staged(origin: Origin, table: str = STAGED, rows: range | None = None) -> str:
    """Return the statement that brings those staged rows into the replica whose keys it does not have.

    It affects each of them once, and no other row: so it counts them.
    """
    version = f"{quote(origin.mapping.replica)}.`_version`"
    return f"{_insert_staged(origin, table, rows)}\nON DUPLICATE KEY UPDATE\n  {version} = {version}"


def carry_tombstones(first: Mapping, second: Mapping) -> str:
    """Return the statement that brings the tombstones of one replica into another of the same keys.

    The highest version of a key wins, as in `merge_staged`.
    """
    one, other = quote(first.replica), quote(second.replica)
    wins = f"{one}.`_version` > {other}.`_version`"
    values = {quote(column.name): "NULL" for column in second.columns if column not in set(second.key_columns)}
    values |= {"`_deleted`": "TRUE", "`_mapping`": f"{one}.`_mapping`"}
    updates = [f"{other}.{name} = IF({wins}, {value}, {other}.{name})" for name, value in values.items()]
    updates.append(f"{other}.`_version` = GREATEST({one}.`_version`, {other}.`_version`)")
    keys = ", ".join(f"{one}.{quote(column.name)}" for column in first.key_columns)
    return (
        f"INSERT INTO {_table(second, second.replica)} ({_names(second.key_columns)}, `_deleted`, `_version`,"
        f" `_mapping`)\nSELECT {keys}, TRUE, {one}.`_version`, {one}.`_mapping` FROM {_table(first, first.replica)}"
        f" WHERE {one}.`_deleted` ORDER BY {keys}\nON DUPLICATE KEY UPDATE\n  " + ",\n  ".join(updates)
    )


def select_row_count(mapping: Mapping, table: str = STAGED) -> str:
    """Return the query for the number of the staged rows."""
    return f"SELECT COUNT(*) FROM {_table(mapping, table)}"


def select_count_and_oldest_version(mapping: Mapping, table: str = STAGED) -> str:
    """Return the query for the number of the staged rows and the lowest of their versions."""
    return f"SELECT COUNT(*), MIN({quote('_version')}) FROM {_table(mapping, table)}"


def drop_staged(mapping: Mapping) -> str:
    """Return the statement that drops the temporary table; like creating it, it does not end a transaction."""
    return f"DROP TEMPORARY TABLE IF EXISTS {_table(mapping, STAGED)}"


def select_rows(mapping: Mapping) -> str:
    """Return the statement that reads the view's rows in the order of their keys."""
    table = _table(mapping, mapping.table)
    return f"SELECT {_names(mapping.columns)} FROM {table} ORDER BY {_names(mapping.key_columns)}"


def select_older_keys(mapping: Mapping) -> str:
    """Return the query for the keys of the rows that exist and are below a version, its one parameter.

    Keys are as a batch's fields have them: text, and base64 of what is binary, which MySQL breaks into lines.
    """
    fields = (
        rf"REPLACE(TO_BASE64({quote(column.name)}), '\n', '')"
        if column.type.is_binary
        else f"CAST({quote(column.name)} AS CHAR)"
        for column in mapping.key_columns
    )
    return (
        f"SELECT {', '.join(fields)} FROM {_table(mapping, mapping.replica)}"
        f" WHERE NOT {quote('_deleted')} AND {quote('_version')} < %s ORDER BY {_names(mapping.key_columns)}"
    )


def select_nothing(mapping: Mapping) -> str:
    """Return a query of the view that gives no row: it fails where the view is missing or is another one."""
    return f"SELECT {_names(mapping.columns)} FROM {_table(mapping, mapping.table)} LIMIT 0"


def change_nothing(mapping: Mapping) -> list[str]:
    """Return statements that take the rights of an import and change no row."""
    replica = _table(mapping, mapping.replica)
    fields = ", ".join(map(quote, _field_names(mapping)))
    return [
        f"INSERT INTO {replica} ({fields}) SELECT {fields} FROM {replica} WHERE FALSE",
        f"UPDATE {replica} SET `_version` = `_version` WHERE FALSE",
        f"DELETE FROM {replica} WHERE FALSE",
    ]


def create_probe(mapping: Mapping, engine: str = "InnoDB") -> str:
    """Return the statement that creates a temporary table for one number."""
    return f"CREATE TEMPORARY TABLE {_table(mapping, PROBE)} (`value` INT NOT NULL PRIMARY KEY) ENGINE={engine}"


def create_permanent_probe(mapping: Mapping) -> str:
    """Return the statement that creates a permanent table for one number, where it is not there."""
    table = _table(mapping, PERMANENT_PROBE)
    return f"CREATE TABLE IF NOT EXISTS {table} (`value` INT NOT NULL PRIMARY KEY) ENGINE=InnoDB"


def load_probe(mapping: Mapping, table: str = PROBE) -> str:
    """Return the statement that loads numbers into one of them; its one parameter is the URI of their manifest."""
    return f"LOAD DATA FROM S3 MANIFEST %s INTO TABLE {_table(mapping, table)} {FORMAT_SQL} (`value`)"


def _insert_staged(origin: Origin, table: str, rows: range | None) -> str:
    mapping, staged = origin.mapping, quote(STAGED)
    order = "".join(f"{staged}.{quote(column.name)}, " for column in mapping.key_columns) + f"{staged}.`_version` DESC"
    fields = ", ".join(f"{staged}.{quote(name)}" for name in _field_names(mapping))
    numbers = f" WHERE {staged}.`_row` BETWEEN {rows[0]} AND {rows[-1]}" if rows else ""
    return (
        f"INSERT INTO {_table(mapping, mapping.replica)} ({', '.join(map(quote, _field_names(mapping)))}, `_mapping`)\n"
        f"SELECT {fields}, {origin.generation} FROM {_table(mapping, table)} AS {staged}{numbers} ORDER BY {order}"
    )


def _create_temporary(mapping: Mapping, definitions: list[str], table: str = STAGED) -> str:
    return _create(f"TEMPORARY TABLE {_table(mapping, table)}", definitions)


def _create(what: str, definitions: list[str], engine: str = "InnoDB") -> str:
    rows = " ROW_FORMAT=DYNAMIC" if engine == "InnoDB" else ""
    columns = ",\n  ".join(definitions)
    return f"CREATE {what} (\n  {columns}\n) ENGINE={engine} DEFAULT CHARACTER SET utf8mb4{rows}"


def _replica_definitions(mapping: Mapping, collation: str) -> list[str]:
    deleted, version, *columns = _definitions(mapping, collation)
    columns = [
        definition + write_comment(comment_of(column))
        for definition, column in zip(columns, mapping.columns, strict=True)
    ]
    return [deleted, version, GENERATION, *columns, f"PRIMARY KEY ({_names(mapping.key_columns)})"]


def _numbered_definitions(mapping: Mapping, collation: str) -> list[str]:
    return ["`_row` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY", *_definitions(mapping, collation)]


def _definitions(mapping: Mapping, collation: str) -> list[str]:
    return [
        "`_deleted` BOOLEAN NOT NULL",
        "`_version` DECIMAL(50,0) NOT NULL",
        *(_definition(column, collation if column in mapping.key_columns else None) for column in mapping.columns),
    ]


def _definition(column: Column, key_collation: str | None) -> str:
    definition = f"{quote(column.name)} {define_type(column)}"
    if key_collation is None:
        return f"{definition} NULL"  # said aloud: a TIMESTAMP would otherwise be NOT NULL on some servers
    collated = f" CHARACTER SET utf8mb4 COLLATE {key_collation}" if column.type.is_text else ""
    return f"{definition}{collated} NOT NULL"


def define_type(column: Column) -> str:
    """Return a column's type, with the collation where the type needs one."""
    return column.type.sql + (ENUM_COLLATION if column.type.kind == "ENUM" else "")


def _field_names(mapping: Mapping) -> list[str]:
    return ["_deleted", "_version", *(column.name for column in mapping.columns)]


def _names(columns: tuple[Column, ...]) -> str:
    return ", ".join(quote(column.name) for column in columns)


def _table(mapping: Mapping, name: str) -> str:
    return f"{quote(mapping.database)}.{quote(name)}"
