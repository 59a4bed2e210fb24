"""The ledger: one row for each batch that was applied, written in the transaction that applied it.

A batch whose row is there was applied, whole; one whose row is not there was not, at all.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dynaurora.aurora.connection import DuplicateRow
from dynaurora.aurora.migrations import IMPORTS
from dynaurora.aurora.sql import quote

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.batches.batch import Batch


class Ledger:
    """The ledger of one database, read and written in the caller's transaction."""

    def __init__(self, aurora: Aurora, database: str) -> None:
        self._aurora = aurora
        self._table = f"{quote(database)}.{quote(IMPORTS)}"

    def enter(self, batch: Batch, retries: int) -> bool:
        """Insert the batch's row; return False where it is there already: the batch was applied before.

        A second import of the same batch waits here until the first one has ended.
        """
        statement = (
            f"INSERT INTO {self._table}"
            " (batch_id, mapping, source, run, objects, rows_rejected, rejected, retries, started_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, UTC_TIMESTAMP(6))"
        )
        objects = json.dumps(batch.objects_as_dicts)
        rejected = json.dumps(batch.rejected) if batch.rejected else None
        values = (batch.id, batch.mapping, batch.source, batch.run, objects, batch.rows_rejected, rejected, retries)
        try:
            self._aurora.execute(statement, values)
        except DuplicateRow:
            return False
        return True

    def close(self, batch: Batch, rows_staged: int, rows_changed: int) -> None:
        """Put the counts into the batch's row."""
        statement = (
            f"UPDATE {self._table} SET rows_staged = %s, rows_changed = %s, finished_at = UTC_TIMESTAMP(6)"
            " WHERE batch_id = %s"
        )
        self._aurora.execute(statement, (rows_staged, rows_changed, batch.id))

    def find(self, batch: Batch) -> tuple[int, int] | None:
        """Return the rows staged and changed by a batch that was applied; None where it was not."""
        statement = f"SELECT rows_staged, rows_changed FROM {self._table} WHERE batch_id = %s"
        rows = self._aurora.query(statement, (batch.id,))
        return (int(rows[0][0]), int(rows[0][1])) if rows else None
