"""Purging: what no import needs any more is deleted, in small steps; and the floor below which nothing is imported.

The floor of a mapping is a second, Unix time. It is raised first, and tombstones of before it are deleted afterwards.
An import that would bring a change of before it is refused: the delete that came after that change may be purged.
Each import holds the row of the floor while it merges, so one that has read the floor of before is committed by the
time it is raised.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora.comparing import (
    as_parameter,
    delete_tombstones,
    range_parameters,
    select_boundary,
    select_tombstones,
)
from dynaurora.aurora.connection import find_number
from dynaurora.aurora.sql import quote
from dynaurora.aurora.system_tables import DIFFERENCES, FLOORS, IMPORTS, PURGES, RUNS, SEEN_KEYS, VERIFICATIONS
from dynaurora.dynamodb.versions import make_version
from dynaurora.errors import DynauroraError, PurgedError, TargetMismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

NO_SUCH_TABLE: Final = 1146
DELETED_AT_ONCE: Final = 500
"""Rows that one transaction deletes: imports beside it wait for milliseconds at most."""
STRETCH_ROWS: Final = 5_000
"""Rows of a replica that are looked through at a time."""


@dataclass(frozen=True, slots=True)
class Purge:
    """A mapping's last purge."""

    imports_before: datetime
    """Rows of the ledger that were finished before may be deleted, and verifications that began before; UTC."""
    target: str | None
    """The table whose tombstones are being looked through; None where the purge has not come to them."""
    position: tuple[str, ...] | None
    """The key, as fields, up to which it was; None at the target's beginning."""
    tombstones: int
    imports: int
    verifications: int
    """Rows that it has deleted so far."""
    begun_at: datetime
    ended_at: datetime | None
    """None where it has not come to its end."""


def check_floor(aurora: Aurora, mapping: Mapping, batch_id: str, oldest_second: int) -> None:
    """Refuse a batch with a change that is older than the floor, which stays what it is until the transaction ends.

    A database that an older release has prepared has no floors yet, and nothing was purged of it. Raises PurgedError.
    """
    floor = _read_floor(aurora, mapping, " LOCK IN SHARE MODE") or 0
    if oldest_second < floor:
        oldest, purged = (datetime.fromtimestamp(second, UTC).isoformat() for second in (oldest_second, floor))
        raise PurgedError(f"Batch {batch_id} has a change of {oldest}, and what was deleted before {purged} is purged.")


def _read_floor(aurora: Aurora, mapping: Mapping, locking: str = "") -> int | None:
    """Return a mapping's floor; None where its target was not prepared by a release that purges."""
    statement = f"SELECT floor FROM {_table(mapping, FLOORS)} WHERE mapping = %s{locking}"
    try:
        rows = aurora.query(statement, (mapping.name,))
    except DynauroraError as error:
        if find_number(error) != NO_SUCH_TABLE:
            raise
        rows = []
    return int(rows[0][0]) if rows else None


class Purges:
    """The purges of one mapping."""

    def __init__(self, aurora: Aurora, mapping: Mapping) -> None:
        self._aurora = aurora
        self._mapping = mapping

    def read_floor(self) -> int:
        """Return the floor: nothing older is imported.

        Raises TargetMismatchError where the mapping's target was not prepared by a release that purges.
        """
        floor = _read_floor(self._aurora, self._mapping)
        if floor is None:
            raise TargetMismatchError(f"The target of {self._mapping.name} was prepared by an older release.")
        return floor

    def read(self) -> Purge | None:
        """Return the last purge; None where there was none."""
        rows = self._aurora.query(
            "SELECT imports_before, target, position, tombstones, imports, verifications, begun_at, ended_at"
            f" FROM {self._table(PURGES)} WHERE mapping = %s",
            (self._mapping.name,),
        )
        if not rows:
            return None
        imports_before, target, position, tombstones, imports, verifications, begun_at, ended_at = rows[0]
        key = tuple(json.loads(position)) if position else None
        counts = int(tombstones), int(imports), int(verifications)
        return Purge(imports_before, target, key, *counts, begun_at, ended_at)

    def raise_floor(self, floor: int) -> int:
        """Raise the floor, which never goes back; return what it is. Waits for the merges that are under way.

        Raises LockWaitError where one takes too long, and TargetMismatchError as `read_floor` does.
        """
        self.read_floor()
        statement = f"UPDATE {self._table(FLOORS)} SET floor = GREATEST(floor, %s) WHERE mapping = %s"
        with self._aurora.transaction():
            self._aurora.execute(statement, (floor, self._mapping.name))
        return self.read_floor()

    def begin(self, imports_before: datetime) -> None:
        """Begin a purge, or go on with one that did not end."""
        with self._aurora.transaction():
            self._aurora.execute(
                f"INSERT INTO {self._table(PURGES)} (mapping, imports_before, begun_at)"
                " VALUES (%s, %s, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE imports_before = VALUES(imports_before)",
                (self._mapping.name, imports_before),
            )
            self._aurora.execute(
                f"UPDATE {self._table(PURGES)} SET begun_at = UTC_TIMESTAMP(6), ended_at = NULL, target = NULL,"
                " position = NULL, tombstones = 0, imports = 0, verifications = 0"
                " WHERE mapping = %s AND ended_at IS NOT NULL",
                (self._mapping.name,),
            )

    def end(self) -> None:
        """Note that a purge has come to its end."""
        with self._aurora.transaction():
            self._set("ended_at = UTC_TIMESTAMP(6), target = NULL, position = NULL", ())

    def delete_imports(self, before: datetime) -> int:
        """Delete some of the ledger's rows that were finished before a time, the oldest first; return how many."""
        rows = self._aurora.query(
            f"SELECT batch_id FROM {self._table(IMPORTS)} FORCE INDEX (by_time) WHERE mapping = %s AND finished_at < %s"
            " ORDER BY mapping, finished_at LIMIT %s",
            (self._mapping.name, before, DELETED_AT_ONCE),
        )
        ids = [batch_id for (batch_id,) in rows]
        if not ids:
            return 0
        places = ", ".join(["%s"] * len(ids))
        with self._aurora.transaction():
            deleted = self._aurora.execute(
                f"DELETE {self._table(IMPORTS)} FROM {self._table(IMPORTS)} FORCE INDEX (PRIMARY)"
                f" WHERE batch_id IN ({places}) AND finished_at < %s",
                (*ids, before),
            )
            self._set("imports = imports + %s", (deleted,))
        return deleted

    def delete_verifications(self, before: datetime) -> int:
        """Delete some of what verifications of before a time have left; return how many rows.

        Not of the newest, and of repairs of what that has found: they are told of, however old they are.
        """
        name, table = self._mapping.name, self._table(VERIFICATIONS)
        newest = self._aurora.query(
            f"SELECT run FROM {table} WHERE mapping = %s AND ended_at IS NOT NULL AND whole"
            " ORDER BY started_at DESC LIMIT 1",
            (name,),
        )
        kept = newest[0][0] if newest else ""
        rows = self._aurora.query(
            f"SELECT run FROM {table} WHERE mapping = %s AND started_at < %s AND run <> %s"
            " AND COALESCE(mends, '') <> %s ORDER BY started_at LIMIT 1",
            (name, before, kept, kept or "-"),
        )
        if not rows:
            return 0
        ((run,),) = rows
        of_run = (self._mapping.name, run)
        with self._aurora.transaction():
            deleted = self._aurora.execute(
                f"DELETE FROM {self._table(DIFFERENCES)} WHERE mapping = %s AND run = %s LIMIT {DELETED_AT_ONCE}",
                of_run,
            )
            deleted += self._aurora.execute(
                f"DELETE FROM {self._table(SEEN_KEYS)} WHERE run = %s LIMIT {DELETED_AT_ONCE}", (run,)
            )
            if not deleted:
                deleted = self._aurora.execute(
                    f"DELETE FROM {self._table(VERIFICATIONS)} WHERE mapping = %s AND run = %s", of_run
                )
            self._set("verifications = verifications + %s", (deleted,))
        return deleted

    def delete_tombstones(self, target: Mapping, after: tuple[str, ...] | None, floor: int) -> tuple[str, ...] | None:
        """Delete the tombstones of before the floor in the next stretch of a target; return where that ends.

        None after the last one. Where it went to is noted in the transactions that delete.
        """
        keys, upto = self._find_tombstones(target, after, floor)
        for start in range(0, len(keys), DELETED_AT_ONCE):
            some = keys[start : start + DELETED_AT_ONCE]
            parameters = [value for key in some for value in _as_parameters(target, key)]
            with self._aurora.transaction():
                deleted = self._aurora.execute(
                    delete_tombstones(target, len(some)), (*parameters, make_version(floor, 0))
                )
                self._note(target, some[-1], deleted)
        with self._aurora.transaction():
            self._note(target, upto, 0)
        return upto

    def count_tombstones(
        self, target: Mapping, after: tuple[str, ...] | None, floor: int
    ) -> tuple[int, tuple[str, ...] | None]:
        """Return how many tombstones of before the floor are in the next stretch, and where that ends, if it does."""
        keys, upto = self._find_tombstones(target, after, floor)
        return len(keys), upto

    def count_imports(self, before: datetime, most: int) -> int:
        """Return how many of the ledger's rows were finished before a time, as far as so many."""
        statement = (
            "SELECT COUNT(*) FROM (SELECT 1"
            f" FROM {self._table(IMPORTS)} WHERE mapping = %s AND finished_at < %s LIMIT %s) AS found"
        )
        ((rows,),) = self._aurora.query(statement, (self._mapping.name, before, most))
        return int(rows)

    def list_open_runs(self) -> list[tuple[str, str, datetime, dict[str, Any]]]:
        """Return the runs that are under way: run, kind, when it was started, in UTC, and its options."""
        rows = self._aurora.query(
            f"SELECT run, kind, started_at, options FROM {self._table(RUNS)} WHERE mapping = %s AND state = 'RUNNING'",
            (self._mapping.name,),
        )
        return [(run, kind, started_at, json.loads(options)) for run, kind, started_at, options in rows]

    def _find_tombstones(
        self, target: Mapping, after: tuple[str, ...] | None, floor: int
    ) -> tuple[list[tuple[str, ...]], tuple[str, ...] | None]:
        """Return the keys of the tombstones of the next stretch, in their order, and where that ends, if it does."""
        boundary = select_boundary(target, is_first=after is None)
        found = self._aurora.query(boundary, (*range_parameters(target, after, None), STRETCH_ROWS - 1))
        upto = tuple(map(_text, found[0])) if found else None
        statement = select_tombstones(target, is_first=after is None, is_last=upto is None)
        parameters = (make_version(floor, 0), *range_parameters(target, after, upto))
        rows = self._aurora.query(statement, parameters)
        return [tuple(map(_text, row)) for row in rows], upto

    def _note(self, target: Mapping, position: tuple[str, ...] | None, deleted: int) -> None:
        text = None if position is None else json.dumps(position)
        self._set("target = %s, position = %s, tombstones = tombstones + %s", (target.table, text, deleted))

    def _set(self, assignments: str, values: tuple[Any, ...]) -> None:
        statement = f"UPDATE {self._table(PURGES)} SET {assignments} WHERE mapping = %s"
        self._aurora.execute(statement, (*values, self._mapping.name))

    def _table(self, name: str) -> str:
        return _table(self._mapping, name)


def _as_parameters(mapping: Mapping, key: Sequence[str]) -> list[Any]:
    return [as_parameter(column.type, field) for column, field in zip(mapping.key_columns, key, strict=True)]


def _text(value: Any) -> str:
    """Return a key's field; the server gives some of them as bytes."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _table(mapping: Mapping, name: str) -> str:
    return f"{quote(mapping.database)}.{quote(name)}"
