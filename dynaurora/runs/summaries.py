"""Summaries: what the database knows of a replication, in a few queries that take no longer for a large table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynaurora.aurora.row_counts import estimate_rows
from dynaurora.aurora.verifications import Verifications
from dynaurora.batches.batch import BACKFILL, VERIFY
from dynaurora.errors import DynauroraError
from dynaurora.runs.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.registry import Registries


def summarize_replications(aurora: Aurora, registries: Registries, names: Iterable[str]) -> dict[str, Any]:
    """Return a summary of each mapping, by its name, or `{"error": …}`: one that fails stops no other."""
    summaries: dict[str, Any] = {}
    for name in names:
        try:
            summaries[name] = summarize(aurora, registries.find(name).find_current())
        except DynauroraError as error:
            summaries[name] = {"error": str(error)}
    return summaries


def summarize(aurora: Aurora, mapping: Mapping) -> dict[str, Any]:
    """Return how many rows there are, when the last batch came, and the last backfill and verification.

    The verification is the last one of all items that has ended; what is unexplained of it is what a repair has left of
    what it `found`, if there was one. Its run is the last one that compared an export, whatever became of that. Raises
    what the database says.
    """
    runs, rows = Runs(aurora, mapping.database), estimate_rows(aurora, mapping)
    last = Verifications(aurora, mapping).find_last()
    return {
        "rows": {"count": rows.rows, "exact": rows.is_exact},
        "last_import_at": runs.find_last_import(mapping.name),
        "backfill": runs.summarize(mapping.name, BACKFILL),
        "verification_run": runs.summarize(mapping.name, VERIFY),
        "verification": None
        if last is None
        else {
            "run": last.run,
            "ended_at": last.ended_at.isoformat(timespec="seconds") + "Z",
            "unexplained": last.left,
            "counts": last.counts,
            "found": last.unexplained,
            "mended_by": last.mending and last.mending.run,
            "mended_at": last.mending and last.mending.ended_at.isoformat(timespec="seconds") + "Z",
        },
    }
