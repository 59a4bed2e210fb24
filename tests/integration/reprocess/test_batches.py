"""Batches that failed, until they are in the database or parked."""

import hashlib
import json

import pytest

from dynaurora import keys
from dynaurora.batches.batch import Batch
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.row_mapper import RowMapper
from tests.integration.backfill.deployed import MAPPING, Document, make_bad_item, make_item, make_items
from tests.integration.reprocess.reprocesses import BATCHES, PARKED, Reprocesses
from tests.support.factories import click, click_change

pytestmark = pytest.mark.integration

CSV_KEY = keys.backfill_batch(MAPPING, "somebody", 1)


def make_csv(reprocesses: Reprocesses, *page_ids: str) -> bytes:
    mapper = RowMapper(reprocesses.deployed.mapping)
    return b"".join(encode_row(mapper.row(click_change(click(Hits=4), 5, page_id))) for page_id in page_ids)


def fail_import(reprocesses: Reprocesses, csv: bytes, key: str = CSV_KEY) -> Document:
    """Import a batch whose object is not there; return the batch."""
    item = {"bucket": reprocesses.deployed.bucket, "key": key, "etag": hashlib.md5(csv).hexdigest(), "size": len(csv)}
    batch: Document = {"mapping": MAPPING, "source": "stream", "run": None, "rows": None, "objects": [item]}
    execution = reprocesses.deployed.client("stepfunctions").start_execution(
        stateMachineArn=reprocesses.deployed.outputs["ImportBatchStateMachineArn"], input=json.dumps({"batch": batch})
    )["executionArn"]
    assert reprocesses.deployed.wait_for_end(execution)["error"] == "ObjectMissingError"
    return batch


def read_record(reprocesses: Reprocesses, key: str) -> Document:
    return dict(json.loads(reprocesses.deployed.read(key)))


def test_a_failed_batch_is_imported_once_its_cause_is_mended(reprocesses: Reprocesses) -> None:
    csv = make_csv(reprocesses, "a", "b")
    reprocesses.deployed.client("s3").delete_object(Bucket=reprocesses.deployed.bucket, Key=CSV_KEY)
    batch = fail_import(reprocesses, csv)
    failed_key = keys.failed_batch(MAPPING, Batch.from_event({"batch": batch}).id)
    ended = reprocesses.do()
    assert (ended.totals["batches_failed"], ended.totals["batches_imported"]) == (1, 0)
    assert read_record(reprocesses, failed_key)["attempts"] == 2
    # People were told of the first failure, and not again of the same cause.
    assert [subject.rpartition(": ")[2] for subject in reprocesses.deployed.messages()] == ["ObjectMissingError"]
    reprocesses.write(CSV_KEY, csv)
    ended = reprocesses.do()
    assert (ended.totals["batches_imported"], ended.totals["rows_changed"]) == (1, 2)
    assert reprocesses.list_failures() == []
    assert reprocesses.deployed.hits() == {"a": 4, "b": 4}


def test_a_batch_that_fails_too_often_is_parked_and_can_be_taken_up_by_hand(reprocesses: Reprocesses) -> None:
    csv = make_csv(reprocesses, "c")
    reprocesses.deployed.client("s3").delete_object(Bucket=reprocesses.deployed.bucket, Key=CSV_KEY)
    fail_import(reprocesses, csv)
    (key,) = reprocesses.list_failures()
    reprocesses.write(key, json.dumps(read_record(reprocesses, key) | {"attempts": 4}).encode())
    ended = reprocesses.do()
    assert (ended.totals["batches_failed"], ended.totals["batches_parked"]) == (1, 1)
    (parked,) = reprocesses.list_failures()
    assert parked == keys.parked(MAPPING, key)
    assert "dynaurora: 1 batches parked" in reprocesses.deployed.messages()
    assert reprocesses.do().totals["entries"] == 0
    reprocesses.write(CSV_KEY, csv)
    assert reprocesses.do(prefix=f"{PARKED}{BATCHES}").totals["batches_imported"] == 1
    assert reprocesses.list_failures() == []


def test_what_is_no_batch_fails_and_is_told_and_makes_no_others(reprocesses: Reprocesses) -> None:
    started = reprocesses.deployed.client("stepfunctions").start_execution(
        stateMachineArn=reprocesses.deployed.outputs["ImportBatchStateMachineArn"], input='{"batch": "none"}'
    )
    ended = reprocesses.deployed.wait_for_end(started["executionArn"])
    assert ended["status"] == "FAILED"
    (subject,) = reprocesses.deployed.messages()
    assert subject.endswith("failed: InvalidBatchError")
    assert reprocesses.list_failures() == []
    (kept,) = reprocesses.deployed.list_keys("failed_batches/mapping=-/")
    reprocesses.deployed.client("s3").delete_object(Bucket=reprocesses.deployed.bucket, Key=kept)


def test_a_record_that_nobody_can_read_is_parked_and_makes_no_others(reprocesses: Reprocesses) -> None:
    key = f"{BATCHES}by-hand.json"
    reprocesses.write(key, b"{")
    assert reprocesses.do().totals["batches_parked"] == 1
    assert reprocesses.list_failures() == [keys.parked(MAPPING, key)]
    assert reprocesses.deployed.messages().keys() == {"dynaurora: 1 batches parked"}


def test_a_batch_that_could_not_be_converted_is_converted_once_its_cause_is_mended(
    reprocesses: Reprocesses, run: str
) -> None:
    deployed = reprocesses.deployed
    export = deployed.plan_batches(run, make_items(6), 3)
    key = export.files[-1]["dataFileS3Key"]
    body = export.read(key)
    export.delete(key)
    deployed.backfill(run, "--tolerated-failure-percentage", "50")
    assert deployed.compare().missing == 2
    (failed_key,) = reprocesses.list_failures()
    ended = reprocesses.do()
    assert ended.totals["batches_failed"] == 1
    assert read_record(reprocesses, failed_key)["attempts"] == 2
    export.write(key, body)
    ended = reprocesses.do()
    assert (ended.totals["batches_imported"], ended.totals["rows"]) == (1, 2)
    assert reprocesses.list_failures() == []
    assert deployed.compare().identical == 6
    assert len(deployed.ledger(run)) == 3  # it is the backfill's batch still


def test_a_batch_that_is_converted_and_still_not_imported_is_kept_as_what_it_has_become(
    reprocesses: Reprocesses, run: str
) -> None:
    deployed = reprocesses.deployed
    export = deployed.plan_batches(run, make_items(6), 3)
    key = export.files[-1]["dataFileS3Key"]
    body = export.read(key)
    export.delete(key)
    deployed.backfill(run, "--tolerated-failure-percentage", "50")
    (unconverted,) = reprocesses.list_failures()
    export.write(key, body)
    with deployed.variables("ImportBatchFunctionName", DATABASE_CA="no certificate"):
        assert reprocesses.do().totals["batches_failed"] == 1
        (converted,) = reprocesses.list_failures()
        record = read_record(reprocesses, converted)
        assert converted == keys.failed_batch(MAPPING, Batch.from_event(record).id) != unconverted
        assert (record["attempts"], record["error"], "conversion" in record) == (1, "CertificateError", False)
    assert reprocesses.do().totals["batches_imported"] == 1
    assert reprocesses.list_failures() == []
    assert deployed.compare().identical == 6


def test_refused_items_of_a_backfill_arrive_once_they_are_corrected(reprocesses: Reprocesses, run: str) -> None:
    deployed = reprocesses.deployed
    deployed.put([*make_items(2), make_bad_item("bad")])
    deployed.backfill(run, "--tolerated-rejected-percentage", "100")
    (key,) = reprocesses.list_failures()
    assert reprocesses.do().totals["rejected"] == 1
    deployed.put([make_item("bad", 2)])
    (record,) = reprocesses.read_records(key)
    assert record.reprocessed == 1
    reprocesses.correct(key, make_item("bad", 2))
    assert reprocesses.do().totals["rows_changed"] == 1
    assert reprocesses.list_failures() == []
    assert deployed.compare().identical == 3
