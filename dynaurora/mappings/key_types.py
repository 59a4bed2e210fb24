"""Types of a table's keys, as far as a mapping tells them: for a table that is yet to be created."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping as MappingOf

    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.target_columns import Column

BINARY_KINDS: Final = frozenset({"BINARY", "VARBINARY", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"})
NUMBER_KINDS: Final = frozenset({"TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "DECIMAL", "DOUBLE"})
"""Kinds of columns that take such keys."""


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


def type_key(mapping: Mapping, types: MappingOf[str, str], fields: MappingOf[str, str]) -> TypedItem:
    """Return a key as DynamoDB's JSON writes it: the fields of its columns, by attribute, in the table's types."""
    columns = zip(mapping.key_attributes, mapping.key_columns, strict=True)
    return {name: {types[name]: _type_value(types[name], fields[name], column)} for name, column in columns}


def _type_value(kind: str, text: str, column: Column) -> str:
    return base64.b64decode(text).decode() if column.type.is_binary and kind != "B" else text
