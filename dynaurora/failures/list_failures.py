"""Failures: what is kept as failed, listed to be taken up again, until it is in Aurora or in front of a person.

    records of the failed prefix, and stream records that were not forwarded
        → the current mapping → CSV → import_batch → what was refused again takes the object's place;
          where the import failed, all of it does
    batches that Aurora did not take → import_batch → their record goes
    batches that could not be converted → import_batch, which has them converted first → their record goes
    streamed batches that are neither imported nor failed, for no import was started → import_batch

A record keeps its version, so an old failed change never beats a newer row. An object is replaced or deleted only when
its good rows are committed, or each of its records has the failed attempt counted on it; killed anywhere before, the
same work is done again. What has failed MAX_ATTEMPTS times, the failure that brought it here included, is parked: kept
under its own prefix, and taken up only on request.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from heapq import nsmallest
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.aws.objects import read_or_none
from dynaurora.batches.batch import IMPORTED, Batch, BatchObject
from dynaurora.batches.conversion import is_conversion
from dynaurora.errors import InvalidRunError, ObjectMissingError
from dynaurora.failures.failed_batches import read_record
from dynaurora.failures.refused_changes import is_refused_change, is_settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dynaurora.aws.objects import Listed, ObjectStore

MAX_ENTRY_OBJECTS: Final = 50
"""An entry names each of its objects three times, and has to fit into a state's 256 KB."""
REFUSED_AS_ONE: Final = 4
"""Single refused changes that count as one object: their keys are short, and there may be many."""
MAX_ENTRY_BYTES: Final = 64 * 1024 * 1024
"""Of the failed objects that are converted together: one CSV, one import."""
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
"""How far back unstarted batches are looked for without being asked: S3 has to be asked about each batch there is."""
SETTLED: Final = timedelta(hours=1)
"""For which batches are looked at again although they are imported, once they are overdue. S3 lists an object under the
time at which its upload began (S3 User Guide, "Uploading and copying objects using multipart upload"): no upload takes
so long, so none ends behind the time up to which all were seen to be imported."""


@dataclass(frozen=True)
class Place:
    """Where one stack's failures are."""

    bucket: str
    mapping: str
    table: str
    """The DynamoDB table: event source mappings of every replication write under one prefix."""
    readers: tuple[str, ...] = ()
    """Ids of the event source mappings that read the table's stream, now or before; none where they are not known."""

    def prefixes(self, *, parked: bool) -> dict[str, str]:
        """Return the prefixes to look under, each with the kind of what is there."""
        records, batches = keys.failed_records_prefix(self.mapping), keys.failed_batches_prefix(self.mapping)
        given_up = map(keys.unforwarded_of, self.readers) if self.readers else [keys.unforwarded_prefix()]
        under = {records: RECORDS, **dict.fromkeys(given_up, RECORDS), batches: BATCH}
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
class SeenImported:
    """What looks at the streamed batches have noted: all of before `until` are imported, but the open ones.

        {"until": "2026-11-23T08:15:00+00:00", "open": ["processed/…", …]}

    Open are those that are not imported, and those that are kept as failed, which S3 is asked about once they are so no
    longer: one may be discarded, or its record be lost.
    """

    until: datetime
    open: frozenset[str]
    """Keys."""

    def may_be_unstarted(self, listed: Listed) -> bool:
        """Tell whether a batch has to be looked at."""
        return listed.modified_at >= self.until or listed.key in self.open


@dataclass(frozen=True, slots=True)
class FailedObject:
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
        yield from ((UNSTARTED, listed) for listed in list_unstarted_under(place, store, narrowed))


def list_kept(place: Place, store: ObjectStore, prefix: str) -> Iterable[Listed]:
    """Return what this stack keeps as failed under a prefix, which is one of the place's or within it.

    What a settled change left behind is passed over.
    """
    if prefix.startswith(keys.unforwarded_prefix()):
        return list_unforwarded(place, store, prefix)
    return (listed for listed in store.list(place.bucket, prefix) if not is_settled(place.mapping, listed))


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


def list_unstarted(place: Place, store: ObjectStore) -> Iterator[Listed]:
    """Yield the streamed batches that are neither marked as imported nor kept as failed.

    Those that are overdue, the newest, as far as is looked back.
    """
    overdue = leave_out_kept(place, store, find_overdue(place, store, datetime.now(UTC)))
    return pick_unstarted(place, store, deque(overdue, MOST_LOOKED_AT))


def list_unstarted_under(place: Place, store: ObjectStore, prefix: str) -> Iterator[Listed]:
    """Yield the same of a prefix, overdue or not."""
    return pick_unstarted(place, store, leave_out_kept(place, store, store.list(place.bucket, prefix)))


def list_left_unstarted(place: Place, store: ObjectStore, *, noting: bool) -> Iterator[Listed]:
    """Yield the same, but of those that may be unstarted by what earlier looks have noted.

    `noting` has it then be noted up to when all are imported, if that is later now. Who goes no further notes nothing.
    """
    now = datetime.now(UTC)
    unimported: list[Listed] = []
    left = list_left(place, store, now, unimported)
    for listed in pick_unstarted(place, store, left):
        unimported.append(listed)
        yield listed
    seen_until = now if len(left) < MOST_LOOKED_AT else left[-1].modified_at
    until = min(now - OVERDUE - SETTLED, seen_until)
    open_keys = {listed.key for listed in unimported if listed.modified_at < until}
    if noting and any(listed.modified_at < until and listed.key not in open_keys for listed in left):
        note = json.dumps({"until": until.isoformat(), "open": sorted(open_keys)})
        store.write(place.bucket, keys.imported_until(place.mapping), note.encode())


def pick_unstarted(place: Place, store: ObjectStore, landed: Iterable[Listed]) -> Iterator[Listed]:
    """Yield those of some streamed batches that are not marked as imported."""
    return (listed for listed in landed if not is_imported(store, place.bucket, listed.key))


def leave_out_kept(
    place: Place, store: ObjectStore, landed: Iterable[Listed], kept: list[Listed] | None = None
) -> Iterator[Listed]:
    """Yield those of some streamed batches that are not kept as failed; `kept` gets the others.

    However many are kept, S3 is asked about none of them, and they take no place of those that it is asked about.
    """
    recorded = find_recorded(place, store)
    for listed in landed:
        if not recorded or unstarted_batch(place, listed).id not in recorded:
            yield listed
        elif kept is not None:
            kept.append(listed)


def find_recorded(place: Place, store: ObjectStore) -> set[str]:
    """Return the ids of the batches that are kept as failed, parked or not."""
    failed = keys.failed_batches_prefix(place.mapping)
    return {
        listed.key.rpartition("/")[2].removesuffix(".json")
        for under in (failed, keys.parked(place.mapping, failed))
        for listed in store.list(place.bucket, under)
    }


def list_left(place: Place, store: ObjectStore, now: datetime, kept: list[Listed]) -> list[Listed]:
    """Return the oldest of the overdue batches that may be unstarted, by what earlier looks have noted.

    `kept` gets those that are kept as failed instead.
    """
    overdue = find_overdue(place, store, now)
    first = [*islice(overdue, 1)]
    seen = read_seen_imported(place, store) if first else None
    left = (listed for listed in chain(first, overdue) if seen is None or seen.may_be_unstarted(listed))
    unkept = leave_out_kept(place, store, left, kept)
    return nsmallest(MOST_LOOKED_AT, unkept, key=lambda listed: listed.modified_at)


def read_seen_imported(place: Place, store: ObjectStore) -> SeenImported | None:
    """Return which streamed batches were seen to be imported; None where nobody can tell.

    Notes of before are of times before which none was open.
    """
    try:
        document = json.loads(read_or_none(store, place.bucket, keys.imported_until(place.mapping)) or b"")
        until = datetime.fromisoformat(document["until"]).astimezone(UTC)
        return SeenImported(until, frozenset(document.get("open", ())))
    except (KeyError, TypeError, ValueError):
        return None


def find_overdue(place: Place, store: ObjectStore, now: datetime) -> Iterator[Listed]:
    """Yield the streamed batches of LOOKED_BACK that had time enough to be imported."""
    first_day = f"{place.processed}{now - LOOKED_BACK:%Y/%m/%d}"  # as the delivery stream names its folders
    landed = store.list(place.bucket, place.processed, after=first_day)
    return (listed for listed in landed if listed.modified_at < now - OVERDUE)


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
    group, size, weight, number = list[FailedObject](), 0, 0, 0
    for kind, listed in list_failures(place, store, prefix=prefix, parked=parked):
        source = FailedObject(listed.key, listed.etag, listed.size)
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
        own = 1 if is_refused_change(place.mapping, source.key) else REFUSED_AS_ONE
        is_full = weight + own > MAX_ENTRY_OBJECTS * REFUSED_AS_ONE or size + source.size > MAX_ENTRY_BYTES
        if group and is_full:
            number += 1
            yield {"number": number, "kind": RECORDS, "objects": [asdict(item) for item in group]}
            group, size, weight = [], 0, 0
        group.append(source)
        size += source.size
        weight += own
    if group:
        number += 1
        yield {"number": number, "kind": RECORDS, "objects": [asdict(item) for item in group]}
    for listed in list_left_unstarted(place, store, noting=True) if prefix is None else ():
        number += 1
        yield {"number": number, **unstarted_entry(place, listed)}


def is_anything_failed(place: Place, store: ObjectStore, *, noting: bool = False) -> bool:
    """Tell whether a run that is asked for nothing in particular would take anything up, and look no further.

    `noting` has later looks know of batches that are imported; nothing is written otherwise.
    """
    kept = (kind for kind, _ in list_failures(place, store, prefix=None, parked=False))
    unstarted = list_left_unstarted(place, store, noting=noting)
    return next(kept, None) is not None or next(unstarted, None) is not None


def batch_entry(record: dict[str, Any], source: FailedObject) -> dict[str, Any]:
    """Return the entry of a failed batch, with what import_batch takes; a damaged record has it not."""
    kind = kind_of_batch(record)
    taken = {CONVERSION: "conversion", BATCH: "batch"}.get(kind)
    return {"kind": kind, "objects": [asdict(source)], **({"batch": record[taken]} if taken in record else {})}


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
    source = FailedObject(listed.key, listed.etag, listed.size)
    return {"kind": UNSTARTED, "objects": [asdict(source)], "batch": unstarted_batch(place, listed).as_dict()}


# Converting


# Settling
