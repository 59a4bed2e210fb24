"""What the demo found: what was written, backfilled, refused and compared, and what is not as it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from dynaurora.verification.verdicts import Tally
    from local.backfills import BackfillView
    from local.clicks import Written
    from local.pipeline import Pipeline
    from local.watching import Watch


@dataclass(frozen=True)
class Stage:
    """What is there when the writing starts."""

    pipeline: Pipeline
    watch: Watch
    seeded: Written
    is_streamed: bool
    """Whether the seeded items go through the stream too."""

    def count_changes(self, written: int) -> int:
        """Return how many changes are in the stream, once so many are written."""
        return written + (self.seeded.changes if self.is_streamed else 0)

    def count_bad(self, written: Written) -> int:
        """Return how many of them the mapping refuses."""
        return written.bad + (self.seeded.bad if self.is_streamed else 0)


@dataclass(frozen=True)
class Result:
    """What the demo found."""

    stage: Stage
    written: Written
    view: BackfillView | None
    """The backfill as it ended."""
    comparison: Tally
    seconds: float
    """From the last change written to the last row imported."""
    compared_seconds: float
    """What comparing both sides took."""
    problems: list[str]
    """What is not as it should be; empty where every key agrees or is accounted for by a rejection."""

    @property
    def changes(self) -> int:
        """Changes written, but for the seeding."""
        return self.written.changes

    @property
    def rejected(self) -> int:
        """Changes that the mapping refused, each kept with its reason."""
        return len(self.stage.watch.failures.rejected)

    @property
    def reasons(self) -> Counter[str]:
        """Why."""
        return self.stage.watch.failures.reasons

    @property
    def backfill(self) -> dict[str, Any]:
        """The report of the backfill, or nothing where there is none."""
        return (self.view.report if self.view else None) or {}

    @property
    def rows_of_refused(self) -> int:
        """Rows whose items are refused as they are now: they are as the last change made them that was taken."""
        found = self.comparison
        return found.rows - found.identical - found.differing - found.extra - found.impossible - found.older_mapping

    def count_seeded_changes(self) -> dict[str, int]:
        """Return how many updates and deletes of seeded items came before the export's time, and how many after.

        Nothing, where there is no export.
        """
        plan = self.view.plan if self.view else None
        if plan is None:
            return {}
        second = plan["export_second"]
        return {
            f"{name}_{when}": sum(count for at, count in counts.items() if (at < second) == (when == "before"))
            for name, counts in (("updated", self.written.updates), ("deleted", self.written.deletes))
            for when in ("before", "after")
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the result for machines."""
        totals = self.backfill.get("totals") or {}
        return {
            "seeded": self.stage.seeded.changes,
            "seeded_through_stream": self.stage.is_streamed,
            "seeded_changes": self.count_seeded_changes(),
            "changes": self.changes,
            "items": self.comparison.items,
            "rows": self.comparison.rows,
            "identical": self.comparison.identical,
            "differing": self.comparison.differing,
            "missing": self.comparison.missing,
            "extra": self.comparison.extra,
            "refused": self.comparison.failed,
            "rows_of_refused": self.rows_of_refused,
            "rejected": self.rejected,
            "seconds": round(self.seconds, 2),
            "compared_seconds": round(self.compared_seconds, 2),
            "reasons": dict(self.reasons.most_common()),
            "backfill": {
                "run": self.view.run if self.view else None,
                "state": self.view.state if self.view else None,
                **{name: totals.get(name) for name in ("exported", "imported", "already_newer", "rejected")},
                "reasons": totals.get("rejected_reasons"),
                "seconds": self.backfill.get("seconds"),
                "phases": {phase["name"]: phase["seconds"] for phase in self.backfill.get("phases", [])},
            },
            "problems": self.problems,
        }


def find_problems(stage: Stage, written: Written, view: BackfillView | None, comparison: Tally) -> Iterator[str]:
    """Yield what is not as it should be, each with where to look."""
    watch, changes, bad = stage.watch, stage.count_changes(written.changes), stage.count_bad(written)
    if watch.accounted < changes:
        yield f"{changes - watch.accounted} changes had not arrived in time: see `dynaurora local status`"
    rejected = len(watch.failures.rejected)
    if rejected != bad:
        yield f"{rejected} changes were rejected, and {bad} were written to be"
    if watch.failures.unforwarded:
        yield f"{watch.failures.unforwarded} changes were not forwarded: see aws/lambda/ in the landing bucket"
    for record in watch.failures.parked_batches:
        yield f"batch {record['batch_id']} failed: {record['error']}: {record['reason']}"
    if watch.failed_imports:
        yield f"{watch.failed_imports} executions of import_batch failed"
    yield from find_backfill_problems(view, kept=len(watch.failures.rejected_snapshots))
    if not comparison.agrees:
        yield f"Aurora differs from DynamoDB: {'; '.join(comparison.examples)}"


def find_backfill_problems(view: BackfillView | None, kept: int) -> Iterator[str]:
    """Yield what is not as it should be with the backfill; `kept` are the records of it that are kept as refused."""
    if view is None:
        yield "the backfill could not be seen: see `dynaurora backfill list`"
    elif view.is_running:
        yield f"the backfill was not done in time, it is {view.phase}: see `dynaurora backfill watch {view.run}`"
    elif view.failure:
        yield f"the backfill failed: {view.failure.error}: {view.failure.reason} {view.failure.remedy}"
    elif view.report is None or view.state != "SUCCEEDED":
        yield f"the backfill ended as {view.state}: see `dynaurora backfill status {view.run}`"
    else:
        yield from find_wrong_totals(view.report["totals"], kept)


def find_wrong_totals(totals: dict[str, Any], kept: int) -> Iterator[str]:
    """Yield what does not add up in the totals of a backfill."""
    accounted = totals["imported"] + totals["already_newer"] + totals["rejected"] + totals.get("skipped", 0)
    if totals["exported"] * max(1, len(totals.get("targets") or ())) != accounted:
        yield f"the backfill exported {totals['exported']} items, and accounts for {accounted}"
    if totals["rejected"] != kept:
        yield f"the backfill rejected {totals['rejected']} items, and {kept} are kept"
