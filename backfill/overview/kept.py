"""What is kept as failed of a replication, counted by item in bounded time."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backfill.failures.reader import RECORD, FailureReader, Selection
from dynaurora.dynamodb.attributes import respell_numbers
from dynaurora.errors import DynauroraError
from dynaurora.failures.failed_records import read_change

if TYPE_CHECKING:
    from backfill.deployment.deployments import Deployment
    from backfill.failures.reader import Failure
    from dynaurora.aws.objects import ObjectStore

READ_MOST: Final = 100
"""Objects that are read, one after the other."""
COUNTED_MOST: Final = 10_000
"""Failures that are counted: an object may hold any number."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How many items and batches are kept as failed; an item once, however often it failed."""

    failed: int = 0
    """Those that the next reprocess takes up."""
    parked: int = 0
    """Those that failed too often to be taken up by themselves."""
    is_all: bool = True
    """Whether all were counted; else there are more."""


def count_kept(deployment: Deployment, store: ObjectStore) -> Kept:
    """Return what is kept as failed, as far as it was counted. Raises what S3 answers."""
    reader, failed, parked, counted = FailureReader(deployment.own_place, store, None), set[bytes](), set[bytes](), 0
    for read, (kind, listed) in enumerate(reader.list_objects(Selection(include_parked=True))):
        if read == READ_MOST:
            return Kept(len(failed), len(parked), is_all=False)
        for failure in reader.read_object(kind, listed):
            (parked if failure.is_parked else failed).add(identify_item(failure))
            counted += 1
            if counted == COUNTED_MOST:
                return Kept(len(failed), len(parked), is_all=False)
    return Kept(len(failed), len(parked))


def identify_item(failure: Failure) -> bytes:
    """Return what is the same for failures of one item: of a batch its key, and of what is no change its bytes."""
    if failure.kind != RECORD:
        return failure.key.encode()
    with suppress(DynauroraError, RecursionError):
        change = read_change(failure.data)
        if change is not None:
            name = json.dumps(respell_numbers(change.keys), sort_keys=True, default=str)
            return hashlib.sha256(name.encode()).digest()
    return hashlib.sha256(failure.data).digest()
