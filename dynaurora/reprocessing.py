"""Reprocessing: what is kept as failed, mapped or imported again, until it is in Aurora or in front of a person.

    records of the failed prefix, and stream records that were not forwarded
        → the current mapping → CSV → import_batch → what was refused again takes the object's place;
          where the import failed, all of it does
    batches that Aurora did not take → import_batch → their record goes
    batches that could not be converted → convert_export → import_batch → their record goes
    streamed batches that are neither imported nor failed, for no import was started → import_batch

A record keeps its version, so an old failed change never beats a newer row. An object is replaced or deleted only when
its good rows are committed, or each of its records has the failed attempt counted on it; killed anywhere before, the
same work is done again. What has failed MAX_ATTEMPTS times, the failure that brought it here included, is parked: kept
under its own prefix, and taken up only on request.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.batches import IMPORTED, Batch, BatchObject
from dynaurora.changes import Change, decode_change, from_stream_record, is_expiry
from dynaurora.converting import count_apart
from dynaurora.errors import InvalidRunError, ObjectMissingError, RejectedChange
from dynaurora.failed_batches import attempts_of, is_conversion, read_import_error, read_record
from dynaurora.failed_records import (
    IMPORT,
    REJECTED,
    FailedRecord,
    decode_failed_record,
    encode_failed_record,
    now_ms,
)
from dynaurora.objects import aborting, read_or_none
from dynaurora.reasons import name_reason
from dynaurora.runbooks import FAILED_BATCHES, FAILED_RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dynaurora.notices import Notices
    from dynaurora.objects import Listed, ObjectStore, Upload
    from dynaurora.rows import Row, RowMapper

MAX_ENTRY_OBJECTS: Final = 50
MAX_ENTRY_BYTES: Final = 64 * 1024 * 1024
"""Of the failed objects that are converted together: one CSV, one import."""
RECORDS_TOGETHER: Final = 50
"""Records that are mapped at a time: one may have 1,000 KiB."""
REASONS_TOLD: Final = 3
"""Of those that records of an entry were refused for, in a notice."""
RECORDS: Final = "records"
BATCH: Final = "batch"
CONVERSION: Final = "conversion"
UNSTARTED: Final = "unstarted"
"""A streamed batch that is not in Aurora, and not kept as failed: its event never came, or its import was stopped."""
SUPERSEDED: Final = "superseded"
"""A failed batch of records that are kept themselves, and mapped again: its rows may be those of an older mapping."""
OVERDUE: Final = timedelta(hours=1)
"""Age from which a batch is taken for unstarted. One that merely waits for its turn is imported once all the same."""
LOOKED_BACK: Final = timedelta(days=3)
MOST_LOOKED_AT: Final = 5000
"""How far back unstarted batches are looked for without being asked: S3 has to be asked about each batch there is. With
a run each hour, each batch is looked at many times before it is too old."""
UNFORWARDED_CODE: Final = "dynaurora.Unforwarded"
UNREADABLE_CODE: Final = "dynaurora.Unreadable"
DAMAGED: Final = "the object is not the record of a failed batch"


@dataclass(frozen=True)
class Place:
    """Where one stack's failures are."""

    bucket: str
    mapping: str
    table: str
    """The DynamoDB table: event source mappings of every stack that shares the bucket write under one prefix."""

    def prefixes(self, *, parked: bool) -> dict[str, str]:
        """Return the prefixes to look under, each with the kind of what is there."""
        records, batches = keys.failed_records_prefix(self.mapping), keys.failed_batches_prefix(self.mapping)
        under = {records: RECORDS, keys.unforwarded_prefix(): RECORDS, batches: BATCH}
        if parked:
            under |= {keys.parked(self.mapping, records): RECORDS, keys.parked(self.mapping, batches): BATCH}
        return under

    @property
    def processed(self) -> str:
        """The prefix of the streamed batches."""
        return keys.processed_prefix(self.mapping)

    def check_prefix(self, prefix: str | None) -> None:
        """Raise InvalidRunError where nothing of this stack's can be under a prefix."""
        prefixes = (*self.prefixes(parked=True), self.processed)
        if prefix is not None and not any(narrow(under, prefix) for under in prefixes):
            raise InvalidRunError(f"No failures can be under {prefix!r}; they are under: {', '.join(prefixes)}.")


@dataclass(frozen=True, slots=True)
class Source:
    """One failed object, at the contents its ETag names."""

    key: str
    etag: str
    size: int


# Listing


def list_failures(
    place: Place, store: ObjectStore, *, prefix: str | None, parked: bool
) -> Iterator[tuple[str, Listed]]:
    """Yield each failed object with its kind; those under `prefix` only, where one is given.

    Unstarted batches are among them where the prefix is theirs. Raises InvalidRunError where nothing of this stack's
    can be under it.
    """
    place.check_prefix(prefix)
    for under, kind in place.prefixes(parked=parked or (prefix or "").startswith(f"{keys.PARKED}/")).items():
        if narrowed := narrow(under, prefix):
            yield from ((kind, listed) for listed in list_kept(place, store, narrowed))
    if prefix and (narrowed := narrow(place.processed, prefix)):
        yield from ((UNSTARTED, listed) for listed in list_unstarted(place, store, narrowed))


def list_kept(place: Place, store: ObjectStore, prefix: str) -> Iterable[Listed]:
    """Return what this stack keeps as failed under a prefix, which is one of the place's or within it."""
    if prefix.startswith(keys.unforwarded_prefix()):
        return list_unforwarded(place, store, prefix)
    return store.list(place.bucket, prefix)


def list_unforwarded(place: Place, store: ObjectStore, prefix: str) -> Iterator[Listed]:
    """Yield the stream records that were not forwarded and are of this stack's table.

    The prefix has the id of an event source mapping, which reads one stream: one of its objects tells of all.
    """
    tables: dict[str, str | None] = {}
    for listed in store.list(place.bucket, prefix):
        mapping = keys.event_source_mapping(listed.key)
        if tables.get(mapping) is None:
            tables[mapping] = read_table(read_or_none(store, place.bucket, listed.key))
        if tables[mapping] in {None, place.table}:  # what nobody can tell of is taken up, so that it is seen
            yield listed


def read_table(body: bytes | None) -> str | None:
    """Return the table that the record of an invocation is of; None where it does not say."""
    try:
        arn = json.loads(body or b"")["DDBStreamBatchInfo"]["streamArn"]
        return str(arn.split("/")[1])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError):
        return None


def narrow(under: str, prefix: str | None) -> str | None:
    """Return the prefix of what is under both, or None where nothing can be; no prefix narrows nothing."""
    if prefix is None or under.startswith(prefix):
        return under
    return prefix if prefix.startswith(under) else None


def list_unstarted(place: Place, store: ObjectStore, prefix: str | None = None) -> Iterator[Listed]:
    """Yield the streamed batches that are neither marked as imported nor kept as failed.

    All of those under a prefix; without one, those that are overdue, as far as is looked back.
    """
    failed = keys.failed_batches_prefix(place.mapping)
    recorded = {
        listed.key.rpartition("/")[2].removesuffix(".json")
        for under in (failed, keys.parked(place.mapping, failed))
        for listed in store.list(place.bucket, under)
    }
    for listed in store.list(place.bucket, prefix) if prefix else list_overdue(place, store, datetime.now(UTC)):
        if unstarted_batch(place, listed).id not in recorded and not is_imported(store, place.bucket, listed.key):
            yield listed


def list_overdue(place: Place, store: ObjectStore, now: datetime) -> Iterable[Listed]:
    """Return the streamed batches that had time enough to be imported, as far as is looked back."""
    first_day = f"{place.processed}{now - LOOKED_BACK:%Y/%m/%d}"  # as the delivery stream names its folders
    landed = store.list(place.bucket, place.processed, after=first_day)
    return deque((listed for listed in landed if listed.modified_at < now - OVERDUE), MOST_LOOKED_AT)


def is_imported(store: ObjectStore, bucket: str, key: str) -> bool:
    """Tell whether an object is marked as imported, or is gone."""
    try:
        return IMPORTED.items() <= store.read_tags(bucket, key).items()
    except ObjectMissingError:
        return True


def unstarted_batch(place: Place, listed: Listed) -> Batch:
    """Return the batch of a streamed object, as the rule that starts imports describes it."""
    item = BatchObject(place.bucket, listed.key, listed.etag, listed.size)
    return Batch(place.mapping, "stream", None, None, (item,))


def plan_reprocess(place: Place, store: ObjectStore, *, prefix: str | None, parked: bool) -> Iterator[dict[str, Any]]:
    """Yield what a run takes up, entry by entry, numbered from 1."""
    group, size, number = list[Source](), 0, 0
    for kind, listed in list_failures(place, store, prefix=prefix, parked=parked):
        source = Source(listed.key, listed.etag, listed.size)
        if kind == UNSTARTED:
            number += 1
            yield {"number": number, **unstarted_entry(place, listed)}
            continue
        if kind == BATCH:
            body = read_or_none(store, place.bucket, source.key)
            if body is not None:  # else it was dealt with since it was listed
                number += 1
                yield {"number": number, **batch_entry(read_record(body), source)}
            continue
        if group and (len(group) == MAX_ENTRY_OBJECTS or size + source.size > MAX_ENTRY_BYTES):
            number += 1
            yield {"number": number, "kind": RECORDS, "objects": [asdict(item) for item in group]}
            group, size = [], 0
        group.append(source)
        size += source.size
    if group:
        number += 1
        yield {"number": number, "kind": RECORDS, "objects": [asdict(item) for item in group]}
    for listed in list_unstarted(place, store) if prefix is None else ():
        number += 1
        yield {"number": number, **unstarted_entry(place, listed)}


def is_anything_failed(place: Place, store: ObjectStore) -> bool:
    """Tell whether a run that is asked for nothing in particular would take anything up, and look no further."""
    kept = (kind for kind, _ in list_failures(place, store, prefix=None, parked=False))
    return next(kept, None) is not None or next(iter(list_unstarted(place, store)), None) is not None


def batch_entry(record: dict[str, Any], source: Source) -> dict[str, Any]:
    """Return the entry of a failed batch, with what its kind needs; a damaged record has it not."""
    kind = kind_of_batch(record)
    needed = {CONVERSION: "conversion", BATCH: "batch"}.get(kind)
    return {"kind": kind, "objects": [asdict(source)], **({needed: record[needed]} if needed in record else {})}


def kind_of_batch(record: dict[str, Any]) -> str:
    """Return the kind of a failed batch: to be imported, to be converted first, or merely to be forgotten.

    A damaged record is that of a batch that is to be imported and cannot be, so that it is seen.
    """
    if is_conversion(record.get("conversion")):
        return CONVERSION
    batch = record.get("batch")
    return SUPERSEDED if isinstance(batch, dict) and batch.get("source") == "reprocess" else BATCH


def unstarted_entry(place: Place, listed: Listed) -> dict[str, Any]:
    """Return the entry of an unstarted batch."""
    source = Source(listed.key, listed.etag, listed.size)
    return {"kind": UNSTARTED, "objects": [asdict(source)], "batch": unstarted_batch(place, listed).as_dict()}


# Converting


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

    def remake(self, number: int, sources: Iterable[Source]) -> Remade:
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
        batch = Batch(name, "reprocess", self.run, counts.rows, (item,), count_apart(counts.reasons))
        return Remade(batch.as_dict(), settlements, counts.records, counts.parked, counts.ignored)

    def _digest(self, sources: Iterable[Source]) -> str:
        digest = hashlib.sha256(self.mapper.mapping.digest.encode())
        for source in sources:
            digest.update(f"\0{source.key}\0{source.etag}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:40]

    def _remake_object(self, number: int, index: int, source: Source, csv: Upload, counts: Counts) -> dict[str, Any]:
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


def read_records(store: ObjectStore, bucket: str, key: str) -> Iterator[FailedRecord]:
    """Yield the records in a failed object, whoever wrote it; what is no record is one all the same."""
    if key.startswith(f"{keys.UNFORWARDED}/"):
        yield from read_invocation(store.read(bucket, key))
        return
    for line in store.open(bucket, key):
        text = line.strip()
        if text:
            yield read_line(text)


def read_line(line: bytes) -> FailedRecord:
    """Return the failed record of a line: an envelope, or the record itself as somebody put it there."""
    try:
        return decode_failed_record(line)
    except ValueError as error:
        return FailedRecord(line, UNREADABLE_CODE, str(error), 0, now_ms(), "")


def read_invocation(body: bytes) -> Iterator[FailedRecord]:
    """Yield the stream records inside of the record of an invocation that the event source mapping gave up on.

    Its `payload` is the function's event, as text or as an object (AWS Lambda Developer Guide, "Retain discarded
    records of DynamoDB"). What has none is one record that cannot be mapped, so that it is seen.
    """
    try:
        document = json.loads(body)
        payload = document["payload"]
        records = (json.loads(payload) if isinstance(payload, str) else payload)["Records"]
        if not isinstance(records, list):
            raise TypeError("Records is no array")
        context = document.get("requestContext") or {}
        arn, condition = str(context.get("functionArn") or ""), str(context.get("condition") or "it was given up on")
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        problem = f"it is not the record of an invocation: {type(error).__name__} {error}"
        yield FailedRecord(body, UNREADABLE_CODE, problem, 0, now_ms(), "")
        return
    for record in records:
        yield FailedRecord(json.dumps(record).encode(), UNFORWARDED_CODE, condition, 0, now_ms(), arn)


def read_change(data: bytes, *, ignore_expiries: bool = False) -> Change | None:
    """Return the change in a failed record, which is one of ours or a stream's; None for a delete that is ignored.

    Raises RejectedChange where it is neither.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or "dynamodb" not in document:
        return decode_change(data)
    if ignore_expiries and is_expiry(document):
        return None
    return from_stream_record(document)


# Settling


@dataclass(frozen=True)
class Settler:
    """Settles the objects of an entry once it is known whether its batch is in Aurora."""

    store: ObjectStore
    bucket: str
    max_attempts: int
    notices: Notices
    claimant: str
    """Who tells people of what was parked: the run and its entry."""

    def settle(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Settle an entry whose import succeeded (`imported`) or failed (`error`); return what became of it, counted.

        Settling again does what was not done yet, and nothing else.
        """
        imported, outcome = entry.get("imported"), ""
        records_parked = int(entry.get("parked") or 0)
        if entry["kind"] in {BATCH, CONVERSION}:
            outcome = self._settle_batch(entry, imported=imported is not None)
        elif entry["kind"] == SUPERSEDED:
            forget_superseded(self.store, self.bucket, Source(**entry["objects"][0]))
        elif entry["kind"] == RECORDS and imported is not None:
            settle_records(self.store, self.bucket, self.notices.mapping, entry["settlements"])
            forget_batch(self.store, self.bucket, self.notices.mapping, imported["batch_id"])
        elif entry["kind"] == RECORDS:
            records_parked = self._settle_unimported(entry)
        counts = {
            "kind": entry["kind"],
            "records": int(entry.get("records") or 0),
            "rows": int((imported or {}).get("rows_staged") or 0),
            "rows_changed": int((imported or {}).get("rows_changed") or 0),
            "rejected": (entry.get("batch") or {}).get("rejected") or {} if entry["kind"] == RECORDS else {},
            "records_parked": records_parked,
            "batches_imported": int(imported is not None and entry["kind"] != RECORDS),
            "batches_failed": int(imported is None and entry["kind"] != SUPERSEDED),
            "batches_parked": int(outcome == "parked"),
        }
        return {**counts, "notice": self._notice(counts, describe_reason(entry))}

    def _settle_unimported(self, entry: dict[str, Any]) -> int:
        """Count the failed import on each record of an entry; return how many of them are parked."""
        name, reason = read_import_error(entry.get("error"))
        return sum(self._fail_object(settlement, f"{IMPORT}{name}", reason) for settlement in entry["settlements"])

    def _fail_object(self, settlement: dict[str, Any], code: str, reason: str) -> int:
        """Put the records of an object back with one more attempt on each; return how many of them are parked.

        What failed too often is parked first, and found there by an attempt that comes after one that was cut off.
        """
        key, mapping = settlement["key"], self.notices.mapping
        place, parked_key = remainder_place(mapping, key), parked_place(mapping, settlement)
        if is_there(self.store, self.bucket, key, settlement["etag"]):
            with ExitStack() as stack:
                kept, parked = (
                    stack.enter_context(aborting(self.store.upload(self.bucket, target)))
                    for target in (place, parked_key)
                )
                for record in fail_records(self.store, self.bucket, settlement, code, reason):
                    is_given_up = record.failures >= self.max_attempts and not key.startswith(f"{keys.PARKED}/")
                    (parked if is_given_up else kept).write(encode_failed_record(record))
                for upload in (parked, kept):
                    if upload.size:
                        upload.complete()
            if not kept.size or place != key:
                self.store.delete(self.bucket, key)
        return count_lines(self.store, self.bucket, parked_key)

    def _settle_batch(self, entry: dict[str, Any], *, imported: bool) -> str:
        source = Source(**entry["objects"][0])
        mapping, limit = self.notices.mapping, self.max_attempts if is_importable(entry) else 0
        if not imported and is_recorded(self.store, self.bucket, mapping, entry):
            self.store.delete(self.bucket, source.key)  # it is converted; what failed is a batch with its own record
            return "kept"
        return settle_batch(self.store, self.bucket, mapping, source, imported=imported, max_attempts=limit)

    def _notice(self, counts: dict[str, Any], reason: str) -> dict[str, str] | None:
        """Return what people are to be told of what was parked; None where they are not, or were told lately."""
        parked = {"records": counts["records_parked"], "batches": counts["batches_parked"]}
        if not any(parked.values()) or not self.notices.claim("parked", self.claimant, datetime.now(UTC)):
            return None
        what = " and ".join(f"{count} {name}" for name, count in parked.items() if count)
        lines = [
            f"{what} of {self.notices.mapping} were parked.",
            f"Reason: {reason}",
            f"What fails {self.max_attempts} times, or cannot be read, is kept and not tried again by itself.",
            f"Kept in: s3://{self.bucket}/{keys.parked_prefix(self.notices.mapping)}",
            "Look: dynaurora failures list --parked",
            f"Then: dynaurora reprocess start {self.notices.mapping} --include-parked",
            f"Runbook: {FAILED_RECORDS if parked['records'] else FAILED_BATCHES}",
        ]
        return {"subject": f"dynaurora: {what} parked", "message": "\n".join(lines)}


def describe_reason(entry: dict[str, Any]) -> str:
    """Return why what is parked of an entry failed this time: its import's error, or what the mapping refused most."""
    if entry["kind"] == BATCH and not is_importable(entry):
        return DAMAGED
    if entry.get("imported") is None:
        return ": ".join(read_import_error(entry.get("error")))
    rejected: dict[str, int] = (entry.get("batch") or {}).get("rejected") or {}
    return ", ".join(sorted(rejected, key=lambda reason: -rejected[reason])[:REASONS_TOLD])


def settle_records(store: ObjectStore, bucket: str, mapping: str, settlements: Iterable[dict[str, Any]]) -> int:
    """Put what was refused again into the place of each object, once its rows are committed; return how many.

    What was refused too often is parked first. An object that was replaced meanwhile is left for the next run.
    """
    settled = 0
    for settlement in settlements:
        key = settlement["key"]
        place = remainder_place(mapping, key)
        if not is_there(store, bucket, key, settlement["etag"]):
            continue
        if settlement["parked"]:
            store.copy(bucket, settlement["parked"], parked_place(mapping, settlement))
        if settlement["remainder"]:
            store.copy(bucket, settlement["remainder"], place)
        if not settlement["remainder"] or place != key:
            store.delete(bucket, key)
        settled += 1
    return settled


def fail_records(
    store: ObjectStore, bucket: str, settlement: dict[str, Any], code: str, reason: str
) -> Iterator[FailedRecord]:
    """Yield the records of an object whose import failed, each with one more attempt on it.

    Those that the mapping refused were not part of the batch: they are told from the others by their bytes, and have
    its reason.
    """
    refused = set[bytes]()
    for key in filter(None, (settlement["remainder"], settlement["parked"])):
        for record in read_records(store, bucket, key):
            refused.add(hashlib.sha256(record.data).digest())
            yield record
    for record in read_records(store, bucket, settlement["key"]):
        if hashlib.sha256(record.data).digest() not in refused:
            yield record.again(code, reason, record.function_arn)


def count_lines(store: ObjectStore, bucket: str, key: str) -> int:
    """Return how many lines an object has; none where there is no such object."""
    try:
        return sum(1 for _ in store.open(bucket, key))
    except ObjectMissingError:
        return 0


def is_there(store: ObjectStore, bucket: str, key: str, etag: str) -> bool:
    """Tell whether an object is there, at the contents that its ETag names."""
    try:
        return store.tail(bucket, key).etag == etag
    except ObjectMissingError:
        return False


def forget_batch(store: ObjectStore, bucket: str, mapping: str, batch_id: str) -> None:
    """Remove what is kept of a batch of records that failed before and is imported now."""
    failed_key = keys.failed_batch(mapping, batch_id)
    for key in (failed_key, keys.parked(mapping, failed_key)):
        if read_or_none(store, bucket, key) is not None:  # else the bucket's versions would gain a marker each time
            store.delete(bucket, key)


def forget_superseded(store: ObjectStore, bucket: str, source: Source) -> None:
    """Remove the record of a superseded batch, unless the same batch has failed once more since it was listed."""
    if is_there(store, bucket, source.key, source.etag):
        store.delete(bucket, source.key)


def is_recorded(store: ObjectStore, bucket: str, mapping: str, entry: dict[str, Any]) -> bool:
    """Tell whether a conversion that succeeded has become a failed batch, which is recorded by itself."""
    if entry["kind"] != CONVERSION or "batch" not in entry:
        return False
    batch_id = Batch.from_event(entry).id
    return read_or_none(store, bucket, keys.failed_batch(mapping, batch_id)) is not None


def remainder_place(mapping: str, key: str) -> str:
    """Return where the refused records of an object go: into its place, but for the records of an invocation."""
    return keys.unforwarded_records(mapping, key) if key.startswith(f"{keys.UNFORWARDED}/") else key


def parked_place(mapping: str, settlement: dict[str, Any]) -> str:
    """Return where the records of an object are parked.

    Named by the contents they come from: records of one object may be parked in different runs.
    """
    return f"{keys.parked(mapping, remainder_place(mapping, settlement['key']))}.{settlement['etag'][:12]}"


def is_importable(entry: dict[str, Any]) -> bool:
    """Tell whether a failed batch can be tried again: nothing that was tried counts attempts on a damaged record."""
    return entry["kind"] == CONVERSION or "batch" in entry


def settle_batch(
    store: ObjectStore, bucket: str, mapping: str, source: Source, *, imported: bool, max_attempts: int
) -> str:
    """Remove the record of a batch that was imported, or park it where it failed too often.

    Returns `imported`, `kept` or `parked`.
    """
    if imported:
        store.delete(bucket, source.key)
        return "imported"
    failed_key = source.key.removeprefix(keys.parked_prefix(mapping))
    if failed_key != source.key:
        return keep_parked(store, bucket, failed_key, source.key)
    parked_key, body = keys.parked(mapping, failed_key), read_or_none(store, bucket, failed_key)
    if body is None:  # parked by an attempt whose answer was lost, or dealt with by somebody
        return "kept" if read_or_none(store, bucket, parked_key) is None else "parked"
    if (attempts_of(read_record(body)) or max_attempts) < max_attempts:
        return "kept"
    store.write(bucket, parked_key, body)
    store.delete(bucket, failed_key)
    return "parked"


def keep_parked(store: ObjectStore, bucket: str, failed_key: str, parked_key: str) -> str:
    """Keep a parked batch parked that failed once more, and was recorded as if for the first time."""
    again, earlier = (read_record(read_or_none(store, bucket, key) or b"") for key in (failed_key, parked_key))
    if not again:
        return "kept"
    if again.get("execution") != earlier.get("execution"):  # else it is written already, by an attempt that was cut off
        attempts = attempts_of(again) + attempts_of(earlier)
        first = earlier.get("first_failed_at") or again.get("first_failed_at")
        record = again | {"attempts": attempts, "first_failed_at": first}
        store.write(bucket, parked_key, json.dumps(record, indent=2).encode())
    store.delete(bucket, failed_key)
    return "kept"
