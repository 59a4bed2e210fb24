"""Counting a target's rows in bounded time: exactly as long as they are few, else as the server estimates them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from dynaurora.aurora.sql import quote

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

COUNTED_MOST: Final = 100_000
"""Rows of a target that are counted one by one, which takes a fraction of a second."""


class RowCount(NamedTuple):
    """How many rows there are that exist, of all targets of a mapping together."""

    rows: int
    is_exact: bool


def estimate_rows(aurora: Aurora, mapping: Mapping) -> RowCount:
    """Return how many rows a mapping's targets have. An estimate has tombstones among them."""
    counts = [_count(aurora, target) for target in mapping.targets]
    return RowCount(sum(each.rows for each in counts), all(each.is_exact for each in counts))


def _count(aurora: Aurora, target: Mapping) -> RowCount:
    table = f"{quote(target.database)}.{quote(target.replica)}"
    some = f"SELECT 1 FROM {table} WHERE NOT _deleted LIMIT {COUNTED_MOST + 1}"
    ((found,),) = aurora.query(f"SELECT COUNT(*) FROM ({some}) AS some")
    if found <= COUNTED_MOST:
        return RowCount(int(found), is_exact=True)
    ((estimated,),) = aurora.query(
        "SELECT COALESCE(SUM(table_rows), 0) FROM information_schema.tables"
        " WHERE table_schema = %s AND table_name = %s",
        (target.database, target.replica),
    )
    return RowCount(max(int(found), int(estimated)), is_exact=False)
