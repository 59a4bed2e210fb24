"""Health: what no metric of AWS's tells of a replication, looked at by the clock whether anything else runs or not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from dynaurora import keys
from dynaurora.dynamodb.source import find_mapping_problems, find_stream_problems
from dynaurora.failures.list_failures import list_kept

if TYPE_CHECKING:
    from datetime import datetime

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.dynamodb.source import Source
    from dynaurora.failures.list_failures import Place

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


def count_waiting(imports: Imports, machine_arn: str, now: datetime) -> int:
    """Return how many batches have been under way to Aurora for longer than WAITING, of whichever replication."""
    return imports.count_running(machine_arn, now - WAITING)


def measure_health(place: Place, store: ObjectStore, source: Source) -> Health:
    """Look at what is kept as failed of a replication, and whether its table's stream is read."""
    parked = f"{keys.PARKED}/"
    listed = (found.key for under in place.prefixes(parked=True) for found in list_kept(place, store, under))
    counts = Counter(key.startswith(parked) for key in listed)
    state = source.describe()
    return Health(
        failures_kept=counts[False],
        failures_parked=counts[True],
        stream_problems=(*find_stream_problems(state), *find_mapping_problems(state)),
    )
