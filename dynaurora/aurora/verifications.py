"""Verifications: what is known of each in the database, and what it found.

Its row is opened when it begins, and closed with its counts. A verification that ended without a word leaves an open
row, and the keys that it has seen: the next one that begins forgets them once they are old.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora.seen_keys import forget_seen
from dynaurora.aurora.sql import quote
from dynaurora.aurora.system_tables import DIFFERENCES, VERIFICATIONS
from dynaurora.errors import RunConflictError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

ABANDONED_DAYS: Final = 2
MOST_DIFFERENCES: Final = 10_000
"""Rows of differences that a verification leaves."""


@dataclass(frozen=True, slots=True)
class RecordedDifference:
    """A row of `_dynaurora_differences`."""

    target: str
    item_key: dict[str, Any]
    """The key in DynamoDB's JSON."""
    verdict: str
    column: str | None = None
    """Where columns differ, one of them."""
    item_digest: str | None = None
    row_digest: str | None = None
    """Of both values, 32 hexadecimal digits; None for NULL."""
    item_value: str | None = None
    row_value: str | None = None
    """The values, where they were to be revealed."""


@dataclass(frozen=True, slots=True)
class Mending:
    """The last repair of what a verification found, whose keys were compared again."""

    run: str
    ended_at: datetime
    unexplained: int
    """Of what the verification found: what is left, by what the repair has seen."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The newest verification of a mapping that ended and was of all items."""

    run: str
    ended_at: datetime
    unexplained: int
    counts: dict[str, int]
    mending: Mending | None = None
    """None where nobody has repaired what it found."""

    @property
    def left(self) -> int:
        """How many are left without an explanation."""
        return self.mending.unexplained if self.mending else self.unexplained


class Verifications:
    """The verifications of one mapping."""

    def __init__(self, aurora: Aurora, mapping: Mapping) -> None:
        self._aurora = aurora
        self._mapping = mapping
        self._table = f"{quote(mapping.database)}.{quote(VERIFICATIONS)}"
        self._differences = f"{quote(mapping.database)}.{quote(DIFFERENCES)}"

    def open(self, run: str, via: str) -> None:
        """Open the row of a verification; again, where it is there already and has not ended.

        Raises RunConflictError where it has: the keys that it had seen are forgotten.
        """
        self._forget_abandoned()
        ended = f"SELECT 1 FROM {self._table} WHERE mapping = %s AND run = %s AND ended_at IS NOT NULL"
        if self._aurora.query(ended, (self._mapping.name, run)):
            raise RunConflictError(f"The verification {run} of {self._mapping.name} has ended.")
        statement = (
            f"INSERT INTO {self._table} (mapping, run, via, mapping_digest, started_at)"
            " VALUES (%s, %s, %s, %s, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE via = via"
        )
        with self._aurora.transaction():
            self._aurora.execute(statement, (self._mapping.name, run, via, self._mapping.digest))
            self._aurora.execute(
                f"DELETE FROM {self._differences} WHERE mapping = %s AND run = %s", (self._mapping.name, run)
            )

    def close(
        self, run: str, counts: dict[str, int], unexplained: int, *, whole: bool, mends: str | None = None
    ) -> None:
        """Close it with what it found; `whole` tells whether all items were compared.

        That of a repair names the verification of which it tells what is left.
        """
        statement = (
            f"UPDATE {self._table} SET ended_at = UTC_TIMESTAMP(6), counts = %s, unexplained = %s, whole = %s,"
            " mends = %s WHERE mapping = %s AND run = %s"
        )
        values = (json.dumps(counts), unexplained, whole, mends, self._mapping.name, run)
        with self._aurora.transaction():
            self._aurora.execute(statement, values)

    def discard(self, run: str) -> bool:
        """Forget a verification that has not ended, and is not gone on with; return that it is done."""
        statement = f"DELETE FROM {self._table} WHERE mapping = %s AND run = %s AND ended_at IS NULL"
        with self._aurora.transaction():
            self._aurora.execute(statement, (self._mapping.name, run))
        return True

    def record(self, run: str, first: int, differences: Sequence[RecordedDifference]) -> None:
        """Record differences from number `first` on; what was recorded from there on and then cut off goes."""
        places = ", ".join(["(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, UTC_TIMESTAMP(6))"] * len(differences))
        statement = (
            f"INSERT INTO {self._differences} (mapping, run, number, target, item_key, verdict, column_name,"
            " item_digest, row_digest, item_value, row_value, found_at)"
            f" VALUES {places}"
        )
        again = f"DELETE FROM {self._differences} WHERE mapping = %s AND run = %s AND number >= %s"
        values = [
            value
            for number, one in enumerate(differences, first)
            for value in (
                *(self._mapping.name, run, number, one.target, json.dumps(one.item_key), one.verdict, one.column),
                *(one.item_digest, one.row_digest, one.item_value, one.row_value),
            )
        ]
        if differences:
            with self._aurora.transaction():
                self._aurora.execute(again, (self._mapping.name, run, first))
                self._aurora.execute(statement, tuple(values))

    def find_last(self) -> Verification | None:
        """Return the newest one of all items that ended; None where there is none."""
        rows = self._aurora.query(
            f"SELECT run, ended_at, unexplained, counts FROM {self._table}"
            " WHERE mapping = %s AND ended_at IS NOT NULL AND whole ORDER BY started_at DESC LIMIT 1",
            (self._mapping.name,),
        )
        for run, ended_at, unexplained, counts in rows:
            return Verification(run, ended_at, int(unexplained), json.loads(counts), self._find_mending(run))
        return None

    def _find_mending(self, run: str) -> Mending | None:
        """Return the last repair of what a verification found."""
        rows = self._aurora.query(
            f"SELECT run, ended_at, unexplained FROM {self._table}"
            " WHERE mapping = %s AND mends = %s AND ended_at IS NOT NULL ORDER BY started_at DESC LIMIT 1",
            (self._mapping.name, run),
        )
        return Mending(rows[0][0], rows[0][1], int(rows[0][2])) if rows else None

    def _forget_abandoned(self) -> None:
        """Forget some of the keys that verifications have seen that ended without a word."""
        rows = self._aurora.query(
            f"SELECT run FROM {self._table} WHERE mapping = %s AND ended_at IS NULL"
            " AND started_at < UTC_TIMESTAMP(6) - INTERVAL %s DAY",
            (self._mapping.name, ABANDONED_DAYS),
        )
        for (run,) in rows:
            forget_seen(self._aurora, self._mapping, run)
