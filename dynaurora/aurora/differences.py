"""Differences as a repair needs them: what a verification left, and the versions that the rows of its keys have now."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora.comparing import as_parameter
from dynaurora.aurora.sql import quote
from dynaurora.aurora.system_tables import DIFFERENCES, VERIFICATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.columns import Field
    from dynaurora.mappings.mapping import Mapping

LISTED: Final = 1_000
"""Rows of differences that are listed at a time."""
VERSIONS_TOGETHER: Final = 200
"""Keys of one query."""


@dataclass(frozen=True, slots=True)
class EndedVerification:
    """A verification that ended."""

    run: str
    via: str
    ended_at: str
    """In ISO 8601, of UTC."""
    whole: bool
    """Whether all items were compared."""
    unexplained: int
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class ListedDifference:
    """A row of `_dynaurora_differences`: a key has one for each of its columns that differ."""

    number: int
    target: str
    item_key: dict[str, Any]
    """In DynamoDB's JSON."""
    verdict: str


class LeftDifferences:
    """What verifications of one mapping left."""

    def __init__(self, aurora: Aurora, mapping: Mapping) -> None:
        self._aurora = aurora
        self._mapping = mapping
        self._table = f"{quote(mapping.database)}.{quote(DIFFERENCES)}"
        self._verifications = f"{quote(mapping.database)}.{quote(VERIFICATIONS)}"

    def find_verification(self, run: str | None) -> EndedVerification | None:
        """Return a verification that ended, or the newest of all items; None where there is none."""
        condition, values = ("run = %s", (run,)) if run else ("whole", ())
        rows = self._aurora.query(
            "SELECT run, via, DATE_FORMAT(ended_at, '%%Y-%%m-%%dT%%H:%%i:%%sZ'), whole, unexplained, counts"
            f" FROM {self._verifications} WHERE mapping = %s AND ended_at IS NOT NULL AND {condition}"
            " ORDER BY started_at DESC LIMIT 1",
            (self._mapping.name, *values),
        )
        for found, via, ended_at, whole, unexplained, counts in rows:
            return EndedVerification(
                found, via, _text(ended_at), bool(whole), int(unexplained or 0), json.loads(counts)
            )
        return None

    def list_after(self, run: str, number: int) -> list[ListedDifference]:
        """Return the next rows of a verification, those with a higher number, in the order of their numbers."""
        rows = self._aurora.query(
            f"SELECT number, target, item_key, verdict FROM {self._table}"
            f" WHERE mapping = %s AND run = %s AND number > %s ORDER BY number LIMIT {LISTED}",
            (self._mapping.name, run, number),
        )
        return [ListedDifference(int(at), target, json.loads(key), verdict) for at, target, key, verdict in rows]


def read_versions(aurora: Aurora, target: Mapping, rows: Sequence[Sequence[Field]]) -> Iterator[int]:
    """Yield the version of each key's row, a tombstone's too; 0 where there is none.

    A key is given as the fields of a row of its target; those of other columns do not matter.
    """
    positions = [target.columns.index(column) for column in target.key_columns]
    types = [column.type for column in target.key_columns]
    names = " AND ".join(f"{quote(column.name)} = %s" for column in target.key_columns)
    one = f"(SELECT `_version` FROM {quote(target.database)}.{quote(target.replica)} WHERE {names})"
    for start in range(0, len(rows), VERSIONS_TOGETHER):
        some = rows[start : start + VERSIONS_TOGETHER]
        values = tuple(
            as_parameter(kind, fields[position])
            for fields in some
            for kind, position in zip(types, positions, strict=True)
        )
        ((*found,),) = aurora.query(f"SELECT {', '.join([one] * len(some))}", values)
        yield from (0 if version is None else int(version) for version in found)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
