"""Importing a batch: staged first, then one guarded merge in one transaction with its ledger row.

    look into the ledger                 its row is there: applied before, stop
    take a slot                          and with it a table to stage in
    load its CSV into that table         strict, nothing ignored
    count the rows                       against the batch's own count, where it has one
    begin
      enter the batch into the ledger    its row is there now: another import was faster, stop
      count the staged rows again        they are those that were counted
      merge into the replica             a row changes only where the staged version is higher
      close the ledger row with its counts
    commit
    empty the table, leave the slot

The load is outside the transaction, so it does not matter whether it ends one: nobody documents that Aurora's does not.
A crash anywhere leaves all of a batch or nothing, and a repeat is recognised. Afterwards the batch's objects are
marked: only what is marked may expire, so what Aurora has not taken keeps its only copy.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dynaurora import keys
from dynaurora.aurora import sql
from dynaurora.aurora.connection import ERRORS, DuplicateRow
from dynaurora.aurora.staging import claim_slot
from dynaurora.batches.batch import IMPORTED
from dynaurora.batches.ledger import Ledger
from dynaurora.dynamodb.versions import second_of
from dynaurora.errors import (
    DatabaseUnavailableError,
    DynauroraError,
    InvalidBatchError,
    MalformedBatchError,
    ObjectChangedError,
    RowCountError,
    TargetMismatchError,
)

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.batches.batch import Batch
    from dynaurora.mappings.mapping import Mapping

CHANGED_VALUES: Final = ERRORS[MalformedBatchError]
"""Numbers of what a server may merely note of a value that it changes: MySQL notes digits cut off a DECIMAL (1265)."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did."""

    status: str
    """`applied` or `already_applied`."""
    batch_id: str
    rows_staged: int
    """Rows in the batch."""
    rows_changed: int
    """Rows of the replica that this batch has inserted or updated; the others were as new already, or newer."""
    oldest_second: int | None = None
    """Unix time of the oldest of a stream's changes that this import brought: the longest that any of them was late."""


def import_batch(
    batch: Batch,
    mapping: Mapping,
    aurora: Aurora,
    store: ObjectStore,
    landing_bucket: str,
    retries: int = 0,
    slots: int = 0,
) -> ImportResult:
    """Apply a batch once, whatever was applied before and however often it is asked for.

    `retries` is how often it was tried before, for the ledger; `slots` is how many imports of its target there may be
    at once, 0 for any number. Raises SlotsTakenError where there are as many, or another error of `dynaurora.errors`;
    what was done is then undone.
    """
    if batch.mapping != mapping.name:
        raise InvalidBatchError(f"The batch is for mapping {batch.mapping}, and this function imports {mapping.name}.")
    applied = Ledger(aurora, mapping.database).find(batch)
    if applied:
        return ImportResult("already_applied", batch.id, *applied)
    with claim_slot(aurora, mapping, slots) as table:
        check_objects(batch, store)
        staged = Staged(table, 0)
        if batch.rows != 0:  # of a batch whose every record was refused, the ledger says so
            manifest_uri = write_manifest(batch, store, landing_bucket)
            staged = stage(batch, mapping, aurora, manifest_uri, table)
        result = apply(batch, mapping, aurora, staged, retries)
        clear(mapping, aurora, staged)
    return result


def mark_imported(batch: Batch, store: ObjectStore) -> None:
    """Tag the objects of a batch that Aurora has, so that they may expire; the first that cannot be tagged raises.

    An object that was overwritten since is another one, not imported, and left as it is.
    """
    for item in batch.objects:
        if store.tail(item.bucket, item.key).etag == item.etag:
            store.tag(item.bucket, item.key, IMPORTED)


def check_objects(batch: Batch, store: ObjectStore) -> None:
    """Refuse a batch whose objects are missing, changed, cut off within a line, or empty without its saying so."""
    for item in batch.objects:
        tail = store.tail(item.bucket, item.key)
        if tail.etag != item.etag:
            raise ObjectChangedError(f"{item.uri} has the ETag {tail.etag}, and the batch names {item.etag}.")
        if tail.size and batch.rows == 0:
            raise RowCountError(f"{item.uri} has {tail.size} bytes, and its batch was written without rows.")
        if not tail.size and batch.rows != 0:
            raise MalformedBatchError(f"{item.uri} is empty.")
        if tail.size and tail.last_byte != b"\n":
            raise MalformedBatchError(f"{item.uri} ends within a line: it is truncated.")


def write_manifest(batch: Batch, store: ObjectStore, landing_bucket: str) -> str:
    """Write the manifest that names the batch's objects and return its URI.

    Every entry is mandatory: by default Aurora would pass over a missing object in silence.
    """
    document = {"entries": [{"url": item.uri, "mandatory": True} for item in batch.objects]}
    key = keys.manifest(batch.mapping, batch.id)
    store.write(landing_bucket, key, json.dumps(document).encode())
    return f"s3://{landing_bucket}/{key}"


@dataclass(frozen=True, slots=True)
class Staged:
    """What was loaded, and where it is."""

    table: str
    rows: int
    """As many as the batch has lines."""


def stage(batch: Batch, mapping: Mapping, aurora: Aurora, manifest_uri: str, table: str = sql.STAGED) -> Staged:
    """Load the batch into an empty table and count its rows.

    They are counted, and not taken from the server's answer. Where lines have the same key and version, fewer are left
    than the load has affected: the batch is then loaded once more, each line a row.
    """
    with aurora.transaction():
        loaded, rows = load(batch, mapping, aurora, manifest_uri, table)
        if loaded != rows and table == sql.STAGED:
            loaded, rows = load(batch, mapping, aurora, manifest_uri, table, numbered=True)
    if loaded != rows:
        raise RowCountError(f"Batch {batch.id} loaded {loaded} rows, and {rows} are there.")
    if batch.rows is not None and rows != batch.rows:
        raise RowCountError(f"Batch {batch.id} loaded {rows} rows, and was written with {batch.rows}.")
    return Staged(table, rows)


def load(
    batch: Batch, mapping: Mapping, aurora: Aurora, manifest_uri: str, table: str, *, numbered: bool = False
) -> tuple[int, int]:
    """Load the batch into a table made or emptied for it; return the rows affected, and those that are there."""
    if table == sql.STAGED:
        aurora.execute(sql.drop_staged(mapping))
        aurora.execute(sql.create_staged(mapping, sql.key_collation(aurora.server_version), numbered=numbered))
    else:
        aurora.execute(sql.empty_staged(mapping, table))
    try:
        affected = aurora.execute(sql.load_staged(mapping, table), (manifest_uri,))
    except DuplicateRow as error:  # it replaces what it has twice: only a server that we do not know says so
        raise MalformedBatchError(str(error)) from error
    check_warnings(batch, aurora)
    return affected, count_staged(mapping, aurora, table)


def check_warnings(batch: Batch, aurora: Aurora) -> None:
    """Refuse a batch whose load warned, or noted that a value is another one now (a fraction that was cut off).

    Other notes say nothing of the rows.
    """
    ((count,),) = aurora.query("SHOW COUNT(*) WARNINGS")  # a server tells `max_error_count` of them, and counts all
    if not int(count):
        return
    found = aurora.query("SHOW WARNINGS")
    minded = [message for level, number, message in found if level != "Note" or number in CHANGED_VALUES]
    if minded:
        raise MalformedBatchError(f"Loading batch {batch.id} warned: {'; '.join(map(str, minded[:3]))}.")
    if int(count) > len(found):
        raise MalformedBatchError(f"Loading batch {batch.id} gave {count} warnings, and {len(found)} can be read.")


def count_staged(mapping: Mapping, aurora: Aurora, table: str) -> int:
    """Return how many rows are staged."""
    ((rows,),) = aurora.query(sql.select_row_count(mapping, table))
    return int(rows)


def apply(batch: Batch, mapping: Mapping, aurora: Aurora, staged: Staged, retries: int) -> ImportResult:
    """Merge what is staged, in one transaction with the ledger; or say that another import has done so meanwhile."""
    ledger, changed, oldest_second = Ledger(aurora, mapping.database), 0, None
    with aurora.transaction():
        if not ledger.enter(batch, retries):
            return ImportResult("already_applied", batch.id, *(ledger.find(batch) or (0, 0)))
        if staged.rows:
            oldest_second = check_staged(batch, mapping, aurora, staged)
            changed = merge(mapping, aurora, staged.table)
        ledger.close(batch, staged.rows, changed)
    return ImportResult("applied", batch.id, staged.rows, changed, oldest_second if batch.source == "stream" else None)


def check_staged(batch: Batch, mapping: Mapping, aurora: Aurora, staged: Staged) -> int:
    """Return when the oldest staged change was made, in Unix time.

    Of all changes, and not only of those that are the newest of their items: until now people saw what was before them.
    Raises DatabaseUnavailableError where the rows that were counted are not there any more.
    """
    ((rows, version),) = aurora.query(sql.select_count_and_oldest_version(mapping, staged.table))
    if rows != staged.rows:
        raise DatabaseUnavailableError(
            f"Of {staged.rows} rows of batch {batch.id} that were staged, {rows} are there: {staged.table} was changed."
        )
    return second_of(int(version))


def merge(mapping: Mapping, aurora: Aurora, table: str = sql.STAGED) -> int:
    """Merge the staged rows into the replica and return how many of its rows were inserted or updated.

    Several versions of a key are one row, and counted once. Raises TargetMismatchError where the replica does not take
    what was staged: the staged table is the mapping's, so the replica is another.
    """
    try:
        aurora.execute("SAVEPOINT merging")
        changed = aurora.write_rows(sql.merge_staged(mapping, table))
        return merge_in_parts(mapping, aurora, table) if changed is None else changed
    except (DuplicateRow, MalformedBatchError) as error:
        problem = f"{mapping.database}.{mapping.replica} does not take what mapping {mapping.name} writes"
        raise TargetMismatchError(
            f"{problem}: {str(error) if isinstance(error, DuplicateRow) else error.problem}"
        ) from error


def merge_in_parts(mapping: Mapping, aurora: Aurora, table: str) -> int:
    """Merge again, so that rows are counted where the server adds no counts to its answers.

    What it always says is how many rows are affected: an inserted one once, an updated one twice.
    """
    aurora.execute("ROLLBACK TO SAVEPOINT merging")
    inserted = aurora.execute(sql.insert_staged(mapping, table))
    return inserted + aurora.execute(sql.merge_staged(mapping, table)) // 2


def clear(mapping: Mapping, aurora: Aurora, staged: Staged) -> None:
    """Drop or empty the staged table: rows are not kept where nobody needs them.

    The batch is committed: what goes wrong here is no error of its import, and the next one empties the table anyway.
    """
    with suppress(DynauroraError):
        if staged.table == sql.STAGED:
            aurora.execute(sql.drop_staged(mapping))
        else:
            with aurora.transaction():
                aurora.execute(sql.empty_staged(mapping, staged.table))
