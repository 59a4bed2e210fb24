"""Reconciling: what a run exported against what became of it, to the item, from the ledger.

    exported = imported + already newer + rejected + skipped

*Imported* items are rows that the snapshot brought into the replica; *already newer* are those of which the replica had
this version already, or a later one; *rejected* are kept under the failed prefix with their reasons; *skipped* are
those that a target does not take, where the mapping has conditions. It holds for each target by itself. Where batches
failed, their items are left over, and nothing else may be.

Where the mapping is not the first one, rows that an older one wrote are counted too, by why they are still there. An
export that is late enough (`find_complete_from`) leaves none that is not older than itself; one that is there all the
same has no explanation, and fails the run.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, astuple, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.aurora.generations import Generations
from dynaurora.aurora.sql import quote
from dynaurora.aurora.system_tables import IMPORTS
from dynaurora.batches.batch import BACKFILL
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.errors import ReconciliationError
from dynaurora.exports.plan import PlannedBatch
from dynaurora.exports.read_pace import read_pace
from dynaurora.mappings.reasons import count_apart

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.exports.plan import Plan
    from dynaurora.mappings.mapping import Mapping

OF_RUN = "run = %s AND mapping = %s AND source = %s"
"""The ledger's rows of one run: its id is one of its mapping's only."""
ADDED: Final = ("imported", "already_newer", "rejected", "skipped", "retries", "import_seconds")
"""Of the targets' totals, what is added up."""
OF_A_TARGET: Final = ("imported", "already_newer", "rejected", "rejected_reasons", "skipped", "unaccounted")
"""What a report says of each."""


@dataclass(frozen=True)
class Totals:
    """What a run came to: items, but for batches and seconds."""

    exported: int
    imported: int
    already_newer: int
    rejected: int
    rejected_reasons: dict[str, int]
    """Rejected items by the first reason of each, most frequent first."""
    unaccounted: int
    """Items of batches that failed."""
    batches_planned: int
    batches_imported: int
    batches_failed: int
    """Batches that are not in the ledger."""
    retries: int
    """How often imports were tried again before they succeeded."""
    import_seconds: float
    """The imports' durations together."""
    older_rows: dict[str, int] | None = None
    """Rows of the replica that an older mapping wrote, as OlderRows has them; None where there was no older one."""
    complete: bool = True
    """Whether the export is late enough to bring every row to the run's mapping."""
    skipped: int = 0
    """Items that a target does not take, and that leave no tombstone in it."""
    targets: dict[str, dict[str, Any]] | None = None
    """Of several targets, what each has of the exported items, by table: counts as here, which are all together."""
    pace: dict[str, Any] | None = None
    """How many rows were in Aurora after each step of time, as `make_pace` has it; None where nothing was imported."""


@dataclass(frozen=True)
class OlderRows:
    """Rows of a replica that an older mapping than the run's wrote, by why they are still there."""

    tombstones: int
    """Of items that were deleted: nobody sees them."""
    not_imported: int
    """Rows that exist and are older than the export: their items are gone, or were rejected or in a failed batch."""
    changed_since: int
    """Rows that exist and are no older than the export: changes that were mapped before the mapping was taken up."""


@dataclass(frozen=True)
class MappingChange:
    """The change of mapping that a run may have to bring rows up to date for."""

    generation: int = 1
    """Of the run's mapping when the run was opened."""
    complete_from: float | None = None
    """Second of Unix time from which on an export brings every row to that mapping; None where it is the first one."""
    kind: str = BACKFILL
    """Of the run: one that only compares brings no row to any mapping."""


def reconcile_run(
    aurora: Aurora, mapping: Mapping, run: str, plan: Plan, store: ObjectStore, change: MappingChange | None = None
) -> Totals:
    """Return what a run came to.

    Raises ReconciliationError where the items without an account are not, to the item, those of failed batches, where
    there are more batches than were planned, or where rows of an older mapping are there that the run had to reach.
    """
    change = change or MappingChange()
    of_targets = [RunInTarget(aurora, target, run, plan, change.kind).account(store) for target in mapping.targets]
    totals = replace(add_totals(of_targets, mapping), pace=read_pace(aurora, mapping, run, change.kind))
    if change.generation <= 1 or change.kind != BACKFILL or plan.window_from is not None:  # no run over all rows
        return totals
    complete = change.complete_from is None or plan.export_second >= change.complete_from
    counts = [count_older_rows(aurora, each, change.generation, plan.export_second) for each in mapping.targets]
    older = OlderRows(*map(sum, zip(*map(astuple, counts), strict=True)))
    if older.changed_since and complete:
        exported_at = datetime.fromtimestamp(plan.export_second, UTC).isoformat()
        raise ReconciliationError(
            f"Run {run} was to bring every row to generation {change.generation} of mapping {mapping.name}, and"
            f" {older.changed_since} that an older mapping wrote are no older than its export of {exported_at}."
            " A reprocess that began before the mapping was changed may have brought them."
        )
    return replace(totals, older_rows=asdict(older), complete=complete)


def add_totals(of_targets: list[Totals], mapping: Mapping) -> Totals:
    """Return what a run came to in all targets: items are added up, and a batch is in where each of its parts is."""
    first = of_targets[0]
    if len(of_targets) == 1:
        return first
    reasons = sum((Counter(totals.rejected_reasons) for totals in of_targets), Counter[str]())
    targets = zip(mapping.targets, of_targets, strict=True)
    return replace(
        first,
        **{name: sum(getattr(totals, name) for totals in of_targets) for name in ADDED},
        rejected_reasons=count_apart(reasons),
        unaccounted=max(totals.unaccounted for totals in of_targets),
        batches_imported=min(totals.batches_imported for totals in of_targets),
        batches_failed=max(totals.batches_failed for totals in of_targets),
        targets={target.table: {name: getattr(totals, name) for name in OF_A_TARGET} for target, totals in targets},
    )


@dataclass(frozen=True)
class RunInTarget:
    """What the ledger says of a run in one target of its mapping."""

    aurora: Aurora
    target: Mapping
    run: str
    plan: Plan
    kind: str
    """The source of the run's batches."""

    def account(self, store: ObjectStore) -> Totals:
        """Return what the run came to. Raises ReconciliationError where items have no account."""
        totals = self.read_totals()
        missing = self._count_missing(store) if totals.batches_failed else 0
        if totals.unaccounted != missing or totals.batches_failed < 0:
            raise ReconciliationError(
                f"Run {self.run} exported {totals.exported} items in {totals.batches_planned} batches. Of them"
                f" {totals.imported} imported, {totals.already_newer} already newer, {totals.rejected} rejected and"
                f" {totals.skipped} skipped, in {totals.batches_imported} batches of {self.target.table}, leave"
                f" {totals.unaccounted} without an account, where the batches that failed have {missing}."
            )
        return totals

    def read_totals(self) -> Totals:
        """Return the run's counts."""
        ((batches, staged, changed, rejected, skipped, retries, seconds),) = self.aurora.query(
            "SELECT COUNT(*), COALESCE(SUM(rows_staged), 0), COALESCE(SUM(rows_changed), 0),"
            " COALESCE(SUM(rows_rejected), 0), COALESCE(SUM(rows_skipped), 0), COALESCE(SUM(retries), 0),"
            " COALESCE(SUM(TIMESTAMPDIFF(MICROSECOND, started_at, finished_at)), 0) / 1000000"
            f" FROM {self._rows}",
            self._values,
        )
        reasons: Counter[str] = Counter()
        refused = f"SELECT rejected FROM {self._rows} AND rejected IS NOT NULL"
        for (counts,) in self.aurora.stream(refused, self._values):
            reasons.update(json.loads(counts))
        return Totals(
            exported=self.plan.items,
            imported=int(changed),
            already_newer=int(staged - changed),
            rejected=int(rejected),
            rejected_reasons=count_apart(reasons),
            unaccounted=self.plan.items - int(staged) - int(rejected) - int(skipped),
            batches_planned=self.plan.batches,
            batches_imported=int(batches),
            batches_failed=self.plan.batches - int(batches),
            retries=int(retries),
            import_seconds=float(seconds),
            skipped=int(skipped),
        )

    def _count_missing(self, store: ObjectStore) -> int:
        """Return the items of the planned batches that are not in the ledger."""
        in_ledger = {
            item["key"]
            for (objects,) in self.aurora.stream(f"SELECT objects FROM {self._rows}", self._values)
            for item in json.loads(objects)
        }
        name = self.target.name
        planned = map(PlannedBatch.from_dict, json.loads(store.read(self.plan.bucket, self.plan.key)))
        return sum(
            batch.items for batch in planned if keys.backfill_batch(name, self.run, batch.number) not in in_ledger
        )

    @property
    def _rows(self) -> str:
        """The run's rows in the ledger that are of the target: a table, and the condition of `_values`."""
        of_target = "" if self.target.target_name is None else " AND target = %s"  # rows of before do not say it
        return f"{quote(self.target.database)}.{quote(IMPORTS)} WHERE {OF_RUN}{of_target}"

    @property
    def _values(self) -> tuple[str, ...]:
        values = self.run, self.target.name, self.kind
        return values if self.target.target_name is None else (*values, self.target.table)


def count_older_rows(aurora: Aurora, mapping: Mapping, generation: int, export_second: int) -> OlderRows:
    """Count the rows that an older mapping wrote, in one scan of the replica.

    A mapping that came back wrote the same rows in its earlier generations: they are not older.
    """
    generations = Generations(aurora, mapping.database, mapping.name)
    same = [one.number for one in generations.all if one.digest == mapping.digest and one.number]
    not_same = f" AND `_mapping` NOT IN ({', '.join(map(str, same))})" if same else ""
    version = snapshot_version(export_second)
    ((tombstones, not_imported, changed_since),) = aurora.query(
        "SELECT COALESCE(SUM(`_deleted`), 0), COALESCE(SUM(NOT `_deleted` AND `_version` < %s), 0),"
        " COALESCE(SUM(NOT `_deleted` AND `_version` >= %s), 0)"
        f" FROM {quote(mapping.database)}.{quote(mapping.replica)} WHERE `_mapping` < %s{not_same}",
        (version, version, generation),
    )
    return OlderRows(int(tombstones), int(not_imported), int(changed_since))


def count_swept(aurora: Aurora, mapping: Mapping, run: str) -> int:
    """Return how many rows the sweep of a run has deleted so far."""
    table = f"{quote(mapping.database)}.{quote(IMPORTS)}"
    ((rows,),) = aurora.query(
        f"SELECT COALESCE(SUM(rows_changed), 0) FROM {table} WHERE {OF_RUN}", (run, mapping.name, "sweep")
    )
    return int(rows)


def list_rejecting(aurora: Aurora, mapping: Mapping, run: str) -> list[str]:
    """Return the ledger's ids of the parts of a backfill's batches of which anything was rejected."""
    table = f"{quote(mapping.database)}.{quote(IMPORTS)}"
    where, values = f"{OF_RUN} AND rows_rejected > 0", (run, mapping.name, BACKFILL)
    return [str(batch_id) for (batch_id,) in aurora.query(f"SELECT batch_id FROM {table} WHERE {where}", values)]
