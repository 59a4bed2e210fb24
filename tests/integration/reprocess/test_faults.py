"""Reprocesses that are killed, started twice, or meet a database that is away."""

import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime

import pytest

from dynaurora import keys
from dynaurora.aurora.migrations import RUNS
from local.deployment import name_replication
from tests.integration.backfill.deployed import MAPPING, Deployed, make_bad_item, make_items
from tests.integration.reprocess.reprocesses import RECORDS, Reprocesses, make_record, rotated_password
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


def keep_failed(reprocesses: Reprocesses, count: int = 5) -> None:
    """Have failed records of so many pages, and one that is refused again."""
    records = [make_record(item) for item in make_items(count)]
    reprocesses.write(f"{RECORDS}failed", *records, make_record(make_bad_item("bad")))


def check_reprocessed(reprocesses: Reprocesses, attempts: int = 1, count: int = 5) -> None:
    """Assert that what `keep_failed` has is in the database, but for what is refused."""
    assert len(reprocesses.deployed.hits()) == count
    (record,) = reprocesses.read_records(f"{RECORDS}failed")
    assert record.reprocessed == attempts
    assert reprocesses.list_failures() == [f"{RECORDS}failed"]


def test_an_entry_that_cannot_be_settled_fails_the_run_and_is_settled_by_the_next_one(reprocesses: Reprocesses) -> None:
    keep_failed(reprocesses)
    with reprocesses.deployed.variables("SettleFailuresFunctionName", MAX_ATTEMPTS="none"):
        ended = reprocesses.wait(reprocesses.start())
    assert (ended.status, ended.output) == ("FAILED", {"Error": "FailuresNotSettledError"})
    assert (ended.totals["entries_failed"], ended.report["state"]) == (1, "FAILED")
    assert "MAX_ATTEMPTS is 'none'" in ended.report["failure"]["reason"]
    assert reprocesses.deployed.row(ended.run)["state"] == "FAILED"
    assert list(reprocesses.deployed.messages()) == [f"dynaurora: run {ended.run} failed: FailuresNotSettledError"]
    done = reprocesses.deployed.ledger(ended.run, "reprocess")
    again = reprocesses.do()
    assert reprocesses.deployed.ledger(again.run, "reprocess") == []  # the batch is the same, and in the ledger
    assert reprocesses.deployed.ledger(ended.run, "reprocess") == done
    check_reprocessed(reprocesses)


def test_of_two_reprocesses_one_is_skipped(reprocesses: Reprocesses) -> None:
    deployed = reprocesses.deployed
    keep_failed(reprocesses)
    with deployed.lock_key(make_items(1)[0]["page_id"]["S"]):
        first = reprocesses.start(run="first")
        deployed.wait_until_locked_out()
        second = reprocesses.wait(reprocesses.start(run="second"))
        assert (second.status, second.run) == ("SUCCEEDED", "")
        assert second.output["Error"] == "RunConflictError"
        assert "first is reprocessing" in second.output["Cause"]
    assert reprocesses.wait(first).status == "SUCCEEDED"
    check_reprocessed(reprocesses)
    reprocesses.do(run="second")
    check_reprocessed(reprocesses, attempts=2)


def test_a_reprocess_that_is_stopped_is_closed_and_its_work_done_by_the_next_one(reprocesses: Reprocesses) -> None:
    deployed = reprocesses.deployed
    keep_failed(reprocesses)
    with deployed.lock_key(make_items(1)[0]["page_id"]["S"]):
        execution = reprocesses.start()
        deployed.wait_until_locked_out()
        deployed.client("stepfunctions").stop_execution(executionArn=execution, cause="Enough.")
        query = f"SELECT state FROM {deployed.name_table(RUNS)} WHERE execution = %s"
        wait_until(lambda: deployed.query(query, execution) == [("STOPPED",)])
    reprocesses.do()
    check_reprocessed(reprocesses)


def test_the_clock_starts_a_reprocess(reprocesses: Reprocesses) -> None:
    keep_failed(reprocesses)
    scheduler, group = reprocesses.deployed.client("scheduler"), "dynaurora-reprocess-failures"
    hourly = scheduler.get_schedule(Name=f"{name_replication(MAPPING)}-reprocess-failures", GroupName=group)
    now = f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})"
    window = {"Mode": "OFF"}
    scheduler.create_schedule(
        Name="now", GroupName=group, ScheduleExpression=now, FlexibleTimeWindow=window, Target=hourly["Target"]
    )
    try:
        wait_until(lambda: len(reprocesses.deployed.hits()) == 5)
        running = {"stateMachineArn": reprocesses.arn, "statusFilter": "RUNNING"}
        wait_until(lambda: not reprocesses.deployed.client("stepfunctions").list_executions(**running)["executions"])
    finally:
        scheduler.delete_schedule(Name="now", GroupName=group)
    check_reprocessed(reprocesses)


def test_a_database_that_is_away_is_sat_out(reprocesses: Reprocesses) -> None:
    deployed = reprocesses.deployed
    keep_failed(reprocesses)
    with ExitStack() as stack, suppress(Exception):  # the lock's connection dies with the database
        stack.enter_context(deployed.lock_key(make_items(1)[0]["page_id"]["S"]))
        execution = reprocesses.start()
        deployed.wait_until_locked_out()
        deployed.stack.server.kill()
    time.sleep(1)
    deployed.stack.server.start()
    ended = reprocesses.wait(execution)
    assert ended.status == "SUCCEEDED"
    assert ended.totals["batches_failed"] == 0
    assert deployed.retries(ended.run) > 0
    assert ended.report["retry_causes"][0]["times"] > 0
    check_reprocessed(reprocesses)


def test_a_password_that_is_rotated_meanwhile_is_read_anew(reprocesses: Reprocesses) -> None:
    deployed = reprocesses.deployed
    keep_failed(reprocesses)
    with rotated_password(deployed) as finish:
        execution = reprocesses.start()
        wait_until(lambda: "SecretRotatedError" in str(read_events(deployed, execution)))
        finish()
        assert reprocesses.wait(execution).status == "SUCCEEDED"
    check_reprocessed(reprocesses)


def read_events(deployed: Deployed, execution: str) -> list[object]:
    return list(deployed.client("stepfunctions").get_execution_history(executionArn=execution)["events"])


def test_the_notice_of_an_interval_is_kept(reprocesses: Reprocesses) -> None:
    reprocesses.write(f"{RECORDS}bad", make_record(make_bad_item("bad"), reprocessed=4))
    reprocesses.do()
    (key,) = reprocesses.deployed.list_keys(keys.NOTICES)
    assert key.startswith(f"{keys.NOTICES}/mapping={MAPPING}/parked/")
