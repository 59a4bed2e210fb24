"""Health: what no metric of AWS's tells of replications, looked at by the clock whether anything else runs or not.

What failed is listed once for all of them: a list of S3 costs the same, however many replications it finds nothing of.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from dynaurora import keys
from dynaurora.dynamodb.source import find_mapping_problems, find_stream_problems
from dynaurora.failures.refused_changes import is_settled
from dynaurora.mappings.readers import Reading, read_forwarded, read_reading, write_reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.dynamodb.source import Source, SourceState
    from dynaurora.mappings.replications import Replication

WAITING: Final = timedelta(minutes=30)
"""How long a batch may take to be converted and imported before it counts as waiting: retries included, half an hour is
not usual."""


class Imports(Protocol):
    """The executions that import batches."""

    def count_running(self, machine_arn: str, before: datetime) -> int:
        """Return how many executions of a state machine have been running since before a time."""
        ...


@dataclass(frozen=True)
class Health:
    """How a replication is."""

    failures_kept: int
    """Objects that the next reprocess takes up: refused records, unforwarded changes, failed batches."""
    failures_parked: int
    """Objects that nothing takes up until a person asks for it."""
    stream_problems: tuple[str, ...]
    """Why the table's stream is not read, each with what to do; none where it is."""
    near_loss: bool = False
    """Whether it has not been read for so long that records will be lost within hours, or are being lost."""


def count_waiting(imports: Imports, machine_arn: str, now: datetime) -> int:
    """Return how many batches have been under way to Aurora for longer than WAITING, of whichever replication."""
    return imports.count_running(machine_arn, now - WAITING)


@dataclass(frozen=True)
class Failures:
    """What is kept as failed of all replications, in objects by mapping."""

    kept: Counter[str]
    parked: Counter[str]


def count_failures(store: ObjectStore, bucket: str, replications: Sequence[Replication]) -> Failures:
    """Count what is kept as failed; what a settled change left behind is passed over, and what is nobody's."""
    records, batches = f"{keys.FAILED_RECORDS}/", f"{keys.FAILED_BATCHES}/"
    kept = Counter([*_list_mappings(store, bucket, records), *_list_mappings(store, bucket, batches)])
    readers = {reader: one.mapping for one in replications for reader in one.event_source_mappings}
    for listed in store.list(bucket, keys.unforwarded_prefix()) if readers else ():
        if mapping := readers.get(keys.event_source_mapping(listed.key)):
            kept[mapping] += 1
    return Failures(kept, Counter(_list_mappings(store, bucket, f"{keys.PARKED}/")))


def measure_health(
    failures: Failures, mapping: str, source: Source, store: ObjectStore, bucket: str, now: datetime
) -> Health:
    """Return how a replication is: whether its table's stream is read, and what was counted of it."""
    state = source.describe()
    problems = (*find_stream_problems(state), *find_mapping_problems(state, mapping))
    reading = follow_reader(store, bucket, mapping, state, now, is_read=not problems and not state.is_failing)
    return Health(
        failures_kept=failures.kept[mapping],
        failures_parked=failures.parked[mapping],
        stream_problems=problems,
        near_loss=reading.is_near_loss(int(now.timestamp())),
    )


def follow_reader(
    store: ObjectStore, bucket: str, mapping: str, state: SourceState, now: datetime, *, is_read: bool
) -> Reading:
    """Return what is known of the reading of a stream by now, and keep it where that is something else than before."""
    known, second = read_reading(store, bucket, mapping), int(now.timestamp())
    forwarded = read_forwarded(store, bucket, mapping) if known.unread_since or not is_read else None
    if known.stream_arn and known.stream_arn != state.stream_arn:
        forwarded = read_forwarded(store, bucket, mapping)
    reading = known.follow(state, is_read=is_read, forwarded=forwarded, now=second)
    if reading != known:
        write_reading(store, bucket, mapping, reading)
    return reading


def _list_mappings(store: ObjectStore, bucket: str, prefix: str) -> Iterator[str]:
    """Yield the mapping of each object that is kept under a prefix."""
    for listed in store.list(bucket, prefix):
        mapping = keys.find_mapping(listed.key)
        if mapping is not None and not is_settled(mapping, listed):
            yield mapping
