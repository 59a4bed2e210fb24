"""Left replicas: tables that a rebuild has replaced, or that was given up; kept until somebody drops them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dynaurora.aurora import raw_rows, sql
from dynaurora.aurora.column_plan import DROP_SECONDS, has_table, read_size
from dynaurora.aurora.migrations import read_earlier
from dynaurora.aurora.staging import read_staging
from dynaurora.aurora.system_tables import TARGETS
from dynaurora.mappings.rebuilds import is_under_way

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping


@dataclass(frozen=True)
class Left:
    """What no target of the active mapping has its rows in any more."""

    targets: list[Mapping]
    """Of earlier documents, each with its table."""
    wait_seconds: float
    """Until they may go: rows of the mapping before may be on their way."""


def find_left(aurora: Aurora, mapping: Mapping) -> Left:
    """Return the tables that rebuilds of a mapping have left; not those of targets that were taken out."""
    earlier, age_seconds = read_earlier(aurora, mapping)
    if not earlier:
        return Left([], 0)
    active = earlier[-1]
    left = {
        target.replica: target
        for each in earlier
        for target in each.targets
        if active.find_replica(target.replica) is None and (target.rebuilds or active.find_target(target.table))
    }
    there = [target for target in left.values() if has_table(aurora, target.database, target.replica)]
    wait = DROP_SECONDS if is_under_way(active) else max(0.0, DROP_SECONDS - age_seconds)
    return Left(there, wait)


def describe_left(aurora: Aurora, mapping: Mapping) -> dict[str, Any]:
    """Return it for machines."""
    left, tables = find_left(aurora, mapping), []
    for target in left.targets:
        rows, octets = read_size(aurora, target)
        tables.append({"replica": f"{target.database}.{target.replica}", "rows": rows, "bytes": octets})
    return {"left": tables, "wait_seconds": round(left.wait_seconds)}


def drop_left(aurora: Aurora, mapping: Mapping) -> dict[str, Any]:
    """Drop those tables, where it is time; return what `describe_left` did before. Safe to repeat."""
    described, left = describe_left(aurora, mapping), find_left(aurora, mapping)
    if left.wait_seconds:
        return described
    for target in left.targets:
        aurora.execute(sql.drop_table(target, target.replica))
        if target.rebuilds:
            forget_staging(aurora, target)
    return described


def forget_staging(aurora: Aurora, target: Mapping) -> None:
    """Drop the tables that batches of a target were staged in, which is none any more."""
    staging = read_staging(aurora, target)
    for slot in range(1, (staging.tables if staging else 0) + 1):
        for table in (sql.name_staged(target, slot), raw_rows.name_raw(target, slot)):
            aurora.execute(sql.drop_table(target, table))
    with aurora.transaction():
        statement = f"DELETE FROM {sql.quote(target.database)}.{sql.quote(TARGETS)} WHERE target = %s"
        aurora.execute(statement, (target.table,))
