"""A run's account in the real database: every item that was exported, once."""

import dataclasses
import json

import pytest

from dynaurora import keys
from dynaurora.aurora.connection import connect
from dynaurora.aurora.generations import activate
from dynaurora.aurora.migrations import IMPORTS
from dynaurora.batches.batch import Batch
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.errors import ReconciliationError
from dynaurora.exports.plan import PlannedBatch
from dynaurora.exports.reconcile_run import MappingChange, Totals, reconcile_run
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.reasons import MAX_COUNTED_REASONS, OTHER_REASONS
from tests.integration.targets import Target, row
from tests.support.factories import CREATED_AT, make_plan
from tests.support.fakes import InMemoryObjects
from tests.support.mapping_versions import refuse_unmapped

pytestmark = pytest.mark.integration


def import_rows(target: Target, *pages: str, number: int = 0, retries: int = 0, **changed: object) -> Batch:
    """Import a batch of the run r1's backfill, the one of this number, with some of its descriptor changed."""
    body = b"".join(encode_row(row(page, 5)) for page in pages)
    written = target.write_bytes(
        body, len(pages), keys.backfill_batch(target.mapping.name, "r1", number) if number else None
    )
    batch = dataclasses.replace(written, **{"source": "backfill", "run": "r1"} | changed)
    target.import_batch(batch, retries)
    return batch


def reconcile(target: Target, *planned: int, change: MappingChange | None = None) -> Totals:
    """Reconcile the run r1, which planned batches of so many items each."""
    batches = [PlannedBatch(number, items, ()) for number, items in enumerate(planned, 1)]
    store, plan = InMemoryObjects(), make_plan(items=sum(planned), batches=len(planned))
    store.write(plan.bucket, plan.key, json.dumps(list(map(dataclasses.asdict, batches))).encode())
    with target.connect() as aurora:
        return reconcile_run(aurora, target.mapping, "r1", plan, store, change)


def test_every_item_is_imported_or_already_newer_or_rejected(target: Target) -> None:
    target.import_rows([row("b", 9), row("c", 4), row("d", 9, deleted=True)])
    import_rows(target, "a", "b", number=1, rejected={"payload (json)": 2, "hits (range)": 1}, retries=2)
    import_rows(target, "c", "d", number=2, rejected={"hits (range)": 4}, retries=1)
    import_rows(target, "x", run="another", rejected={"payload (json)": 50})
    import_rows(target, "y", source="sweep")
    of_another_mapping = import_rows(target, "z", rejected={"payload (json)": 90})
    with connect(target.endpoint, target.administrator) as aurora:
        statement = f"UPDATE {target.mapping.database}.{IMPORTS} SET mapping = 'other' WHERE batch_id = %s"
        aurora.execute(statement, (of_another_mapping.id,))
        aurora.execute("COMMIT")
    totals = reconcile(target, 5, 6)
    assert totals.import_seconds > 0
    assert totals.pace is not None
    assert sum(totals.pace["rows"]) == totals.imported + totals.already_newer
    assert dataclasses.replace(totals, import_seconds=0, pace=None) == Totals(
        exported=11,
        imported=2,
        already_newer=2,
        rejected=7,
        rejected_reasons={"hits (range)": 5, "payload (json)": 2},
        unaccounted=0,
        batches_planned=2,
        batches_imported=2,
        batches_failed=0,
        retries=3,
        import_seconds=0,
    )
    assert list(totals.rejected_reasons) == ["hits (range)", "payload (json)"]


def test_the_pace_has_the_rows_of_each_step_of_time(target: Target) -> None:
    for number, page in enumerate("abc", 1):
        import_rows(target, page, f"{page}2", number=number)
    with connect(target.endpoint, target.administrator) as aurora:
        ledger = f"{target.mapping.database}.{IMPORTS}"
        ids = sorted(found for (found,) in aurora.query(f"SELECT batch_id FROM {ledger}"))
        for batch_id, minute in zip(ids, (15, 16, 45), strict=True):
            times = (f"2026-11-23 08:{minute}:00.5", f"2026-11-23 08:{minute}:30.5", batch_id)
            aurora.execute(f"UPDATE {ledger} SET started_at = %s, finished_at = %s WHERE batch_id = %s", times)
        aurora.execute("COMMIT")
    pace = reconcile(target, 2, 2, 2).pace
    assert pace == {"since": "2026-11-23T08:15:00Z", "step_seconds": 60, "rows": [2, 2, *[0] * 28, 2]}


def test_an_empty_export_is_accounted_for(target: Target) -> None:
    totals = reconcile(target)
    assert totals.pace is None
    assert (totals.exported, totals.imported, totals.unaccounted, totals.batches_failed) == (0, 0, 0, 0)


def test_items_of_failed_batches_are_left_over(target: Target) -> None:
    import_rows(target, "a", "b", number=2)
    totals = reconcile(target, 4, 2, 1)
    assert (totals.imported, totals.unaccounted, totals.batches_imported, totals.batches_failed) == (2, 5, 1, 2)


def test_a_batch_that_was_imported_twice_counts_once(target: Target) -> None:
    batch = import_rows(target, "a", "b", number=1)
    assert target.import_batch(batch).status == "already_applied"
    assert reconcile(target, 2).imported == 2


@pytest.mark.parametrize(
    ("planned", "left", "missing"),
    [
        pytest.param((2, 3), 1, 0, id="an item is missing"),
        pytest.param((2, 1), -1, 0, id="an item too many"),
        pytest.param((4,), 0, 0, id="a batch too many"),
        pytest.param((2, 3, 5), 6, 5, id="an item is missing besides a failed batch's"),
        pytest.param((2, 1, 5), 4, 5, id="an item of a failed batch is accounted for"),
        pytest.param((100, 100, 100), 296, 100, id="most items are missing and one batch failed"),
    ],
)
def test_items_without_an_account_fail_the_run(
    target: Target, planned: tuple[int, ...], left: int, missing: int
) -> None:
    import_rows(target, "a", "b", number=1)
    import_rows(target, "c", number=2, rejected={"payload (json)": 1})
    says = (
        f"{sum(planned)} items in {len(planned)} batches.* leave {left} without an account,"
        f" where the batches that failed have {missing}"
    )
    with pytest.raises(ReconciliationError, match=says):
        reconcile(target, *planned)


def test_reasons_are_bounded_and_each_rejected_item_is_counted(target: Target) -> None:
    for number in range(1, 4):
        reasons = {f"list[{number}{index:02}] (type)": 1 for index in range(MAX_COUNTED_REASONS)}
        import_rows(target, number=number, rejected=reasons | {OTHER_REASONS: 30})
    totals = reconcile(target, 80, 80, 80)
    assert len(totals.rejected_reasons) <= MAX_COUNTED_REASONS + 1
    assert (totals.rejected, sum(totals.rejected_reasons.values())) == (240, 240)
    assert totals.rejected_reasons[OTHER_REASONS] >= 90


SNAPSHOT = snapshot_version(CREATED_AT)
"""The version of the rows of the export that `reconcile` plans."""
SECOND = MappingChange(3, CREATED_AT)


@pytest.fixture
def changed(target: Target) -> Target:
    """A target whose mapping is active for the second time, with rows of another one: of each cause, and of none."""
    other = refuse_unmapped(target.mapping)
    target.import_rows(
        [
            *(row(f"deleted {number}", 5, deleted=True) for number in range(3)),
            row("deleted since", SNAPSHOT + 1, deleted=True),
            *(row(f"gone {number}", SNAPSHOT - 1) for number in range(2)),
            row("as exported", SNAPSHOT),
            *(row(f"changed since {number}", SNAPSHOT + number) for number in range(1, 5)),
        ]
    )
    with connect(target.endpoint, target.administrator) as aurora:
        activate(aurora, other)
        activate(aurora, target.mapping)
    set_generation(target, 2)
    return target


def set_generation(target: Target, generation: int, of: str = "%") -> None:
    """Have rows look as if the mapping of a generation had written them."""
    with connect(target.endpoint, target.administrator) as aurora, aurora.transaction():
        table = f"{target.mapping.database}.`{target.mapping.replica}`"
        aurora.execute(f"UPDATE {table} SET `_mapping` = %s WHERE page_id LIKE %s", (generation, of))


def test_rows_of_an_older_mapping_are_counted_by_why_they_are_there(changed: Target) -> None:
    totals = reconcile(changed, change=MappingChange(3, CREATED_AT + 1))
    assert totals.older_rows == {"tombstones": 4, "not_imported": 2, "changed_since": 5}
    assert not totals.complete
    set_generation(changed, 3, "%1")
    totals = reconcile(changed, change=MappingChange(3, CREATED_AT + 1))
    assert totals.older_rows == {"tombstones": 3, "not_imported": 1, "changed_since": 4}


def test_a_run_that_was_to_reach_every_row_fails_where_one_has_no_explanation(changed: Target) -> None:
    for pattern in ("as exported", "changed since %"):
        with pytest.raises(ReconciliationError, match=r"no older than its export of 2023-11-14T22:13:20.*new run"):
            reconcile(changed, change=SECOND)
        set_generation(changed, 3, pattern)
    totals = reconcile(changed, change=SECOND)
    assert totals.older_rows == {"tombstones": 4, "not_imported": 2, "changed_since": 0}
    assert totals.complete


def test_rows_of_the_same_mapping_before_it_came_back_are_not_older(changed: Target) -> None:
    other = refuse_unmapped(changed.mapping)
    with connect(changed.endpoint, changed.administrator) as aurora:
        numbers = [activate(aurora, mapping).number for mapping in (other, changed.mapping)]
    assert numbers == [4, 5]
    set_generation(changed, 3, "changed since %")
    set_generation(changed, 3, "as exported")
    set_generation(changed, 0, "gone 1")
    totals = reconcile(changed, change=MappingChange(5, CREATED_AT))
    assert totals.older_rows == {"tombstones": 4, "not_imported": 2, "changed_since": 0}


@pytest.mark.parametrize("change", [None, MappingChange(), MappingChange(1, None)])
def test_where_there_was_no_older_mapping_nothing_is_counted(changed: Target, change: MappingChange | None) -> None:
    totals = reconcile(changed, change=change)
    assert (totals.older_rows, totals.complete) == (None, True)
