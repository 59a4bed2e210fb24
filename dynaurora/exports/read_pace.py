"""Reading the pace of a run from the ledger."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora.sql import quote
from dynaurora.aurora.system_tables import IMPORTS
from dynaurora.exports.pace import describe_pace, find_step

if TYPE_CHECKING:
    from datetime import datetime

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

IMPORTS_OF_RUN: Final = "run = %s AND mapping = %s AND source = %s AND finished_at IS NOT NULL"


def read_pace(aurora: Aurora, mapping: Mapping, run: str, kind: str) -> dict[str, Any] | None:
    """Return the pace of a run's imports in all targets, as `make_pace` does; None where nothing was imported."""
    ledgers = [f"{quote(name)}.{quote(IMPORTS)}" for name in sorted({each.database for each in mapping.targets})]
    values = (run, mapping.name, kind)
    times: list[datetime] = []
    for ledger in ledgers:
        of_run = f"FROM {ledger} WHERE {IMPORTS_OF_RUN}"
        ((begun, ended),) = aurora.query(f"SELECT MIN(started_at), MAX(finished_at) {of_run}", values)
        times += [time for time in (begun, ended) if time]
    if not times:
        return None
    first, step = min(times).replace(microsecond=0), find_step(min(times), max(times))
    rows = Counter[int]()
    for ledger in ledgers:
        counts = aurora.query(
            f"SELECT TIMESTAMPDIFF(SECOND, %s, finished_at) DIV %s AS place, SUM(rows_staged) FROM {ledger}"
            f" WHERE {IMPORTS_OF_RUN} GROUP BY place",
            (first.isoformat(sep=" "), step, *values),
        )
        rows.update({int(place): int(count) for place, count in counts})
    return describe_pace(first, step, rows)
