"""Importing a batch: staged first, then one guarded merge in one transaction with its ledger row, part by part.

    read which mappings there were       with their generations
    look into the ledger                 the batch is there: applied before, stop
    read which parts it has              of a stream's batch, from the labels of its lines; others are of one mapping
    take a slot                          of those that all replications share
    for each part, by the columns of the mapping that wrote it
      take a table to stage in           the connection's own, or one that is nobody's by now
      load its CSV into that table       strict, nothing ignored
      count the rows                     against the number of its lines
      begin
        enter the part into the ledger   its row is there now: another import was faster, stop
        count the staged rows again      they are those that were counted
        look at the oldest of them       nothing is imported that is older than what was purged
        merge into the replica           a row changes only where the staged one is newer
        look at what the merge relies on no other unique key, no trigger that sets columns, …
        close the ledger row with its counts
      commit
      empty the table, leave it
    leave the slot

A batch of a verification is compared with the replica instead of being merged, by the same steps.

The load is outside the transaction, so it does not matter whether it ends one: nobody documents that Aurora's does
not. A crash anywhere leaves all of a part or nothing, and a repeat is recognised. Afterwards, when all parts are in,
the batch's objects are marked: only what is marked may expire, so what Aurora has not taken keeps its only copy. Rows
that SQL refuses are set aside (`dynaurora.batches.isolating`), and kept before the commit.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dynaurora import keys
from dynaurora.aurora import sql
from dynaurora.aurora.connection import find_row_error, is_of_columns
from dynaurora.aurora.memory_tables import room_in_memory
from dynaurora.aurora.merge_faults import check_engines, check_merging, explain_failure
from dynaurora.aurora.purging import check_floor
from dynaurora.aurora.slots import Slots, claim_slot
from dynaurora.aurora.staging import claim_table
from dynaurora.aurora.system_tables import IMPORTS
from dynaurora.batches.batch import IMPORTED, VERIFY
from dynaurora.batches.compare_staged import compare_staged
from dynaurora.batches.isolating import Isolation
from dynaurora.batches.ledger import Ledger
from dynaurora.batches.loading import PartSource, Staged, stage, write_manifest
from dynaurora.batches.merging import check_staged, merge
from dynaurora.batches.parts import UNLABELLED, Part, read_parts, total_lines
from dynaurora.batches.writers import Writers
from dynaurora.errors import (
    DynauroraError,
    InvalidBatchError,
    MalformedBatchError,
    ObjectChangedError,
    ObjectMissingError,
    RowCountError,
)
from dynaurora.mappings.csv_format import make_label

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.aurora.connection import Aurora
    from dynaurora.aurora.memory_tables import Widths
    from dynaurora.aurora.origins import Origin
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.batches.batch import Batch
    from dynaurora.batches.isolating import KeepRefused
    from dynaurora.mappings.mapping import Mapping


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did."""

    status: str
    """`applied` or `already_applied`."""
    batch_id: str
    rows_staged: int
    """Rows in the batch, but for those that Aurora refuses."""
    rows_changed: int
    """Rows of the replica that this batch has inserted or updated; the others were as new already, or newer."""
    oldest_second: int | None = None
    """Unix time of the oldest of a stream's changes that this import brought: the longest that any of them was late."""
    rows_refused: int = 0
    """Rows that Aurora refuses; they are kept as failed."""


@dataclass(frozen=True)
class Importer:
    """What imports of batches need, whatever the batch."""

    mapping: Mapping
    """The current one."""
    aurora: Aurora
    store: ObjectStore
    landing_bucket: str
    keep_refused: KeepRefused
    retries: int = 0
    slots: int = 0
    """How many imports there may be at once; 0 for any number."""

    def apply(self, batch: Batch, part: Part, origin: Origin) -> ImportResult:
        """Apply one part of a batch, once."""
        ledger_id = batch.part_id(part.label) if part.label else batch.id
        with claim_table(self.aurora, origin.mapping) as table:
            staged, source = Staged(table, 0), PartSource(ledger_id, "", part.label, part.rows)
            if part.rows != 0:  # of a batch whose every record was refused, the ledger says so
                uri = write_manifest(batch.mapping, ledger_id, part.objects, self.store, self.landing_bucket)
                source = PartSource(ledger_id, uri, part.label, part.rows, tell_widths(part, origin.mapping))
            work = PartImport(self, batch, origin, Isolation(origin, self.aurora, source))
            result = work.run(staged)
            clear(origin.mapping, self.aurora, table)
        return result


@dataclass(frozen=True)
class PartImport:
    """The import of one part of a batch."""

    importer: Importer
    batch: Batch
    origin: Origin
    isolation: Isolation

    def run(self, staged: Staged) -> ImportResult:
        """Stage and apply; where SQL refuses a row, set it aside."""
        table, aurora = staged.table, self.importer.aurora
        if self.isolation.source.manifest_uri:
            try:
                # What is compared is joined by the key, which a table in memory has not.
                room = 0 if self.batch.source == VERIFY else room_in_memory(self.importer.slots)
                staged = stage(self.origin.mapping, aurora, self.isolation.source, table, room)
            except DynauroraError as error:
                staged = self._stage_apart(table, error)
        try:
            return apply(self, staged, lambda: self._merge_or_compare(staged))
        except DynauroraError as error:
            explain_failure(error, aurora, self.origin.mapping, staged=staged.table, ledger=IMPORTS)
            if find_row_error(error) is None:
                raise
        ordered = self.isolation.sort(staged)
        return apply(self, ordered, lambda: self.isolation.merge(ordered))

    def _merge_or_compare(self, staged: Staged) -> int:
        """Merge what is staged, and return how many rows changed; or of a verification's batch, how many are equal."""
        importer = self.importer
        if self.batch.source != VERIFY:
            return merge(self.origin, importer.aurora, staged.table)
        comparison = compare_staged(self.origin, importer.aurora, staged, str(self.batch.run))
        key = keys.comparison(self.batch.mapping, str(self.batch.run), self.isolation.source.ledger_id)
        importer.store.write(importer.landing_bucket, key, json.dumps(comparison).encode())
        return int(comparison["counts"].get("identical", 0))

    def _stage_apart(self, table: str, error: DynauroraError) -> Staged:
        """Stage what a load has refused: for one of its rows, or because the table is another mapping's."""
        is_of_others = is_of_columns(error) and table != sql.STAGED
        if find_row_error(error) is None and not is_of_others:
            raise error
        try:
            return self.isolation.stage(table)
        except MalformedBatchError:
            raise error from None


def import_batch(
    batch: Batch,
    mapping: Mapping,
    aurora: Aurora,
    store: ObjectStore,
    landing_bucket: str,
    keep_refused: KeepRefused,
    retries: int = 0,
    slots: int = 0,
) -> ImportResult:
    """Apply a batch once, whatever was applied before and however often it is asked for.

    `mapping` is the current one, `keep_refused` what keeps the rows that Aurora refuses. `retries` is how often it
    was tried before, for the ledger; `slots` is how many imports there may be at once of all that share the bucket, 0
    for any number. Raises SlotsTakenError where its turn has not come, UnregisteredMappingError where nobody knows what
    wrote the batch, or another error of `dynaurora.errors`; what was done of a part is then undone.
    """
    if batch.mapping != mapping.name:
        raise InvalidBatchError(f"The batch is for mapping {batch.mapping}, and this function imports {mapping.name}.")
    importer = Importer(mapping, aurora, store, landing_bucket, keep_refused, retries, slots)
    writers = Writers(aurora, mapping)
    labels = writers.list_labels()
    applied = Ledger(aurora, mapping.database).find([batch.id, *map(batch.part_id, labels)])
    if batch.id in applied:  # it is the last of a batch's parts
        return add_results(batch, [ImportResult("already_applied", batch.id, *applied[batch.id])])
    try:
        parts = find_parts(batch, writers, store, landing_bucket)
    except (ObjectMissingError, ObjectChangedError):
        if not applied:
            raise
        # Objects may expire once all is in.
        return add_results(batch, [ImportResult("already_applied", batch.id, *counts) for counts in applied.values()])
    # All of them are known before any is applied.
    origins = [writers.find_origin(part.label, batch.digest) for part in parts]
    counts = [applied.get(batch.part_id(part.label)) if part.label else None for part in parts]
    results = [ImportResult("already_applied", batch.id, *found) for found in counts if found]
    left = [(part, origin) for part, origin, found in zip(parts, origins, counts, strict=True) if not found]
    if left:  # a repeat needs no slot
        with claim_slot(aurora, Slots(landing_bucket, slots), batch.mapping, is_streamed=batch.source == "stream"):
            results += [importer.apply(batch, part, origin) for part, origin in left]
    return add_results(batch, results)


def find_parts(batch: Batch, writers: Writers, store: ObjectStore, landing_bucket: str) -> list[Part]:
    """Return the parts of a batch: lines of a stream's say what they are of, all others are of one mapping.

    Where that has several targets, each has a part, be it without rows: its ledger row has what it was spared.
    """
    if batch.targets:
        check_objects(batch, store)
        shares = batch.targets.items()
        return [Part(make_label(table, batch.digest or ""), share.rows, batch.objects) for table, share in shares]
    if batch.source != "stream" or batch.digest or batch.rows == 0:
        check_objects(batch, store)
        return [Part(UNLABELLED, batch.rows, batch.objects)]
    parts = read_parts(batch, writers.current_label, store, landing_bucket)
    lines = total_lines(parts)
    if batch.rows is not None and lines != batch.rows:
        raise RowCountError(f"Batch {batch.id} has {lines} lines, and was written with {batch.rows}.")
    return parts


def add_results(batch: Batch, results: list[ImportResult]) -> ImportResult:
    """Return what an import of all parts did: it was applied where any of them was."""
    seconds = [result.oldest_second for result in results if result.oldest_second is not None]
    return ImportResult(
        status="applied" if any(result.status == "applied" for result in results) else "already_applied",
        batch_id=batch.id,
        rows_staged=sum(result.rows_staged for result in results),
        rows_changed=sum(result.rows_changed for result in results),
        oldest_second=min(seconds, default=None) if batch.source == "stream" else None,
        rows_refused=sum(result.rows_refused for result in results),
    )


def mark_imported(batch: Batch, store: ObjectStore) -> None:
    """Tag the objects of a batch that Aurora has, so that they may expire; the first that cannot be tagged raises.

    An object that was overwritten since is another one, not imported, and left as it is.
    """
    for item in batch.objects:
        if store.tail(item.bucket, item.key).etag == item.etag:
            store.tag(item.bucket, item.key, IMPORTED)


def tell_widths(part: Part, mapping: Mapping) -> Widths:
    """Return the most bytes of a field of each column of a part; nothing where that is not known of all of it."""
    told = [item.widths for item in part.objects]
    is_known = not part.label and all(len(widths) == len(mapping.columns) for widths in told)
    return tuple(map(max, zip(*told, strict=True))) if is_known else ()


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


def apply(work: PartImport, staged: Staged, merge_rows: Callable[[], int]) -> ImportResult:
    """Merge what is staged, in one transaction with the ledger; or say that another import has done so meanwhile.

    `merge_rows` merges it and returns how many rows changed. What it refuses, and what was refused before, is kept
    before the commit: a repeat would not find it any more.
    """
    batch, isolation = work.batch, work.isolation
    importer, mapping, ledger_id = work.importer, work.origin.mapping, isolation.source.ledger_id
    ledger, changed, oldest_second = Ledger(importer.aurora, mapping.database), 0, None
    with importer.aurora.transaction():
        if not ledger.enter(batch, ledger_id, mapping, importer.retries):
            counts = ledger.find([ledger_id]).get(ledger_id, (0, 0))
            return ImportResult("already_applied", batch.id, *counts)
        kept, before = staged.rows, len(isolation.refused)
        if staged.rows:
            oldest_second = check_staged(ledger_id, mapping, importer.aurora, staged)
            check_floor(importer.aurora, mapping, batch.id, oldest_second)
            check_engines(importer.aurora, mapping, IMPORTS)
            changed = merge_rows()
            check_merging(importer.aurora, mapping, staged=staged.table, ledger=IMPORTS)
            kept -= len(isolation.refused) - before
        if isolation.refused:
            importer.keep_refused(batch.mapping, ledger_id, isolation.refused, batch.failures)
        ledger.close(batch.share_of(mapping.table), ledger_id, kept, changed, isolation.reasons)
    return ImportResult("applied", batch.id, kept, changed, oldest_second, len(isolation.refused))


def clear(mapping: Mapping, aurora: Aurora, table: str) -> None:
    """Drop or empty the staged table: rows are not kept where nobody needs them.

    The batch is committed: what goes wrong here is no error of its import, and the next one empties the table anyway.
    """
    with suppress(DynauroraError):
        if table == sql.STAGED:
            aurora.execute(sql.drop_staged(mapping))
        else:
            with aurora.transaction():
                aurora.execute(sql.empty_staged(mapping, table))
