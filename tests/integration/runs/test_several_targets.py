"""One export for several targets: converted once, imported into each, accounted for in each, and swept in each."""

import dataclasses
import json
from typing import Any

import pytest

from dynaurora.aurora.connection import connect
from dynaurora.aurora.fills import FILLS
from dynaurora.aurora.generations import activate
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import Batch
from dynaurora.dynamodb.changes import encode_change
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.errors import ReconciliationError, SweepRefusedError
from dynaurora.exports.convert_export import Converter
from dynaurora.exports.plan import PlannedBatch
from dynaurora.exports.plan_sweep import Sweeper
from dynaurora.exports.reconcile_run import Totals, reconcile_run
from dynaurora.failures.convert_failures import Remaker
from dynaurora.failures.failed_records import FailedRecord, encode_failed_record, read_records
from dynaurora.failures.list_failures import FailedObject
from dynaurora.mappings.mapping import Mapping
from dynaurora.mappings.row_mapper import RowMapper
from tests.integration.imports.test_several_targets import keys_in, stream, versions_in
from tests.integration.targets import Target, TargetFor, in_database
from tests.support.export_factory import data_file, md5_of
from tests.support.factories import CREATED_AT, make_plan
from tests.support.several_targets import OPEN, USERS, change, several

pytestmark = pytest.mark.integration

SNAPSHOT = snapshot_version(CREATED_AT)
USER = change(0, "USER#1", email="a@b")
OPENED, SHUT_ONE = change(0, "ORDER#1", status="open", total=5), change(0, "ORDER#2", status="shut", total=6)
REFUSED = change(0, "ORDER#3", status="open")
OTHER = change(0, "ITEM#1", x="y")


@pytest.fixture
def app(target_for: TargetFor) -> Target:
    return target_for(several())


class Run:
    """A backfill of some items in one batch, step by step, by the steps' own code."""

    def __init__(self, app: Target, *items: Any) -> None:
        self.app, self.store, self.mapper = app, S3Objects(), RowMapper(app.mapping)
        body = data_file([item.new_image for item in items])
        self.store.write(app.bucket, "exports/a.json.gz", body)
        file = {"key": "exports/a.json.gz", "items": len(items), "md5": md5_of(body)}
        self.planned = PlannedBatch.from_dict({"number": 1, "items": len(items), "files": [file]})
        self.plan = make_plan(bucket=app.bucket, items=len(items), batches=1)
        self.store.write(app.bucket, self.plan.key, json.dumps([dataclasses.asdict(self.planned)]).encode())

    def convert(self) -> Batch:
        converter = Converter(self.mapper, self.store, self.app.bucket, self.app.bucket, "r1", CREATED_AT, "arn")
        batch = converter.convert_once(self.planned)
        assert converter.convert_once(self.planned) == batch
        return Batch.from_event({"batch": json.loads(json.dumps(batch.as_dict()))})

    def reconcile(self) -> Totals:
        with self.app.connect() as aurora:
            return reconcile_run(aurora, self.app.mapping, "r1", self.plan, self.store)

    def sweep(self, totals: Totals) -> int:
        with self.app.connect() as aurora:
            sweeper = Sweeper(self.app.mapping, aurora, self.store, self.app.bucket, "r1", CREATED_AT)
            sweep = sweeper.plan(totals)
        for entry in json.loads(self.store.read(sweep.bucket, sweep.key)):
            self.app.import_batch(Batch.from_event({"batch": entry}))
        return sweep.rows


def test_one_conversion_serves_all_targets_to_the_item(app: Target) -> None:
    run = Run(app, USER, OPENED, SHUT_ONE, REFUSED, OTHER)
    batch = run.convert()
    assert {table: (share.rows, share.rejected, share.skipped) for table, share in batch.targets.items()} == {
        "Users": (1, {}, 4),
        "OpenOrders": (2, {"record (required)": 1}, 2),
        "ShutOrders": (3, {}, 2),
    }
    result = app.import_batch(batch)
    assert (result.rows_staged, app.import_batch(batch).status, len(app.ledger())) == (6, "already_applied", 3)
    assert [keys_in(app, table) for table in ("Users", "OpenOrders", "ShutOrders")] == [
        ["USER#1"],
        ["ORDER#1"],
        ["ORDER#2"],
    ]
    assert versions_in(app, "OpenOrders") == [("ORDER#1", 0, SNAPSHOT), ("ORDER#2", 1, SNAPSHOT)]
    totals = run.reconcile()
    assert (totals.exported, totals.imported, totals.rejected, totals.skipped) == (5, 6, 1, 8)
    assert totals.targets is not None
    assert {table: (of["imported"], of["rejected"], of["skipped"]) for table, of in totals.targets.items()} == {
        "Users": (1, 0, 4),
        "OpenOrders": (2, 1, 2),
        "ShutOrders": (3, 0, 2),
    }
    assert (totals.rejected_reasons, totals.unaccounted) == ({"record (required)": 1}, 0)


def test_a_target_with_no_row_of_a_batch_is_accounted_for_too(app: Target) -> None:
    run = Run(app, OTHER)
    batch = run.convert()
    assert (batch.rows, app.import_batch(batch).rows_staged, len(app.ledger())) == (0, 0, 3)
    totals = run.reconcile()
    assert (totals.imported, totals.skipped, totals.unaccounted, totals.batches_failed) == (0, 3, 0, 0)


def test_a_part_that_is_not_in_leaves_its_items_without_account(app: Target) -> None:
    run = Run(app, USER, OPENED)
    app.import_batch(run.convert())
    app.execute(f"DELETE FROM {app.mapping.database}._dynaurora_imports WHERE target = 'ShutOrders'")
    totals = run.reconcile()
    assert (totals.unaccounted, totals.batches_imported, totals.batches_failed) == (2, 0, 1)
    app.execute(f"UPDATE {app.mapping.database}._dynaurora_imports SET rows_skipped = 0 WHERE target = 'Users'")
    with pytest.raises(ReconciliationError, match=r"0 skipped, in 1 batches of Users, leave 1 without an account"):
        run.reconcile()


def test_rows_of_items_that_are_gone_or_moved_unseen_are_swept_in_every_target(app: Target) -> None:
    old = [change(5, "USER#9", email="x"), change(5, "ORDER#9", status="open", total=1)]
    stream(app, *old, change(5, "ORDER#1", status="shut", total=5), change(SNAPSHOT + 7, "ORDER#8", status="shut"))
    run = Run(app, USER, OPENED)
    app.import_batch(run.convert())
    assert run.sweep(run.reconcile()) == 2
    assert [keys_in(app, table) for table in ("Users", "OpenOrders", "ShutOrders")] == [
        ["USER#1"],
        ["ORDER#1"],
        ["ORDER#8"],
    ]
    sources = app.query(
        f"SELECT target, rows_staged FROM {app.mapping.database}._dynaurora_imports WHERE source = 'sweep'"
    )
    assert sorted(sources) == [("OpenOrders", 1), ("Users", 1)]


def test_what_a_target_refuses_is_left_out_of_its_sweep_and_of_no_other(app: Target) -> None:
    """The keys of this item have rows in two targets, and one of them refuses it."""
    stream(app, change(5, "ORDER#3", status="open", total=1), change(5, "ORDER#9", status="open", total=1))
    shut = f"{app.mapping.database}.ShutOrders__replica"
    app.execute(f"UPDATE {shut} SET _deleted = FALSE, _version = 5 WHERE sk = 'ORDER#3'")
    run = Run(app, USER, REFUSED)
    app.import_batch(run.convert())
    assert run.sweep(run.reconcile()) == 1
    assert [keys_in(app, table) for table in ("Users", "OpenOrders", "ShutOrders")] == [["USER#1"], ["ORDER#3"], []]


def test_a_target_that_is_to_be_filled_and_refuses_an_item_bars_the_sweep(app: Target) -> None:
    run = Run(app, USER, REFUSED)
    app.import_batch(run.convert())
    app.execute(
        f"INSERT INTO {app.mapping.database}.{FILLS} (mapping, target, generation, hides_view, since)"
        " VALUES ('app', 'OpenOrders', 2, TRUE, UTC_TIMESTAMP(6))"
    )
    with pytest.raises(SweepRefusedError, match="1 items were rejected by OpenOrders, which is filled by this run"):
        run.sweep(run.reconcile())


def test_one_target_with_a_condition_is_accounted_for(target_for: TargetFor) -> None:
    run = Run(target_for(several(OPEN)), OPENED, SHUT_ONE, OTHER)
    run.app.import_batch(run.convert())
    totals = run.reconcile()
    assert (totals.exported, totals.imported, totals.skipped, totals.targets) == (3, 2, 1, None)


def remake(app: Target, mapping: Mapping, *records: FailedRecord, max_attempts: int = 5) -> tuple[Any, Batch]:
    """Map failed records again by a mapping; return what came of it, and the batch."""
    store, body = S3Objects(), b"".join(map(encode_failed_record, records))
    key = f"transformation_failed_data_backup/mapping={mapping.name}/x"
    store.write(app.bucket, key, body)
    remaker = Remaker(RowMapper(mapping), store, app.bucket, "p1", max_attempts, False, "arn")
    remade = remaker.remake(1, [FailedObject(key, store.tail(app.bucket, key).etag, len(body))])
    return remade, Batch.from_event({"batch": json.loads(json.dumps(remade.batch))})


def kept(run: Run) -> list[FailedRecord]:
    """What the conversion of a run has refused."""
    listed = [each.key for each in run.store.list(run.app.bucket, "transformation_failed_data_backup/")]
    return [record for key in listed for record in read_records(run.store, run.app.bucket, key)]


def test_a_refused_item_is_tried_again_in_the_target_that_it_is_missing_in(app: Target) -> None:
    run = Run(app, OPENED, REFUSED)
    app.import_batch(run.convert())
    (record,) = kept(run)
    assert (record.target, record.error_code) == ("OpenOrders", "dynaurora.Rejected")
    remade, batch = remake(app, app.mapping, record)
    assert (batch.rows, batch.targets["OpenOrders"].rejected, remade.records) == (0, {"record (required)": 1}, 1)
    (again,) = read_records(S3Objects(), app.bucket, remade.settlements[0]["remainder"])
    assert (again.target, again.failures) == ("OpenOrders", 2)
    app.import_batch(batch)
    mended = in_database(several(USERS, {**OPEN, "schema": True}), app.mapping.database)
    with connect(app.endpoint, app.administrator) as aurora:
        activate(aurora, mended)
    remade, batch = remake(app, mended, again)
    assert (remade.settlements[0]["remainder"], {t: share.rows for t, share in batch.targets.items()}) == (
        None,
        {"Users": 0, "OpenOrders": 1},
    )
    app.mapping = mended
    app.import_batch(batch)
    assert keys_in(app, "OpenOrders") == ["ORDER#1", "ORDER#3"]


def test_a_record_that_names_no_target_is_mapped_for_all(app: Target) -> None:
    moved = change(9, "ORDER#3", status="open")
    record = FailedRecord(encode_change(moved), "x", "It failed.", 1, 1_700_000_000_000, "arn")
    remade, batch = remake(app, app.mapping, record)
    assert {table: share.rows for table, share in batch.targets.items()} == {
        "Users": 0,
        "OpenOrders": 0,
        "ShutOrders": 1,
    }
    (again,) = read_records(S3Objects(), app.bucket, remade.settlements[0]["remainder"])
    assert again.target == "OpenOrders"
    assert app.import_batch(batch).rows_staged == 1
    assert versions_in(app, "ShutOrders") == [("ORDER#3", 1, 9)]


def test_what_no_target_takes_any_more_is_settled(app: Target) -> None:
    record = FailedRecord(encode_change(OTHER), "x", "", 1, 1_700_000_000_000, "arn", target="Gone")
    remade, batch = remake(app, app.mapping, record)
    assert (batch.rows, batch.rejected, remade.settlements[0]["remainder"]) == (0, {}, None)


def test_a_row_that_aurora_refused_is_read_again_for_its_target(app: Target) -> None:
    class Items:
        def read_key_types(self) -> dict[str, str]:
            return {"PK": "S", "SK": "S"}

        def read_item(self, key: Any) -> Any:
            assert key == {"PK": {"S": "p"}, "SK": {"S": "ORDER#1"}}
            return OPENED.new_image

    data = json.dumps({"Refused": {"Target": "OpenOrders", "Keys": {"PK": "p", "SK": "ORDER#1"}, "Version": "7"}})
    store, key = S3Objects(), "transformation_failed_data_backup/mapping=app/y"
    store.write(app.bucket, key, encode_failed_record(FailedRecord(data.encode(), "x", "", 1, 1, "arn")))
    remaker = Remaker(RowMapper(app.mapping), store, app.bucket, "p1", 5, False, "arn", Items())
    remade = remaker.remake(1, [FailedObject(key, store.tail(app.bucket, key).etag, 1)])
    assert {table: each["rows"] for table, each in remade.batch["targets"].items()} == {
        "Users": 0,
        "OpenOrders": 1,
        "ShutOrders": 0,
    }
