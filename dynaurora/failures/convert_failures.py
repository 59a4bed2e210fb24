"""Converting failures: the records of failed objects, mapped again by the mapping of now.

Good rows become the CSV of one batch. What is refused again is written aside, with one more attempt on it, and takes
the object's place once the batch is imported (`settle_failures`). Nothing of the failed objects is changed here.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.aws.objects import aborting, is_there
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.errors import RejectedChange
from dynaurora.failures.failed_records import REJECTED, FailedRecord, encode_failed_record, read_change, read_records
from dynaurora.mappings.reasons import count_apart, name_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dynaurora.aws.objects import ObjectStore, Upload
    from dynaurora.failures.list_failures import FailedObject
    from dynaurora.mappings.row_mapper import RowMapper
    from dynaurora.mappings.rows import Row

RECORDS_TOGETHER: Final = 50
"""Records that are mapped at a time: one may have 1,000 KiB."""


@dataclass(frozen=True)
class Remade:
    """What the failed objects of an entry became."""

    batch: dict[str, Any]
    """The descriptor of the rows to import, which may be none: the ledger then has what was refused."""
    settlements: list[dict[str, Any]]
    """What is to become of each object once the batch is imported: `{"key", "etag", "remainder", "parked"}`."""
    records: int
    parked: int
    """Records that have been refused too often, and were not parked before."""
    ignored: int
    """Deletes by Time to Live, where they are not replicated."""


@dataclass
class Counts:
    """What has been done so far."""

    records: int = 0
    rows: int = 0
    parked: int = 0
    ignored: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Remaker:
    """Maps failed records again."""

    mapper: RowMapper
    store: ObjectStore
    bucket: str
    run: str
    max_attempts: int
    ignore_expiries: bool
    function_arn: str

    def remake(self, number: int, sources: Iterable[FailedObject]) -> Remade:
        """Write the rows of the records that the mapping takes now, and aside what it still refuses.

        Nothing of the sources is changed. The CSV is named by what it was made of, so the same failures make the same
        batch in the next run too. Objects that are gone, or were replaced since they were listed, are left out.
        """
        counts, settlements = Counts(), list[dict[str, Any]]()
        there = {
            index: source
            for index, source in enumerate(sources, 1)
            if is_there(self.store, self.bucket, source.key, source.etag)
        }
        name = self.mapper.mapping.name
        csv_key = keys.reprocessed_batch(name, self._digest(there.values()))
        with aborting(self.store.upload(self.bucket, csv_key)) as csv:
            for index, source in there.items():
                settlements.append(self._remake_object(number, index, source, csv, counts))
            etag = csv.complete()
        item = BatchObject(self.bucket, csv_key, etag, csv.size)
        rejected, mapping_digest = count_apart(counts.reasons), self.mapper.mapping.digest
        batch = Batch(name, "reprocess", self.run, counts.rows, (item,), rejected, mapping_digest)
        return Remade(batch.as_dict(), settlements, counts.records, counts.parked, counts.ignored)

    def _digest(self, sources: Iterable[FailedObject]) -> str:
        digest = hashlib.sha256(self.mapper.mapping.digest.encode())
        for source in sources:
            digest.update(f"\0{source.key}\0{source.etag}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:40]

    def _remake_object(
        self, number: int, index: int, source: FailedObject, csv: Upload, counts: Counts
    ) -> dict[str, Any]:
        """Map the records of one object; return how it is to be settled."""
        name = self.mapper.mapping.name
        remainder_key = keys.remainder(name, self.run, number, index)
        parked_key = keys.parked_remainder(name, self.run, number, index)
        is_parked = source.key.startswith(f"{keys.PARKED}/")
        with ExitStack() as stack:
            remainder = stack.enter_context(aborting(self.store.upload(self.bucket, remainder_key)))
            parked = stack.enter_context(aborting(self.store.upload(self.bucket, parked_key)))
            for records in batched(read_records(self.store, self.bucket, source.key), RECORDS_TOGETHER):
                for refused in self._remake_records(records, csv, counts):
                    is_given_up = refused.failures >= self.max_attempts and not is_parked
                    counts.parked += is_given_up
                    (parked if is_given_up else remainder).write(encode_failed_record(refused))
            settlement = {
                "key": source.key,
                "etag": source.etag,
                "remainder": remainder_key if remainder.size else None,
                "parked": parked_key if parked.size else None,
            }
            for upload in (remainder, parked):
                if upload.size:
                    upload.complete()
        return settlement

    def _remake_records(self, records: list[FailedRecord], csv: Upload, counts: Counts) -> list[FailedRecord]:
        """Write the rows of records; return those that are refused, as they are to be kept."""
        refused: list[FailedRecord] = []

        def map_plainly(index: int) -> Row | None:
            try:
                change = read_change(records[index].data, ignore_expiries=self.ignore_expiries)
                if change is not None:
                    return self.mapper.row(change)
                counts.ignored += 1
            except RejectedChange as error:
                counts.reasons[name_reason(error.reasons[0])] += 1
                refused.append(records[index].again(REJECTED, error.problem, self.function_arn))
            return None

        rows = self.mapper.writer.write_changes([record.data for record in records], map_plainly)
        csv.write(b"".join(row for row in rows if row is not None))
        counts.records += len(records)
        counts.rows += len(rows) - rows.count(None)
        return refused


def batched(records: Iterable[FailedRecord], size: int) -> Iterator[list[FailedRecord]]:
    """Yield records so many at a time."""
    iterator = iter(records)
    while batch := list(islice(iterator, size)):
        yield batch
