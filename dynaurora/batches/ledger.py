"""The ledger: one row for each part of a batch that was applied, written in the transaction that applied it.

A part whose row is there was applied, whole; one whose row is not there was not, at all. Most batches are one part,
whose row has the batch's id or, where its lines have labels, `Batch.part_id`.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from dynaurora.aurora.connection import DuplicateRow
from dynaurora.aurora.sql import quote
from dynaurora.aurora.system_tables import IMPORTS

if TYPE_CHECKING:
    from collections.abc import Collection

    from dynaurora.aurora.connection import Aurora
    from dynaurora.batches.batch import Batch, Share
    from dynaurora.mappings.mapping import Mapping


class Ledger:
    """The ledger of one database, read and written in the caller's transaction."""

    def __init__(self, aurora: Aurora, database: str) -> None:
        self._aurora = aurora
        self._table = f"{quote(database)}.{quote(IMPORTS)}"

    def enter(self, batch: Batch, ledger_id: str, mapping: Mapping, retries: int) -> bool:
        """Insert the row of a part of a batch; return False where it is there already: it was applied before.

        `mapping` is the one that wrote it, of the part's target. A second import of the same batch waits here until the
        first one has ended.
        """
        statement = (
            f"INSERT INTO {self._table}"
            " (batch_id, mapping, source, run, objects, digest, target, rows_rejected, rows_skipped, rejected, retries,"
            " started_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, UTC_TIMESTAMP(6))"
        )
        objects, share = json.dumps(batch.objects_as_dicts), batch.share_of(mapping.table)
        rejected = json.dumps(share.rejected) if share.rejected else None
        counts = sum(share.rejected.values()), share.skipped, rejected
        values = (ledger_id, batch.mapping, batch.source, batch.run, objects, mapping.digest, mapping.table, *counts)
        try:
            self._aurora.execute(statement, (*values, retries))
        except DuplicateRow:
            return False
        return True

    def close(self, share: Share, ledger_id: str, rows_staged: int, rows_changed: int, refused: Counter[str]) -> None:
        """Put the counts into the row of a target's share; what Aurora refuses, by reason, counts as rejected too."""
        statement = (
            f"UPDATE {self._table} SET rows_staged = %s, rows_changed = %s, rows_refused = %s, rows_rejected = %s,"
            " rejected = %s, finished_at = UTC_TIMESTAMP(6) WHERE batch_id = %s"
        )
        reasons = refused + Counter(share.rejected)
        rejected = json.dumps(reasons) if reasons else None
        counts = rows_staged, rows_changed, refused.total(), reasons.total()
        self._aurora.execute(statement, (*counts, rejected, ledger_id))

    def find(self, ids: Collection[str]) -> dict[str, tuple[int, int]]:
        """Return the rows staged and changed by those of the parts of batches that were applied, by id."""
        places = ", ".join(["%s"] * len(ids))
        statement = f"SELECT batch_id, rows_staged, rows_changed FROM {self._table} WHERE batch_id IN ({places})"
        return {found: (int(staged), int(changed)) for found, staged, changed in self._aurora.query(statement, (*ids,))}
