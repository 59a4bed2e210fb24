"""The horizon: the oldest second of which anything may still be brought; what is older may be purged.

A tombstone is there for older changes of its item that are still to come. So it may go once nothing is to come that is
older than it. What may come, and how old it is at most:

    exports that DynamoDB can still make     35 days: of any second of a table's point-in-time recovery
    changes in the stream and in Firehose    two days: a stream keeps them for one, Firehose tries for another
    streamed batches that are not imported   two days older than the object
    records kept as failed, parked ones too  as old as each of them says
    batches kept as failed                   as old as the oldest of their rows
    failures that are archived               the same: somebody may restore them
    runs that are under way                  as old as their export

The first two are what KEPT_DAYS_LEAST is for; the others are looked up. Whatever comes in spite of that, an older
export or an object that somebody put back, is refused by its import (`dynaurora.aurora.purging`).

A row of the ledger is there for repetitions of its batch. It may go once the batch's objects are gone: without them
nothing can be imported again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from dynaurora.batches.batch import REPROCESS, Batch
from dynaurora.batches.parts import MARK
from dynaurora.dynamodb.versions import SNAPSHOT_MARGIN_SECONDS, second_of
from dynaurora.errors import DynauroraError, ObjectMissingError, RejectedChange
from dynaurora.exports.plan import read_plan
from dynaurora.failures.archive_failures import list_archived
from dynaurora.failures.failed_batches import read_record
from dynaurora.failures.failed_records import read_change, read_records, split_record
from dynaurora.failures.list_failures import (
    CONVERSION,
    RECORDS,
    SUPERSEDED,
    is_imported,
    kind_of_batch,
    list_failures,
)
from dynaurora.failures.read_ahead import read_ahead
from dynaurora.failures.refused_rows import decode_refused_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dynaurora.aws.objects import Listed, ObjectStore
    from dynaurora.failures.failed_records import FailedRecord
    from dynaurora.failures.list_failures import Place

KEPT_DAYS_LEAST: Final = 40
"""35 days of point-in-time recovery (DynamoDB Developer Guide, "Point-in-time recovery"), and a margin of five."""
TRANSIT: Final = timedelta(hours=50)
"""Between a change and the object that it lands in: the stream keeps it for 24 hours, Firehose tries for another 24
(Amazon Data Firehose Developer Guide, "Handle data delivery failures"), and clocks and functions take their time."""
LONGEST_WINDOW_SECONDS: Final = 86400
"""By so much an incremental export's oldest record may be older than its end: its longest window."""

OpenRun = tuple[str, str, datetime, dict[str, Any]]
"""A run that is under way: its id, its kind, when it was started, in UTC without saying so, and its options."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Something that may still bring a change of a second."""

    second: int
    cause: str
    """`waiting`, `failed record`, `failed batch` or `run`; of what is archived, too."""
    name: str
    """The object's key, or the run."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """What may be purged of a mapping."""

    floor: int
    """Unix time: tombstones of before."""
    imports_before: datetime
    """Rows of the ledger that were finished before; UTC."""
    holds: tuple[Hold, ...] = ()
    """What keeps older tombstones than the days that they are kept for, the oldest first."""


def find_horizon(place: Place, store: ObjectStore, runs: Sequence[OpenRun], kept_days: int, now: datetime) -> Horizon:
    """Return what may be purged of a mapping, of what is older than so many days at the least."""
    kept_from = now - timedelta(days=kept_days)
    landed = list_landed(place, store, kept_from + TRANSIT)
    bounds = [*find_waiting(place, store, landed), *find_failures(place, store), *find_runs(place, store, runs)]
    holds = sorted((hold for hold in bounds if hold.second < kept_from.timestamp()), key=lambda hold: hold.second)
    floor = min([int(kept_from.timestamp()), *(hold.second for hold in holds)])
    began = (started_at.replace(tzinfo=UTC) for _, _, started_at, _ in runs)
    imports_before = min([kept_from, *began, *(listed.modified_at for listed in landed)])
    return Horizon(max(floor, 0), imports_before, tuple(holds))


def list_landed(place: Place, store: ObjectStore, before: datetime) -> list[Listed]:
    """Return the streamed batches whose objects landed before a time and are there."""
    return [listed for listed in store.list(place.bucket, place.processed) if listed.modified_at < before]


def find_waiting(place: Place, store: ObjectStore, landed: Iterable[Listed]) -> Iterator[Hold]:
    """Yield those of them that are not imported."""
    for listed in landed:
        if not is_imported(store, place.bucket, listed.key):
            yield Hold(int((listed.modified_at - TRANSIT).timestamp()), "waiting", listed.key)


def find_failures(place: Place, store: ObjectStore) -> Iterator[Hold]:
    """Yield what is kept as failed, parked too; several objects are read at the same time."""

    def look(found: tuple[str, Listed]) -> Hold | None:
        kind, listed = found
        with suppress(ObjectMissingError):  # settled since it was listed
            if kind == RECORDS:
                second = find_oldest_record(place, store, listed.key)
                return None if second is None else Hold(second, "failed record", listed.key)
            second = find_oldest_row(place, store, listed.key)
            return None if second is None else Hold(second, "failed batch", listed.key)
        return None

    listed = chain(list_failures(place, store, prefix=None, parked=True), list_archived(place, store))
    yield from filter(None, (hold for _, hold in read_ahead(listed, look)))


def delete_archived(place: Place, store: ObjectStore, before: datetime) -> int:
    """Delete what was archived before a time; return how many objects that were."""
    old = [listed for _, listed in list_archived(place, store) if listed.modified_at < before]
    for listed in old:
        store.delete(place.bucket, listed.key)
    return len(old)


def find_oldest_record(place: Place, store: ObjectStore, key: str) -> int | None:
    """Return the second of the oldest change in a failed object; None where it has none that could be imported."""
    records = (single for record in read_records(store, place.bucket, key) for single in split_record(record))
    return min(filter(None, map(find_second, records)), default=None)


def find_second(record: FailedRecord) -> int | None:
    """Return the second of a failed record's change.

    None of what is no change, and of a row that Aurora refused: its item is read again, as of then.
    """
    with suppress(RejectedChange, ValueError):
        if decode_refused_row(record.data) is None and (change := read_change(record.data)) is not None:
            return second_of(change.version)
    return None


def find_oldest_row(place: Place, store: ObjectStore, key: str) -> int | None:
    """Return the second of the oldest row of a failed batch; None where there is nothing to import of it.

    A streamed batch waits where it landed, and one that was made of failed records is made of them again.
    """
    record = read_record(store.read(place.bucket, key))
    kind = kind_of_batch(record)
    if kind == CONVERSION:
        return int(record["conversion"]["export_second"]) - SNAPSHOT_MARGIN_SECONDS - LONGEST_WINDOW_SECONDS
    if kind == SUPERSEDED:
        return None
    try:
        batch = Batch.from_event(record)
    except DynauroraError:
        return None
    if batch.source == "stream":
        return None
    lines = (line for item in batch.objects for line in store.open(item.bucket, item.key))
    return min(filter(None, map(read_second, lines)), default=None)


def read_second(line: bytes) -> int | None:
    """Return the second of a line of CSV, whether it says what it is of or not; None where it has none."""
    fields = line.partition(b",")[2] if line.startswith(MARK) else line
    with suppress(IndexError, ValueError):
        return second_of(int(fields.split(b",", 2)[1]))
    return None


def find_runs(place: Place, store: ObjectStore, runs: Sequence[OpenRun]) -> Iterator[Hold]:
    """Yield the runs that are under way, each as old as its export.

    Of one that was given an export and is not planned yet nobody knows how old that is. One that asks for an export of
    its own asks for one of now; and a reprocess brings what is kept as failed until it is settled.
    """
    for run, kind, _, options in runs:
        plan = None if kind == REPROCESS else read_plan(store, place.bucket, place.mapping, run)
        if plan is not None:
            yield Hold(plan.export_second - SNAPSHOT_MARGIN_SECONDS - LONGEST_WINDOW_SECONDS, "run", run)
        elif kind != REPROCESS and options.get("export_arn"):
            yield Hold(0, "run", run)
