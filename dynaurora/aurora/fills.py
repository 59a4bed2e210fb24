"""Fills: targets that are complete only after a backfill with a sweep, in `_dynaurora_fills` until one has succeeded.

A target that is new beside others lacks the items that have not changed since; one whose condition changed may also
have rows of items that are not its any more. Both are written by the stream and the backfill from their activation on.
The view of a new one is not there until then: nobody takes a part for all. One that served before goes on serving.

    the mapping is activated      a row for each such target, with the generation, in the activation's transaction
    the run is closed             of a run by that generation or a later one: the row names the run, or is gone
    the view is made              by whoever administers the target; the row is gone

The first deployment of a mapping has none: its views are there at once, as its tables are empty, and its first backfill
needs no sweep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dynaurora.aurora.sql import quote

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

FILLS: Final = "_dynaurora_fills"
CREATE_FILLS: Final = f"""CREATE TABLE IF NOT EXISTS {{database}}.`{FILLS}` (
  `mapping` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `target` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `generation` INT UNSIGNED NOT NULL,
  `hides_view` BOOLEAN NOT NULL,
  `run` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  `since` DATETIME(6) NOT NULL,
  PRIMARY KEY (`mapping`, `target`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"""


@dataclass(frozen=True)
class Fill:
    """A target that is not complete, or whose view is due."""

    target: str
    generation: int
    """The activation that it is incomplete since."""
    hides_view: bool
    """Whether it has no view until it is complete."""
    run: str | None
    """What has filled it, where only its view is due."""


def find_incomplete(mapping: Mapping, active: Mapping | None) -> list[Mapping]:
    """Return the targets that a mapping's activation makes incomplete beside the active one; of the first one, none."""
    before = {target.replica: target.when for target in active.targets} if active else {}
    return [target for target in mapping.targets if before and before.get(target.replica) != target.when]


def begin_fills(aurora: Aurora, mapping: Mapping, active: Mapping | None, generation: int) -> None:
    """Record the targets that an activation makes incomplete; inside the activation's transaction."""
    statement = (
        f"INSERT INTO {_fills(mapping)} (mapping, target, generation, hides_view, since)"
        " VALUES (%s, %s, %s, %s, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE"
        f" generation = %s, hides_view = %s, run = NULL, since = UTC_TIMESTAMP(6)"
    )
    tables = [target.table for target in mapping.targets]
    gone = f"DELETE FROM {_fills(mapping)} WHERE mapping = %s AND target NOT IN ({', '.join(['%s'] * len(tables))})"
    aurora.execute(gone, (mapping.name, *tables))
    for target in find_incomplete(mapping, active):
        hides = not has_view(aurora, target)
        aurora.execute(statement, (mapping.name, target.table, generation, hides, generation, hides))


def read_fills(aurora: Aurora, mapping: Mapping) -> list[Fill]:
    """Return what is recorded of a mapping's targets, in their order; nothing in a database of an earlier release."""
    if not _has_fills(aurora, mapping.database):
        return []
    statement = f"SELECT target, generation, hides_view, run FROM {_fills(mapping)} WHERE mapping = %s"
    found = {
        target: Fill(target, int(generation), bool(hides), run)
        for target, generation, hides, run in aurora.query(statement, (mapping.name,))
    }
    return [found[target.table] for target in mapping.targets if target.table in found]


def settle_fills(aurora: Aurora, mapping: Mapping, run: str, generation: int) -> None:
    """Record that a run by a generation has filled the targets that were incomplete by then."""
    if not _has_fills(aurora, mapping.database):
        return
    where = "WHERE mapping = %s AND generation <= %s"
    with aurora.transaction():
        aurora.execute(f"DELETE FROM {_fills(mapping)} {where} AND NOT hides_view", (mapping.name, generation))
        aurora.execute(f"UPDATE {_fills(mapping)} SET run = %s {where}", (run, mapping.name, generation))


def end_fill(aurora: Aurora, target: Mapping) -> None:
    """Forget a target's fill, whose view is there now."""
    if not _has_fills(aurora, target.database):
        return
    with aurora.transaction():
        aurora.execute(
            f"DELETE FROM {_fills(target)} WHERE mapping = %s AND target = %s AND run IS NOT NULL",
            (target.name, target.table),
        )


def find_hidden(aurora: Aurora, mapping: Mapping, active: Mapping | None = None) -> set[str]:
    """Return the targets that have no view yet, since they are incomplete; also those that would be beside `active`."""
    hidden = {fill.target for fill in read_fills(aurora, mapping) if fill.hides_view and fill.run is None}
    hidden |= {target.table for target in mapping.targets if target.rebuilds}
    new = [target for target in find_incomplete(mapping, active) if target.table not in hidden]
    return hidden | {target.table for target in new if not (has_view(aurora, target) and _has_replica(aurora, target))}


def is_hidden(aurora: Aurora, target: Mapping) -> bool:
    """Tell whether a target's view is not to be there yet, or is about to be made."""
    if not _has_fills(aurora, target.database):
        return False
    statement = f"SELECT 1 FROM {_fills(target)} WHERE mapping = %s AND target = %s AND hides_view"
    return bool(aurora.query(statement, (target.name, target.table)))


def has_view(aurora: Aurora, target: Mapping) -> bool:
    """Tell whether there is a view, or a table, of a target's name."""
    return _has_table(aurora, target.database, target.table)


def _has_replica(aurora: Aurora, target: Mapping) -> bool:
    return _has_table(aurora, target.database, target.replica)


def _has_fills(aurora: Aurora, database: str) -> bool:
    return _has_table(aurora, database, FILLS)


def _has_table(aurora: Aurora, database: str, table: str) -> bool:
    statement = "SELECT 1 FROM information_schema.tables WHERE table_schema = %s AND table_name = %s"
    return bool(aurora.query(statement, (database, table)))


def _fills(mapping: Mapping) -> str:
    return f"{quote(mapping.database)}.{quote(FILLS)}"
