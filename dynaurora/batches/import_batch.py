"""Importing a batch: one guarded merge, in one transaction with its ledger row.

    begin
      enter the batch into the ledger      its row is there: applied before, stop
      load its CSV into a temporary table  strict, nothing ignored
      count the rows                       against the batch's own count, where it has one
      merge into the replica               a row changes only where the staged version is higher
      close the ledger row with its counts
    commit

A crash anywhere leaves all of it or nothing, and a repeat is recognised. Afterwards the batch's objects are marked:
only what is marked may expire, so what Aurora has not taken keeps its only copy.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dynaurora import keys
from dynaurora.aurora import sql
from dynaurora.aurora.connection import DuplicateRow
from dynaurora.batches.batch import IMPORTED
from dynaurora.batches.ledger import Ledger
from dynaurora.dynamodb.versions import second_of
from dynaurora.errors import (
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
    batch: Batch, mapping: Mapping, aurora: Aurora, store: ObjectStore, landing_bucket: str, retries: int = 0
) -> ImportResult:
    """Apply a batch once, whatever was applied before and however often it is asked for.

    `retries` is how often it was tried before, for the ledger. Raises an error of `dynaurora.errors`; the transaction
    is then undone.
    """
    if batch.mapping != mapping.name:
        raise InvalidBatchError(f"The batch is for mapping {batch.mapping}, and this function imports {mapping.name}.")
    ledger = Ledger(aurora, mapping.database)
    with aurora.transaction():
        if not ledger.enter(batch, retries):
            return ImportResult("already_applied", batch.id, *ledger.counts(batch))
        check_objects(batch, store)
        rows_staged, rows_changed, oldest_second = 0, 0, None
        if batch.rows != 0:  # of a batch whose every record was refused, the ledger says so
            manifest_uri = write_manifest(batch, store, landing_bucket)
            rows_staged = stage(batch, mapping, aurora, manifest_uri)
            oldest_second = find_oldest_second(mapping, aurora) if batch.source == "stream" else None
            rows_changed = merge(mapping, aurora)
        ledger.close(batch, rows_staged, rows_changed)
    return ImportResult("applied", batch.id, rows_staged, rows_changed, oldest_second)


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


def stage(batch: Batch, mapping: Mapping, aurora: Aurora, manifest_uri: str) -> int:
    """Load the batch into the connection's temporary table and return its row count."""
    aurora.execute(sql.drop_staged(mapping))
    aurora.execute(sql.create_staged(mapping, sql.key_collation(aurora.server_version)))
    try:
        rows = aurora.write_rows(sql.load_staged(mapping), (manifest_uri,))
    except DuplicateRow as error:  # it replaces what it has twice: only a server that we do not know says so
        raise MalformedBatchError(str(error)) from error
    warnings = aurora.query("SHOW WARNINGS LIMIT 3")
    if warnings:
        raise MalformedBatchError(f"Loading batch {batch.id} warned: {'; '.join(str(w[2]) for w in warnings)}.")
    if batch.rows is not None and rows != batch.rows:
        raise RowCountError(f"Batch {batch.id} loaded {rows} rows, and was written with {batch.rows}.")
    return rows


def find_oldest_second(mapping: Mapping, aurora: Aurora) -> int | None:
    """Return when the oldest staged change was made, in Unix time; None where nothing is staged.

    Of all changes, and not only of those that are the newest of their items: until now people saw what was before them.
    """
    ((version,),) = aurora.query(sql.select_oldest_version(mapping))
    return None if version is None else second_of(int(version))


def merge(mapping: Mapping, aurora: Aurora) -> int:
    """Merge the staged rows into the replica and return how many of its rows were inserted or updated.

    Several versions of a key are one row, and counted once. Raises TargetMismatchError where the replica does not take
    what was staged: the staged table is the mapping's, so the replica is another.
    """
    try:
        changed = aurora.write_rows(sql.merge_staged(mapping))
    except (DuplicateRow, MalformedBatchError) as error:
        problem = f"{mapping.database}.{mapping.replica} does not take what mapping {mapping.name} writes"
        raise TargetMismatchError(
            f"{problem}: {str(error) if isinstance(error, DuplicateRow) else error.problem}"
        ) from error
    aurora.execute(sql.drop_staged(mapping))
    return changed
