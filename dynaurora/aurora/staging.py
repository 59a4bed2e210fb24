"""Staging: the table that a batch is loaded into before it is merged.

temporary  a table of the connection's own: nobody else sees it, and it goes with the connection. It is in the server's
           memory where its rows surely have room there (`dynaurora.aurora.memory_tables`)
permanent  a few tables for each target, made when it is prepared, for servers that do not load into temporary ones.
           Whoever holds the named lock of one has it, from emptying it to the commit. (Named by its batch, a repeat
           would empty it under an import that had counted it.)

Beside each permanent one stands another, for lines as they are (`dynaurora.aurora.raw_rows`). Which of them is
recorded for each target, in `_dynaurora_targets`. Where nothing is recorded, it is temporary.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dynaurora.aurora import raw_rows, sql
from dynaurora.aurora.locks import holding, holding_one, name_lock
from dynaurora.aurora.system_tables import TARGETS
from dynaurora.errors import SlotsTakenError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

UNBOUNDED_TABLES: Final = 16
"""Permanent tables of a target whose imports are not bounded otherwise."""
TABLE_WAIT_SECONDS: Final = 60
"""For an import to leave its table, so that it can be made again."""


@dataclass(frozen=True)
class Staging:
    """How batches of a target are staged."""

    tables: int = 0
    """Permanent tables; 0 where they are temporary."""

    @property
    def form(self) -> str:
        """`temporary` or `permanent`."""
        return "permanent" if self.tables else "temporary"

    def __str__(self) -> str:
        """Say it to people."""
        return f"{self.tables} permanent tables" if self.tables else "temporary tables"


def read_staging(aurora: Aurora, mapping: Mapping) -> Staging | None:
    """Return what is recorded of a target; None where nothing is."""
    statement = f"SELECT staging_tables FROM {_targets(mapping)} WHERE target = %s"
    rows = aurora.query(statement, (mapping.table,))
    return Staging(int(rows[0][0])) if rows else None


def record_staging(aurora: Aurora, mapping: Mapping, staging: Staging) -> None:
    """Record how batches of a target are staged: imports that begin from now on do so."""
    statement = (
        f"INSERT INTO {_targets(mapping)} (target, staging_tables, recorded_at) VALUES (%s, %s, UTC_TIMESTAMP(6))"
        " ON DUPLICATE KEY UPDATE staging_tables = %s, recorded_at = UTC_TIMESTAMP(6)"
    )
    with aurora.transaction():
        aurora.execute(statement, (mapping.table, staging.tables, staging.tables))


def make_tables(aurora: Aurora, mapping: Mapping, count: int) -> Staging:
    """Make the permanent tables of a target anew, each while nobody has it; and the probe's.

    Raises LockWaitError where an import keeps a table for too long, and PrivilegeError where the user may not drop and
    create tables: the loader may not.
    """
    if count:
        aurora.execute(sql.create_permanent_probe(mapping))
    collation = sql.key_collation(aurora.server_version)
    for number in range(1, count + 1):
        table = sql.name_staged(mapping, number)
        raw = raw_rows.name_raw(mapping, number)
        with holding(aurora, name_table_lock(mapping, number), TABLE_WAIT_SECONDS):
            for name in (table, raw):
                aurora.execute(sql.drop_table(mapping, name))
            aurora.execute(sql.create_permanent(mapping, table, collation))
            aurora.execute(raw_rows.create_raw(mapping, raw))
    return Staging(count)


@contextmanager
def claim_table(aurora: Aurora, mapping: Mapping) -> Iterator[str]:
    """Have a table to stage a batch in for what is done inside; give its name.

    Raises SlotsTakenError where it would be a permanent one and other imports have all of them.
    """
    staging = read_staging(aurora, mapping) or Staging()
    if not staging.tables:
        yield sql.STAGED
        return
    locks = [name_table_lock(mapping, number) for number in range(1, staging.tables + 1)]
    with holding_one(aurora, locks) as index:
        if index is None:
            raise SlotsTakenError(
                f"All {staging.tables} tables to stage batches of {mapping.database}.{mapping.table} in are taken by"
                " other imports."
            )
        yield sql.name_staged(mapping, index + 1)


def name_table_lock(mapping: Mapping, number: int) -> str:
    """Return the name of the lock of a permanent table; they count from 1."""
    return name_lock(mapping.database, mapping.table, str(number))


def _targets(mapping: Mapping) -> str:
    return f"{sql.quote(mapping.database)}.{sql.quote(TARGETS)}"
