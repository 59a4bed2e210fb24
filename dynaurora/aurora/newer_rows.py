"""Newer rows: which keys have a row, or a tombstone, that is newer than a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora.comparing import as_parameter
from dynaurora.aurora.sql import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.columns import Field
    from dynaurora.mappings.mapping import Mapping

LOOKED_UP_AT_ONCE: Final = 100
"""Keys of one query."""

KeyVersion = tuple["Sequence[Field]", int]
"""The fields of a key, as a batch has them, and a version."""


def find_newer(aurora: Aurora, target: Mapping, keys: Sequence[KeyVersion]) -> set[int]:
    """Return the positions of the keys of which the target's replica has a newer version."""
    found = set[int]()
    for start in range(0, len(keys), LOOKED_UP_AT_ONCE):
        some = keys[start : start + LOOKED_UP_AT_ONCE]
        parameters: list[Any] = []
        for position, (fields, version) in enumerate(some, start):
            values = [as_parameter(column.type, text) for column, text in zip(target.key_columns, fields, strict=True)]
            parameters += [position, *values, version]
        rows = aurora.query(" UNION ALL ".join([select_newer(target)] * len(some)), tuple(parameters))
        found |= {int(position) for (position,) in rows}
    return found


def select_newer(target: Mapping) -> str:
    """Return the query for a position where the replica has a newer version of a key: position, key and version."""
    is_key = " AND ".join(f"{quote(column.name)} = %s" for column in target.key_columns)
    return f"SELECT %s FROM {quote(target.database)}.{quote(target.replica)} WHERE {is_key} AND `_version` > %s"
