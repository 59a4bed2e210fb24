"""Merging: staged rows into the replica, in the transaction of whoever calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynaurora.aurora import sql
from dynaurora.aurora.connection import DuplicateRow, find_row_error
from dynaurora.dynamodb.versions import second_of
from dynaurora.errors import DatabaseUnavailableError, DynauroraError, TargetMismatchError

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.aurora.origins import Origin
    from dynaurora.batches.loading import Staged
    from dynaurora.mappings.mapping import Mapping


def check_staged(ledger_id: str, mapping: Mapping, aurora: Aurora, staged: Staged) -> int:
    """Return when the oldest staged change was made, in Unix time.

    Of all changes, and not only of those that are the newest of their items: until now people saw what was before them.
    Raises DatabaseUnavailableError where the rows that were counted are not there any more.
    """
    ((rows, version),) = aurora.query(sql.select_count_and_oldest_version(mapping, staged.table))
    if rows != staged.rows:
        raise DatabaseUnavailableError(
            f"Of {staged.rows} rows of batch {ledger_id} that were staged, {rows} are there:"
            f" {staged.table} was changed."
        )
    return second_of(int(version))


def merge(origin: Origin, aurora: Aurora, table: str = sql.STAGED, rows: range | None = None) -> int:
    """Merge the staged rows into the replica and return how many of its rows were inserted or updated.

    Several versions of a key are one row, and counted once. `rows` are the numbers of those to merge, where not all
    are. What fails leaves nothing behind. Raises TargetMismatchError where the replica has a key that the mapping's
    has not.
    """
    aurora.execute("SAVEPOINT merging")
    try:
        changed = aurora.write_rows(sql.merge_staged(origin, table, rows))
        return merge_in_parts(origin, aurora, table, rows) if changed is None else changed
    except DynauroraError as error:
        if find_row_error(error) is not None:
            aurora.execute("ROLLBACK TO SAVEPOINT merging")
        raise
    except DuplicateRow as error:
        replica = f"{origin.mapping.database}.{origin.mapping.replica}"
        problem = f"{replica} does not take what mapping {origin.mapping.name} writes"
        raise TargetMismatchError(f"{problem}: {error}") from error


def merge_in_parts(origin: Origin, aurora: Aurora, table: str, rows: range | None) -> int:
    """Merge again, so that rows are counted where the server adds no counts to its answers.

    What it always says is how many rows are affected: an inserted one once, an updated one twice.
    """
    aurora.execute("ROLLBACK TO SAVEPOINT merging")
    inserted = aurora.execute(sql.insert_staged(origin, table, rows))
    return inserted + aurora.execute(sql.merge_staged(origin, table, rows)) // 2
