"""Converting failures: the records of failed objects, mapped again by the mapping of now.

Good rows become the CSV of one batch. What is refused again is written aside, with one more attempt on it, and takes
the object's place once the batch is imported (`settle_failures`). Packs that Firehose kept whole are taken apart: what
is refused of one goes back as single changes. Nothing of the failed objects is changed here.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.aws.objects import aborting, is_there
from dynaurora.batches.attempts import DEADLY, attempting
from dynaurora.batches.batch import Batch, BatchObject, Share
from dynaurora.dynamodb.changes import encode_change
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
from dynaurora.failures.refused_examples import RefusedExamples
from dynaurora.failures.refused_rows import TOO_OFTEN, RefusedRowReader, decode_refused_row
from dynaurora.mappings.csv_format import row_label
from dynaurora.mappings.reasons import count_apart, name_reason
from dynaurora.mappings.routing import Router
from dynaurora.mappings.sandbox import SandboxedRowMapper
from dynaurora.observability import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dynaurora.aws.objects import ObjectStore, Upload
    from dynaurora.batches.attempts import Attempts
    from dynaurora.dynamodb.changes import Change
    from dynaurora.errors import Reason
    from dynaurora.failures.list_failures import FailedObject
    from dynaurora.failures.refused_rows import ItemReader, KeptRow
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
class Counted:
    """What one target has so far."""

    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


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
    shares: dict[str, Counted] = field(default_factory=dict)
    """What each target has, by table, where the mapping routes."""
    examples: RefusedExamples = field(default_factory=RefusedExamples)
    """Of what is refused again."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A change that is refused again."""

    data: bytes
    change: Change | None
    """None where it is none."""
    problem: str
    target: str | None = None
    """The one target that refuses it, where its mapping has several."""
    reasons: tuple[Reason, ...] = ()


Refused = dict[int, list[Refusal]]
"""What is refused of records, by their numbers."""


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
        counts, settlements = self._begin(), list[dict[str, Any]]()
        there = {index: source for index, source in enumerate(sources, 1) if self._is_there(source)}
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
        shares = {table: Share(each.rows, count_apart(each.reasons)) for table, each in counts.shares.items()}
        reasons = count_apart(counts.reasons)
        batch = Batch(name, "reprocess", self.run, counts.rows, (item,), reasons, digest, counts.failures, shares)
        descriptor = keys.reprocessed_descriptor(name, self.run, number)  # a database that is restored asks for it
        self.store.write(self.bucket, descriptor, json.dumps(batch.as_dict()).encode())
        if examples := counts.examples.encode():  # for the report of the run
            self.store.write(self.bucket, keys.reprocess_refused(name, self.run, number), examples)
        return Remade(batch.as_dict(), settlements, counts.records, counts.parked, counts.ignored)

    def _is_there(self, source: FailedObject) -> bool:
        """Tell whether an object is there as it was listed, and log where it is not."""
        found = is_there(self.store, self.bucket, source.key, source.etag)
        if not found:
            logger.info("A failed object was left out", extra={"object": source.key, "why": "gone, or replaced since"})
        return found

    def _begin(self) -> Counts:
        targets = self.mapper.mapping.targets if self.mapper.mapping.routes else ()
        return Counts(shares={target.table: Counted() for target in targets})

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
        work = ObjectRemaker(self, csv, counts, attempts, is_parked=source.key.startswith(f"{keys.PARKED}/"))
        with ExitStack() as stack:
            uploads = {
                kind: stack.enter_context(aborting(self.store.upload(self.bucket, key))) for kind, key in places.items()
            }
            for records in batched(read_records(self.store, self.bucket, source.key)):
                for kind, line in work.remake_records(records):
                    uploads[kind].write(line)
            for upload in uploads.values():
                if upload.size:
                    upload.complete()
        written = {kind: places[kind] if upload.size else None for kind, upload in uploads.items()}
        return {"key": source.key, "etag": source.etag, **written}


@dataclass(frozen=True)
class ObjectRemaker:
    """Maps the records of one object again, some at a time."""

    remaker: Remaker
    csv: Upload
    counts: Counts
    attempts: Attempts
    is_parked: bool
    """Whether the object was refused too often before, and is looked at because somebody asked for it."""

    @property
    def mapper(self) -> RowMapper:
        """What maps them."""
        return self.remaker.mapper

    def remake_records(self, records: list[FailedRecord]) -> Iterator[tuple[str, bytes]]:
        """Write the rows of records; yield what is to be kept of those of which something is refused, and as what.

        What earlier attempts died of, alone, is refused unseen.
        """
        singles = [(number, single) for number, record in enumerate(records) for single in split_record(record)]
        refused: Refused = {}
        first = self.counts.records
        self.counts.records += len(singles)
        write = self._route_changes if self.mapper.mapping.routes else self._map_changes
        for hand, is_condemned in self.attempts.divide(range(first, self.counts.records), CHANGES_IN_HAND):
            part = singles[hand.start - first : hand.stop - first]
            if is_condemned:
                ((number, single),) = part
                refused.setdefault(number, []).extend(self._refuse_unseen(single))
            else:
                write(part, refused)
        for number, refusals in sorted(refused.items()):
            for refusal in refusals:
                if refusal.change is not None:
                    self.counts.examples.add(name_reason(refusal.reasons[0]), refusal.change.keys)
            yield from self._put_back(records[number], refusals)

    def _put_back(self, record: FailedRecord, refusals: list[Refusal]) -> Iterator[tuple[str, bytes]]:
        """Yield what is to be kept of a record, some of which was refused, and as what.

        Of a pack each change gets a place of its own. Where they are too many, or it failed too often, or was parked,
        a pack is kept of those that were refused.
        """
        is_given_up = record.failures + 1 >= self.remaker.max_attempts and not self.is_parked
        is_split = split_record(record)[0] is not record
        changes = list(dict.fromkeys(refusal.data for refusal in refusals))
        self.counts.parked += len(changes) * is_given_up
        if is_split and not (is_given_up or self.is_parked) and self.counts.split + len(refusals) <= MAX_SPLIT:
            self.counts.split += len(refusals)
            for refusal in refusals:
                single = replace(record, data=refusal.data, target=refusal.target)
                single = single.again(REJECTED, refusal.problem, self.remaker.function_arn, refusal.reasons)
                identity = refused_id(refusal.target or self.mapper.mapping.table, refusal.change, refusal.data)
                yield REFUSED, RefusedChange(identity, single).encode()
            return
        kept = record.again(REJECTED, describe_refusals(refusals), self.remaker.function_arn, refusals[0].reasons)
        if is_split:
            digest = decode_pack(record.data).digest or ""
            kept = replace(kept, data=encode_pack(digest, changes))
        elif len(refusals) == 1:
            kept = replace(kept, target=refusals[0].target)
        yield GIVEN_UP if is_given_up else REMAINDER, encode_failed_record(kept)

    def _refuse_unseen(self, single: FailedRecord) -> list[Refusal]:
        """Refuse the change that attempts died of: for each target that may have it, since nobody knows whose it is."""
        targets = self.mapper.mapping.targets
        refusals = list[Refusal]()
        for target in [each for each in targets if single.target == each.target_name] or targets:
            self._refuse(target, RejectedChange(DEADLY))
            refusals.append(Refusal(single.data, None, str(DEADLY), target.target_name, (DEADLY,)))
        return refusals

    def _map_changes(self, singles: list[tuple[int, FailedRecord]], refused: Refused) -> None:
        """Write the rows of changes, each with the number of its record; of those that are refused, tell why."""
        reader = RefusedRowReader(self.mapper.mapping, self.remaker.items)

        def map_plainly(index: int) -> Row | None:
            (number, single), change = singles[index], None
            data = single.data
            try:
                refused_row = decode_refused_row(data)
                if refused_row:
                    change = self._read_again(refused_row, reader, single)
                else:
                    change = read_change(data, ignore_expiries=self.remaker.ignore_expiries)
                if change is not None:
                    return self.mapper.row(change)
                self.counts.ignored += 1
            except RejectedChange as error:
                self.counts.reasons[name_reason(error.reasons[0])] += 1
                refused.setdefault(number, []).append(Refusal(data, change, error.problem, None, error.reasons))
            return None

        rows = self.mapper.writer.write_changes([single.data for _, single in singles], map_plainly)
        self.csv.write(b"".join(row for row in rows if row is not None))
        self.counts.rows += len(rows) - rows.count(None)

    def _read_again(self, row: KeptRow, reader: RefusedRowReader, record: FailedRecord) -> Change:
        """Return what the item of a row that Aurora refused is now. Raises RejectedChange where that was often."""
        if record.failures >= self.remaker.max_attempts and not self.is_parked:
            raise RejectedChange(TOO_OFTEN)
        change = reader.read_change(row)
        self.counts.failures = max(self.counts.failures, record.failures)
        return change

    def _route_changes(self, singles: list[tuple[int, FailedRecord]], refused: Refused) -> None:
        """Write the rows of changes in each target, or in the one that a change is missing in."""
        router = Router(self.mapper)
        routing = router.begin()
        for index, (number, single) in enumerate(singles):
            try:
                change, only = self._read_routed(single, router)
                if change is None:
                    self.counts.ignored += 1
                    continue
                router.route_change(routing, index, change, encode_change(change), only)
            except RejectedChange as error:
                self._refuse(self.mapper.mapping, error)
                refusal = Refusal(single.data, None, error.problem, single.target, error.reasons)
                refused.setdefault(number, []).append(refusal)
        for routed in routing.targets:
            mapping, (lines, refusals) = routed.mapper.mapping, routed.write()
            rows = [row_label(mapping) + line for line in lines if line is not None]
            self.csv.write(b"".join(rows))
            self.counts.rows += len(rows)
            self.counts.shares[mapping.table].rows += len(rows)
            for index, (change, reasons) in sorted(refusals.items()):
                (number, single), rejection = singles[index], RejectedChange(*reasons)
                self._refuse(mapping, rejection)
                refusal = Refusal(single.data, change, rejection.problem, mapping.target_name, reasons)
                refused.setdefault(number, []).append(refusal)

    def _read_routed(self, record: FailedRecord, router: Router) -> tuple[Change | None, RowMapper | None]:
        """Return the change of a record, None for a delete that is ignored; and what maps for its one target, if any.

        Raises RejectedChange where it is no change.
        """
        row = decode_refused_row(record.data)
        if row is None:
            change = read_change(record.data, ignore_expiries=self.remaker.ignore_expiries)
            return change, router.find_mapper(record.target or "")
        only = router.find_mapper(row.target)
        reader = RefusedRowReader((only or self.mapper).mapping, self.remaker.items)
        return self._read_again(row, reader, record), only

    def _refuse(self, mapping: Mapping, error: RejectedChange) -> None:
        """Count what a target refuses."""
        reason = name_reason(error.reasons[0])
        self.counts.reasons[reason] += 1
        if mapping.table in self.counts.shares:
            self.counts.shares[mapping.table].reasons[reason] += 1


def describe_refusals(refusals: list[Refusal]) -> str:
    """Return why a record is kept: of a pack, why the first of its changes is refused, and how many are."""
    others = len({refusal.data for refusal in refusals}) - 1
    more = f" (and {others} more changes of the pack are refused)" if others else ""
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
