"""Types of a table's keys: as far as a mapping tells them, and where it does not take those that the table has."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from dynaurora.dynamodb.attributes import is_spelled_number, respell_number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as ReadOnlyDict

    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.target_columns import Column

BINARY_KINDS: Final = frozenset({"BINARY", "VARBINARY", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"})
NUMBER_KINDS: Final = frozenset({"TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "DECIMAL", "DOUBLE"})
"""Kinds of columns that take such keys."""

WHOLE_KEY_KINDS: Final = frozenset({"TINYINT", "SMALLINT", "MEDIUMINT", "INT", "INTEGER", "BIGINT"})
TABLE_KINDS: Final[dict[str, tuple[str, frozenset[str]]]] = {
    "S": ("text", frozenset({"CHAR", "VARCHAR", "VARBINARY"})),
    "N": ("a number", frozenset({*WHOLE_KEY_KINDS, "DECIMAL", "CHAR", "VARCHAR"})),
    "B": ("binary", frozenset({"VARBINARY"})),
}
"""Of each type descriptor of a key: what it is, and the kinds of columns that take it."""
JSON_TYPES: Final = {"S": {"string"}, "N": {"number", "integer"}, "B": {"string"}}
"""Of each type descriptor: what a schema may call it."""


def find_key_conflicts(mapping: Mapping, key_types: ReadOnlyDict[str, str]) -> Iterator[str]:
    """Yield where a mapping does not take the keys that a table has, by name or by type, each with what to do.

    `key_types` has the type descriptor of each key attribute of the table, the partition key's first.
    """
    if tuple(key_types) != mapping.key_attributes:
        own, named = " + ".join(key_types), " + ".join(mapping.key_attributes)
        yield f"its key is {own}, and the mapping's is {named}: correct partition_key and sort_key of the mapping"
        return
    for target in mapping.targets:
        for attribute, column in zip(target.key_attributes, target.key_columns, strict=True):
            yield from _find_conflict(target, attribute, key_types[attribute], column)


def _find_conflict(target: Mapping, attribute: str, kind: str, column: Column) -> Iterator[str]:
    """Yield what in a target does not take a key of a type."""
    what, kinds = TABLE_KINDS[kind]
    if column.type.kind not in kinds:
        yield (
            f"its key {attribute} is {what}, which the column {column.name} of {target.table}, {column.type.sql}, does"
            f" not take: make it one of {', '.join(sorted(kinds))}"
        )
    properties = target.schema.get("properties", {}) if isinstance(target.schema, dict) else {}
    schema = properties.get(attribute)
    declared = schema.get("type") if isinstance(schema, dict) else None
    allowed = {declared} if isinstance(declared, str) else set(declared or ())
    if allowed and not allowed & JSON_TYPES[kind]:
        named = " or ".join(sorted(allowed))
        yield f"its key {attribute} is {what}, and the schema of {target.table} allows {named}: have it say what it is"


def guess_key_types(mapping: Mapping) -> dict[str, str]:
    """Return the type descriptor of each key attribute, S, N or B, by what the mapping says of it: S unless told."""
    properties = mapping.schema.get("properties", {}) if isinstance(mapping.schema, dict) else {}
    return {
        attribute: _guess_type(properties.get(attribute), column)
        for attribute, column in zip(mapping.key_attributes, mapping.key_columns, strict=True)
    }


def _guess_type(schema: Any, column: Column) -> str:
    """Return a key's type by the schema that items are judged by, then by the column that takes it."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    if column.type.kind in BINARY_KINDS:
        return "B"
    if kind in {"integer", "number"}:
        return "N"
    return "N" if kind is None and column.type.kind in NUMBER_KINDS else "S"


def type_key(mapping: Mapping, types: ReadOnlyDict[str, str], fields: ReadOnlyDict[str, str]) -> TypedItem:
    """Return a key as DynamoDB's JSON writes it: the fields of its columns, by attribute, in the table's types.

    A row that people wrote may have a key that no item has, as text that is no number. That is written as what it is.
    """
    columns = zip(mapping.key_attributes, mapping.key_columns, strict=True)
    return {name: _type_value(types[name], fields[name], column) for name, column in columns}


def _type_value(kind: str, text: str, column: Column) -> dict[str, str]:
    if column.type.is_binary and kind != "B":
        try:
            return {kind: base64.b64decode(text).decode()}
        except UnicodeDecodeError:
            return {"B": text}
    if kind == "N" and column.type.is_text and not is_spelled_number(text):
        return {"S": text}
    return {kind: respell_number(text) if kind == "N" else text}  # a DECIMAL has zeros at its end
