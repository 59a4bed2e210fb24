"""Health: what no metric of AWS's tells of a deployment, looked at by the clock whether anything else runs or not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dynaurora import keys
from dynaurora.readiness import find_mapping_problems, find_stream_problems
from dynaurora.reprocessing import list_kept

if TYPE_CHECKING:
    from dynaurora.objects import ObjectStore
    from dynaurora.readiness import Source
    from dynaurora.reprocessing import Place


@dataclass(frozen=True)
class Health:
    """How a deployment is."""

    failures_kept: int
    """Objects that the next reprocess takes up: refused records, unforwarded changes, failed batches."""
    failures_parked: int
    """Objects that nothing takes up until a person asks for it."""
    stream_problems: tuple[str, ...]
    """Why the table's stream is not read, each with what to do; none where it is."""


def measure_health(place: Place, store: ObjectStore, source: Source) -> Health:
    """Look at what is kept as failed, and whether the table's stream is read."""
    parked = f"{keys.PARKED}/"
    listed = (found.key for under in place.prefixes(parked=True) for found in list_kept(place, store, under))
    counts = Counter(key.startswith(parked) for key in listed)
    state = source.describe()
    return Health(counts[False], counts[True], (*find_stream_problems(state), *find_mapping_problems(state)))
