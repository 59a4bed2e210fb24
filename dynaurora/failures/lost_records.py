"""Lost records: those of a stream that nobody forwarded, and that nobody has any more or will have for long.

    a reader that did not read for a day            the health function has noted it (`dynaurora.mappings.readers`)
    records that an event source mapping gave up    kept with their invocation, if its destination is S3; what names
                                                    them only leaves them to the stream, which drops them after a day

The record of such an invocation says when the records of its batch came, which is a stretch of time like any other that
is to be filled. It is kept as failed until somebody discards it: the stretch is told until a repair has filled it.
(AWS Lambda Developer Guide, "Retain discarded records for a DynamoDB event source": the document's `DDBStreamBatchInfo`
and, for destinations in S3 only, `payload`.)
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dynaurora import keys
from dynaurora.errors import ObjectMissingError
from dynaurora.failures.failed_records import read_named, read_records
from dynaurora.failures.list_failures import list_kept
from dynaurora.failures.read_ahead import read_ahead
from dynaurora.mappings.readers import KEPT_SECONDS, is_covered, read_filled, read_forwarded, read_reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from dynaurora.aws.objects import Listed, ObjectStore
    from dynaurora.failures.failed_records import NamedRecords
    from dynaurora.failures.list_failures import Place
    from dynaurora.mappings.readers import Stretch

MOST_BYTES_WITHOUT: Final = 16 * 1024
"""Of an object without the records of its invocation, which is a kilobyte, as it is kept after it was tried again."""
APART_SECONDS: Final = 900
"""What is nearer to each other is filled as one: no export has the changes of a shorter time."""


@dataclass(frozen=True, slots=True)
class LostRecords:
    """Stream records that are named and not kept."""

    stretch: Stretch
    """When they came."""
    data: bytes
    """The record of their invocation."""


def list_losses(place: Place, store: ObjectStore, now: int) -> list[Stretch]:
    """Return the stretches of time that records may be lost of, and that no repair has filled."""
    bucket, mapping = place.bucket, place.mapping
    reading, forwarded = read_reading(store, bucket, mapping), read_forwarded(store, bucket, mapping)
    filled = read_filled(store, bucket, mapping)
    named = (lost.stretch for lost in find_lost_records(place, store))
    missing = join_stretches(stretch for stretch in named if not is_covered(stretch, filled))
    return reading.list_losses(filled, forwarded, now) + missing


def find_lost_records(place: Place, store: ObjectStore) -> Iterator[LostRecords]:
    """Yield the stream records that are named by what is kept as failed, parked too, and not kept themselves."""
    failed = keys.unforwarded_records_prefix(place.mapping)
    given_up = [keys.unforwarded_of(reader) for reader in place.readers] or [keys.unforwarded_prefix()]
    listed = (
        found
        for prefix in (*given_up, failed, keys.parked(place.mapping, failed))
        for found in list_kept(place, store, prefix)
        if found.size <= MOST_BYTES_WITHOUT
    )

    def read(found: Listed) -> list[LostRecords]:
        with suppress(ObjectMissingError):  # settled meanwhile
            return [
                LostRecords(bound_stretch(named, found.modified_at), record.data)
                for record in read_records(store, place.bucket, found.key)
                if (named := read_named(record.data)) is not None
            ]
        return []

    for _, lost in read_ahead(listed, read):
        yield from lost


def bound_stretch(named: NamedRecords, written_at: datetime) -> Stretch:
    """Return when records came that are only named; where nobody says so, in the day before that was written."""
    end = named.last or written_at.timestamp()
    return math.floor(min(named.first or end - KEPT_SECONDS, end)), math.ceil(end)


def join_stretches(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Return stretches of time in their order, those that are near each other as one."""
    joined = list[tuple[int, int]]()
    for start, end in sorted(stretches):
        if joined and start <= joined[-1][1] + APART_SECONDS:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined
