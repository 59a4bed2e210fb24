"""Converting failures: the records of failed objects, mapped again by the mapping of now.

Good rows become the CSV of one batch. What is refused again is written aside, with one more attempt on it, and takes
the object's place once the batch is imported (`settle_failures`). Packs that Firehose kept whole are taken apart: what
is refused of one goes back as single changes. Nothing of the failed objects is changed here.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.aws.objects import aborting, is_there
from dynaurora.batches.attempts import DEADLY, attempting
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.dynamodb.packs import decode_pack, encode_pack
from dynaurora.errors import RejectedChange
from dynaurora.failures.failed_records import (
    REJECTED,
    FailedRecord,
    encode_failed_record,
    read_change,
    read_records,
    split_record,
)
from dynaurora.failures.refused_changes import RefusedChange, refused_id
from dynaurora.failures.refused_rows import TOO_OFTEN, RefusedRowReader, decode_refused_row
from dynaurora.mappings.reasons import count_apart, name_reason
from dynaurora.mappings.sandbox import SandboxedRowMapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dynaurora.aws.objects import ObjectStore, Upload
    from dynaurora.batches.attempts import Attempts
    from dynaurora.dynamodb.changes import Change
    from dynaurora.failures.list_failures import FailedObject
    from dynaurora.failures.refused_rows import ItemReader
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.row_mapper import RowMapper
    from dynaurora.mappings.rows import Row

RECORDS_TOGETHER: Final = 50
"""Records that are mapped at a time, and take as many bytes at most, but for one that has more by itself."""
BYTES_TOGETHER: Final = 1024 * 1024
CHANGES_IN_HAND: Final = 100
"""That are mapped at a time after an attempt has died; each hundred is noted before."""
MAX_SPLIT: Final = 1000
"""Refused changes of packs that an entry puts back as objects of their own. Where more are refused the mapping is
wrong, and they stay together, as packs."""
REMAINDER: Final = "remainder"
"""What is to take the object's place."""
GIVEN_UP: Final = "parked"
"""What was refused too often."""
REFUSED: Final = "refused"
"""Single changes of packs, each of which gets a place of its own."""
PLACES: Final = {
    REMAINDER: keys.remainder,
    GIVEN_UP: keys.parked_remainder,
    REFUSED: keys.refused_remainder,
}
"""Where each of these is written aside."""


@dataclass(frozen=True)
class Remade:
    """What the failed objects of an entry became."""

    batch: dict[str, Any]
    """The descriptor of the rows to import, which may be none: the ledger then has what was refused."""
    settlements: list[dict[str, Any]]
    """What is to become of each object once the batch is imported: `{"key", "etag", "remainder", "parked",
    "refused"}`, the last three keys of what was written aside, or None."""
    records: int
    """Changes: of a pack, each."""
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
    split: int = 0
    """Refused changes that get a place of their own."""
    reasons: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    """How often those rows that Aurora refused were refused, at most."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A change that is refused again."""

    data: bytes
    change: Change | None
    """None where it is none."""
    problem: str


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
    items: ItemReader | None = None
    """What reads items again whose rows Aurora refused."""
    make_careful: Callable[[Mapping], RowMapper] = SandboxedRowMapper
    """Makes what maps where an attempt at the same objects ended without a word."""

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
        name, work = self.mapper.mapping.name, self._digest(there.values())
        csv_key = keys.reprocessed_batch(name, work)
        with (
            attempting(self.store, self.bucket, keys.reprocess_attempts(name, work)) as attempts,
            aborting(self.store.upload(self.bucket, csv_key)) as csv,
        ):
            remaker = replace(self, mapper=self.make_careful(self.mapper.mapping)) if attempts.is_careful else self
            for index, source in there.items():
                settlements.append(remaker._remake_object(number, index, source, csv, counts, attempts))
            etag = csv.complete()
        item = BatchObject(self.bucket, csv_key, etag, csv.size)
        digest = self.mapper.mapping.digest
        batch = Batch(
            name, "reprocess", self.run, counts.rows, (item,), count_apart(counts.reasons), digest, counts.failures
        )
        return Remade(batch.as_dict(), settlements, counts.records, counts.parked, counts.ignored)

    def _digest(self, sources: Iterable[FailedObject]) -> str:
        digest = hashlib.sha256(self.mapper.mapping.digest.encode())
        for source in sources:
            digest.update(f"\0{source.key}\0{source.etag}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:40]

    def _remake_object(
        self, number: int, index: int, source: FailedObject, csv: Upload, counts: Counts, attempts: Attempts
    ) -> dict[str, Any]:
        """Map the records of one object; return how it is to be settled."""
        name, places = self.mapper.mapping.name, dict[str, str]()
        for kind, make_key in PLACES.items():
            places[kind] = make_key(name, self.run, number, index)
        is_parked = source.key.startswith(f"{keys.PARKED}/")
        with ExitStack() as stack:
            uploads = {
                kind: stack.enter_context(aborting(self.store.upload(self.bucket, key))) for kind, key in places.items()
            }
            for records in batched(read_records(self.store, self.bucket, source.key)):
                for record, refusals in self._remake_records(records, csv, counts, attempts, is_parked=is_parked):
                    for kind, line in self._put_back(record, refusals, counts, is_parked=is_parked):
                        uploads[kind].write(line)
            for upload in uploads.values():
                if upload.size:
                    upload.complete()
        written = {kind: places[kind] if upload.size else None for kind, upload in uploads.items()}
        return {"key": source.key, "etag": source.etag, **written}

    def _put_back(
        self, record: FailedRecord, refusals: list[Refusal], counts: Counts, *, is_parked: bool
    ) -> Iterator[tuple[str, bytes]]:
        """Yield what is to be kept of a record, some of which was refused, and as what.

        Of a pack each change gets a place of its own. Where they are too many, or it failed too often, or was parked,
        a pack is kept of those that were refused.
        """
        is_given_up = record.failures + 1 >= self.max_attempts and not is_parked
        is_split = split_record(record)[0] is not record
        counts.parked += len(refusals) * is_given_up
        if is_split and not (is_given_up or is_parked) and counts.split + len(refusals) <= MAX_SPLIT:
            counts.split += len(refusals)
            for refusal in refusals:
                single = replace(record, data=refusal.data).again(REJECTED, refusal.problem, self.function_arn)
                identity = refused_id(self.mapper.mapping.table, refusal.change, refusal.data)
                yield REFUSED, RefusedChange(identity, single).encode()
            return
        kept = record.again(REJECTED, describe_refusals(refusals), self.function_arn)
        if is_split:
            digest = decode_pack(record.data).digest or ""
            kept = replace(kept, data=encode_pack(digest, (refusal.data for refusal in refusals)))
        yield GIVEN_UP if is_given_up else REMAINDER, encode_failed_record(kept)

    def _remake_records(
        self, records: list[FailedRecord], csv: Upload, counts: Counts, attempts: Attempts, *, is_parked: bool
    ) -> Iterator[tuple[FailedRecord, list[Refusal]]]:
        """Write the rows of records; return those of which something is refused, with that.

        What earlier attempts died of, alone, is refused unseen.
        """
        singles = [(number, single.data) for number, record in enumerate(records) for single in split_record(record)]
        refused: dict[int, list[Refusal]] = {}
        first = counts.records
        counts.records += len(singles)
        for hand, is_condemned in attempts.divide(range(first, counts.records), CHANGES_IN_HAND):
            part = singles[hand.start - first : hand.stop - first]
            if is_condemned:
                ((number, data),) = part
                counts.reasons[name_reason(DEADLY)] += 1
                refused.setdefault(number, []).append(Refusal(data, None, str(DEADLY)))
            else:
                self._map_changes(part, records, csv, counts, refused, is_parked=is_parked)
        return ((records[number], refusals) for number, refusals in sorted(refused.items()))

    def _map_changes(
        self,
        singles: list[tuple[int, bytes]],
        records: list[FailedRecord],
        csv: Upload,
        counts: Counts,
        refused: dict[int, list[Refusal]],
        *,
        is_parked: bool,
    ) -> None:
        """Write the rows of changes, each with the number of its record; of those that are refused, tell why."""
        reader = RefusedRowReader(self.mapper.mapping, self.items)

        def map_plainly(index: int) -> Row | None:
            (number, data), change = singles[index], None
            try:
                refused_row = decode_refused_row(data)
                if refused_row:
                    if records[number].failures >= self.max_attempts and not is_parked:
                        raise RejectedChange(TOO_OFTEN)
                    change = reader.read_change(refused_row)
                    counts.failures = max(counts.failures, records[number].failures)
                else:
                    change = read_change(data, ignore_expiries=self.ignore_expiries)
                if change is not None:
                    return self.mapper.row(change)
                counts.ignored += 1
            except RejectedChange as error:
                counts.reasons[name_reason(error.reasons[0])] += 1
                refused.setdefault(number, []).append(Refusal(data, change, error.problem))
            return None

        rows = self.mapper.writer.write_changes([data for _, data in singles], map_plainly)
        csv.write(b"".join(row for row in rows if row is not None))
        counts.rows += len(rows) - rows.count(None)


def describe_refusals(refusals: list[Refusal]) -> str:
    """Return why a record is kept: of a pack, why the first of its changes is refused, and how many are."""
    more = f" (and {len(refusals) - 1} more changes of the pack are refused)" if len(refusals) > 1 else ""
    return refusals[0].problem + more


def batched(records: Iterable[FailedRecord]) -> Iterator[list[FailedRecord]]:
    """Yield records some at a time, as many as are mapped together."""
    batch, size = list[FailedRecord](), 0
    for record in records:
        if batch and (len(batch) == RECORDS_TOGETHER or size + len(record.data) > BYTES_TOGETHER):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += len(record.data)
    if batch:
        yield batch
