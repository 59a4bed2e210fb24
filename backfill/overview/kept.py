"""What is kept as failed of a replication, counted in bounded time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backfill.failures.reader import FailureReader, Selection
from dynaurora.failures.list_failures import Place

if TYPE_CHECKING:
    from backfill.deployment.deployments import Deployment
    from dynaurora.aws.objects import ObjectStore

READ_MOST: Final = 100
"""Objects that are read, one after the other."""
COUNTED_MOST: Final = 10_000
"""Failures that are counted: an object may hold any number."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How many records and batches are kept as failed."""

    failed: int = 0
    """Those that the next reprocess takes up."""
    parked: int = 0
    """Those that failed too often to be taken up by themselves."""
    is_all: bool = True
    """Whether all were counted; else there are more."""


def count_kept(deployment: Deployment, store: ObjectStore) -> Kept:
    """Return what is kept as failed, as far as it was counted. Raises what S3 answers."""
    place = Place(deployment.bucket, deployment.mapping, deployment.table, (deployment.event_source_mapping,))
    reader, failed, parked = FailureReader(place, store, None), 0, 0
    for read, (kind, listed) in enumerate(reader.list_objects(Selection(include_parked=True))):
        if read == READ_MOST:
            return Kept(failed, parked, is_all=False)
        for failure in reader.read_object(kind, listed):
            failed, parked = failed + (not failure.is_parked), parked + failure.is_parked
            if failed + parked == COUNTED_MOST:
                return Kept(failed, parked, is_all=False)
    return Kept(failed, parked)
