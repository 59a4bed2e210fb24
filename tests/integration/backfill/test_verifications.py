"""`dynaurora verify` on a deployment: rows changed behind its back are named, and changes under way are not."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import jsonschema
import pytest
from click.testing import CliRunner

import dynaurora
from backfill.cli import main
from backfill.comparing_exports import compare_export
from backfill.deployment import deployments
from backfill.deployment.clients import connect, connect_functions
from backfill.deployment.deployments import choose_deployment, find_deployments
from dynaurora import keys
from dynaurora.aurora.migrations import DIFFERENCES, SEEN_KEYS, VERIFICATIONS
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.dynamodb.items import TableItems
from dynaurora.errors import ConnectionLostError
from dynaurora.failures.list_failures import Place
from dynaurora.mappings.csv_format import row_label
from dynaurora.mappings.registry import Registry
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.verification.compared_exports import ComparedExport
from dynaurora.verification.expectations import Expecter
from dynaurora.verification.function_lookup import FunctionLookup
from dynaurora.verification.judge_differences import DifferencesJudge
from dynaurora.verification.verifier import Verifier
from local.deployment import name_replication
from tests.integration.backfill.deployed import (
    MAPPING,
    Deployed,
    make_bad_item,
    make_item,
    make_items,
    wait_for_next_second,
    wait_until,
)

pytestmark = pytest.mark.integration

SCHEMA = Path(dynaurora.__file__).with_name("verification_report.schema.json")
FAILED = f"failed_batches/mapping={MAPPING}/"
Ask = Callable[..., Any]
QUICK = ("--settle", "1", "--workers", "2")
BY_HAND = (
    "DELETE FROM {rows} WHERE page_id = 'page-00001'",
    "UPDATE {rows} SET hits = 9, country_code = NULL WHERE page_id = 'page-00002'",
    "UPDATE {rows} SET timestarted = 9 WHERE page_id = 'page-00003'",
    "UPDATE {rows} SET _deleted = TRUE WHERE page_id = 'page-00004'",
    "INSERT INTO {rows} (page_id, activity_dt, _deleted, _version) VALUES ('by hand', 'x', 0, 1)",
)
DIFFERENT = {
    ("page-00001", "missing", ""),
    ("page-00002", "differing", "hits,country_code"),
    ("page-00004", "missing", ""),
    ("by hand", "extra", ""),
}


@pytest.fixture
def ask(deployed: Deployed) -> Ask:
    """Verify, and return what it says in the end; nothing is kept as failed of tests before."""
    for prefix in (FAILED, keys.failed_records_prefix(MAPPING), keys.unforwarded_prefix()):
        for key in deployed.list_keys(prefix):
            deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=key)
    with deployed.connect() as aurora, aurora.transaction():
        for table in (DIFFERENCES, VERIFICATIONS):
            aurora.execute(f"DELETE FROM {deployed.name_table(table)}")

    def verify(*arguments: str, status: int | None = 0, via: str = "scan") -> Any:
        way = () if "--run" in arguments else ("--via", via)
        answer = CliRunner().invoke(main, ["verify", MAPPING, *QUICK, *way, *arguments, "--json"])
        assert answer.exit_code in ({0, 1} if status is None else {status}), answer.output
        return json.loads(answer.stdout.splitlines()[-1])

    return verify


def change(deployed: Deployed, *statements: str) -> None:
    """Change rows by hand."""
    with deployed.connect() as aurora, aurora.transaction():
        for statement in statements:
            aurora.execute(statement.format(rows=deployed.name_table(deployed.mapping.replica)))


def named(found: Any) -> set[tuple[str, str, str]]:
    return {
        (each["key"]["page_id"]["S"], each["verdict"], ",".join(each.get("columns", ())))
        for each in found["differences"]
    }


def test_rows_changed_deleted_and_added_by_hand_are_named_exactly(deployed: Deployed, ask: Ask, run: str) -> None:
    deployed.put([*make_items(30), make_bad_item("bad")])
    deployed.backfill(run)
    assert "! rows and items: they were never compared" in CliRunner().invoke(main, ["doctor", MAPPING]).stdout
    equal = ask()
    assert "\N{CHECK MARK} rows and items: verified at " in CliRunner().invoke(main, ["doctor", MAPPING]).stdout
    assert equal.items() >= {"items": 31, "rows": 30, "identical": 30, "failed": 1, "agrees": True}.items()
    change(deployed, *BY_HAND)
    found = ask("--reveal", status=1)
    assert named(found) == DIFFERENT
    assert found["run"] != equal["run"]
    counts = {"items": 31, "rows": 29, "identical": 27, "differing": 1, "missing": 2, "extra": 1, "failed": 1}
    assert found.items() >= counts.items()
    recorded = deployed.query(
        "SELECT verdict, column_name, item_value, row_value, row_digest IS NULL"
        f" FROM {deployed.name_table(DIFFERENCES)} WHERE run = %s ORDER BY verdict, column_name",
        found["run"],
    )
    assert recorded == [
        ("differing", "country_code", "DE", None, 1),
        ("differing", "hits", "1", "9", 0),
        ("extra", None, None, None, 1),
        ("missing", None, None, None, 1),
        ("missing", None, None, None, 1),
    ]
    closed = f"SELECT run, unexplained, whole FROM {deployed.name_table(VERIFICATIONS)} ORDER BY started_at, run"
    assert deployed.query(closed) == [(equal["run"], 0, 1), (found["run"], 4, 1)]
    doctor = CliRunner().invoke(main, ["doctor", MAPPING])
    assert "! rows and items: verified at " in doctor.stdout
    assert ", 4 differ without an explanation" in doctor.stdout
    assert deployed.query(f"SELECT * FROM {deployed.name_table(SEEN_KEYS)} WHERE run NOT LIKE 'repair-%'") == []


def test_an_export_is_compared_in_the_database(deployed: Deployed, ask: Ask, run: str, tmp_path: Any) -> None:
    deployed.put([*make_items(30), make_bad_item("bad")])
    deployed.backfill(run)
    kept = deployed.list_keys(f"transformation_failed_data_backup/mapping={MAPPING}/")
    wait_for_next_second()
    counts = {"items": 31, "rows": 30, "identical": 30, "failed": 1, "agrees": True, "via": "export"}
    equal = ask(via="export")
    assert equal.items() >= counts.items()
    assert deployed.list_keys(f"transformation_failed_data_backup/mapping={MAPPING}/") == kept
    change(deployed, *BY_HAND, "UPDATE {rows} SET hits = 8 WHERE page_id = 'bad'")
    wait_for_next_second()
    found = ask(via="export", status=1)
    assert named(found) == DIFFERENT
    counts = {"items": 31, "rows": 29, "identical": 27, "differing": 1, "missing": 2, "extra": 1, "failed": 1}
    assert found.items() >= counts.items()
    assert deployed.row(found["run"])["state"] == "SUCCEEDED"
    report = json.loads(deployed.read(keys.report(MAPPING, found["run"])))
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    assert report["totals"]["unaccounted"] == 0
    assert (report["verification"]["unexplained"], report["differences"]) == (4, found["differences"])
    page = deployed.read(keys.report_page(MAPPING, found["run"])).decode()
    assert "4 keys differ" in page
    assert f"dynaurora repair {MAPPING} --run {found['run']} --dry-run" in page
    fetched = CliRunner().invoke(main, ["report", "--json", "-o", str(tmp_path / "page.html")])
    assert json.loads(fetched.stdout)["run"] == found["run"]
    assert (tmp_path / "page.html").read_text() == page
    assert [staged for _, _, staged, *_ in deployed.ledger(found["run"], source="verify")] == [30]
    assert deployed.hits()["page-00002"] == 9  # nothing was imported
    assert deployed.query(f"SELECT * FROM {deployed.name_table(SEEN_KEYS)} WHERE run NOT LIKE 'repair-%'") == []
    assert "has ended" in ask("--run", found["run"], status=1)["error"]  # what it has seen is forgotten


def test_what_comparing_found_is_judged_step_by_step_by_whoever_goes_on(
    deployed: Deployed, ask: Ask, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step is cut off, and the last one is taken again."""
    deployed.put([*make_items(30), make_bad_item("bad")])
    deployed.backfill(run)
    change(deployed, *BY_HAND)
    wait_for_next_second()
    found = choose_deployment(find_deployments(connect().cloudformation, None), MAPPING)
    lookup = FunctionLookup(connect_functions(130), found.compare_rows, deployed.mapping, f"judged-{run}")
    lookup.ask("begin", via="export")
    compare_export(connect(), found, lookup.run, 0.2)
    totals = deployed.report(lookup.run)["totals"]

    def take_step() -> Any:
        verifier = Verifier(Expecter(RowMapper(deployed.mapping)), lookup)
        export = ComparedExport(deployed.bucket, deployed.mapping, S3Objects(), lookup.run)
        place = Place(deployed.bucket, MAPPING, found.table, (found.event_source_mapping,))
        judge = DifferencesJudge(verifier, export, TableItems(found.table), place, finds_extra=True, settle_seconds=1)
        return judge.take_step(totals)

    assert take_step() is None
    assert take_step() is None
    with monkeypatch.context() as cut_off:
        cut_off.setattr(Verifier, "record", Mock(side_effect=ConnectionLostError("It broke.")))
        with pytest.raises(ConnectionLostError):
            take_step()
    assert take_step() is None
    result = take_step()
    assert take_step() == result  # as where its answer was lost
    counts = {"items": 31, "rows": 29, "identical": 27, "differing": 1, "missing": 2, "extra": 1, "failed": 1}
    assert result["counts"].items() >= counts.items()
    closed = f"SELECT unexplained, whole FROM {deployed.name_table(VERIFICATIONS)} WHERE run = %s"
    assert deployed.query(closed, lookup.run) == [(4, 1)]
    recorded = f"SELECT COUNT(*) FROM {deployed.name_table(DIFFERENCES)} WHERE run = %s"
    assert deployed.query(recorded, lookup.run) == [(5,)]  # two columns of one
    assert deployed.query(f"SELECT * FROM {deployed.name_table(SEEN_KEYS)} WHERE run = %s", lookup.run) == []
    assert ", 4 differ without an explanation" in CliRunner().invoke(main, ["doctor", MAPPING]).stdout


VERIFICATIONS_OF_CLOCK = "dynaurora-verify-table"
"""The group of their schedules."""


@contextmanager
def scheduled(deployed: Deployed) -> Iterator[str]:
    """Have the replication's own schedule start now, and yield the execution's ARN; it has to be new."""
    scheduler, machine = deployed.client("scheduler"), deployed.backfill_table_arn
    weekly = scheduler.get_schedule(Name=f"{name_replication(MAPPING)}-verify-table", GroupName=VERIFICATIONS_OF_CLOCK)
    assert weekly["ScheduleExpression"] == "rate(7 days)"
    before = list_executions(deployed, machine)
    now, window = f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})", {"Mode": "OFF"}
    place = {"Name": f"now-{time.time_ns()}", "GroupName": VERIFICATIONS_OF_CLOCK}
    scheduler.create_schedule(**place, ScheduleExpression=now, FlexibleTimeWindow=window, Target=weekly["Target"])
    try:
        (started,) = wait_until(lambda: list_executions(deployed, machine) - before)
        yield started
    finally:
        scheduler.delete_schedule(**place)


def list_executions(deployed: Deployed, machine: str) -> set[str]:
    pages = deployed.client("stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=machine)
    return {execution["executionArn"] for page in pages for execution in page["executions"]}


def count_differences(deployed: Deployed) -> float:
    """Return the sum of the metric that the platform's alarm looks at."""
    dimensions = {"bucket": deployed.bucket, "service": "compare_rows"}
    points = deployed.client("cloudwatch").get_metric_statistics(
        Namespace="dynaurora",
        MetricName="Differences",
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=time.time() - 86400,
        EndTime=time.time() + 60,
        Period=86400,
        Statistics=["Sum"],
    )["Datapoints"]
    return sum(point["Sum"] for point in points)


def test_the_clock_starts_a_verification_that_is_judged_though_its_judge_dies(
    deployed: Deployed, ask: Ask, run: str
) -> None:
    deployed.put([*make_items(30), make_bad_item("bad")])
    deployed.backfill(run)
    change(deployed, *BY_HAND)
    wait_for_next_second()
    before = count_differences(deployed)
    with deployed.variables("JudgeDifferencesFunctionName", SETTLE_SECONDS="6"), scheduled(deployed) as execution:
        wait_until(lambda: deployed.entered(execution).count("Judge differences") == 2)  # it judges for six seconds
        killed = wait_until(lambda: deployed.find_processes("JudgeDifferencesFunctionName"))
        for process in killed:
            os.kill(process, signal.SIGKILL)
        ended = deployed.wait_for_end(execution)
    assert ended["status"] == "SUCCEEDED", ended
    verified = json.loads(ended["output"])["key"].split("/")[1].removeprefix(f"run={MAPPING}-")
    history = deployed.client("stepfunctions").get_execution_history(executionArn=execution)["events"]
    assert "Runtime.ExitError" in json.dumps(history, default=str)
    assert deployed.entered(execution).count("Judge differences") == 4  # a step each, whoever died
    report = deployed.report(verified)
    assert (report["state"], report["options"]["judge"], report["totals"]["unaccounted"]) == ("SUCCEEDED", True, 0)
    counts = {"items": 31, "rows": 29, "identical": 27, "differing": 1, "missing": 2, "extra": 1, "failed": 1}
    assert report["verification"]["counts"].items() >= counts.items()
    assert (report["verification"]["unexplained"], report["verification"]["whole"]) == (4, True)
    recorded = f"SELECT verdict, column_name FROM {deployed.name_table(DIFFERENCES)} WHERE run = %s ORDER BY number"
    assert sorted(deployed.query(recorded, verified), key=str) == [
        ("differing", "country_code"),
        ("differing", "hits"),
        ("extra", None),
        ("missing", None),
        ("missing", None),
    ]
    assert wait_until(lambda: count_differences(deployed) - before) == 4
    alarm = deployed.client("cloudwatch").describe_alarms(AlarmNames=["dynaurora-differences"])["MetricAlarms"][0]
    assert alarm["StateValue"] == "ALARM"
    assert deployed.hits()["page-00002"] == 9  # nothing was imported
    assert ", 4 differ without an explanation" in CliRunner().invoke(main, ["doctor", MAPPING]).stdout
    status = json.loads(CliRunner().invoke(main, ["status", MAPPING, "--json"]).stdout.splitlines()[-1])
    assert (status["verification"]["run"], status["verification"]["unexplained"]) == (verified, 4)
    assert "4 differences without an explanation" in deployed.run_command("status", verified).stdout


def test_a_scheduled_verification_that_failed_is_told_of_and_gone_on_with(
    deployed: Deployed, ask: Ask, run: str
) -> None:
    deployed.put(make_items(3))
    deployed.backfill(run)
    change(deployed, "UPDATE {rows} SET hits = 9 WHERE page_id = 'page-00001'")
    wait_for_next_second()
    deployed.set_recovery(enabled=False)
    try:
        with scheduled(deployed) as execution:
            ended = deployed.wait_for_end(execution)
    finally:
        deployed.set_recovery(enabled=True)
    assert (ended["status"], ended["error"]) == ("FAILED", "NotReadyError")
    ((subject, message),) = deployed.messages().items()
    verified = subject.split()[2]
    assert f"Start it again with: dynaurora verify {MAPPING} --run {verified}\n" in message
    assert deployed.report(verified)["failure"]["error"] == "NotReadyError"
    found = ask("--run", verified, status=1)
    assert (found["run"], found["via"], named(found)) == (verified, "export", {("page-00001", "differing", "hits")})


def test_values_stay_in_the_database_unless_told(deployed: Deployed, ask: Ask, run: str) -> None:
    deployed.put(make_items(2))
    deployed.backfill(run)
    change(deployed, "UPDATE {rows} SET hits = 9 WHERE page_id = 'page-00001'")
    found = ask(status=1)
    ((item_value, row_value, item_digest, row_digest),) = deployed.query(
        f"SELECT item_value, row_value, item_digest, row_digest FROM {deployed.name_table(DIFFERENCES)}"
    )
    assert (item_value, row_value, len(item_digest), item_digest == row_digest) == (None, None, 32, False)
    assert found["differences"][0]["columns"] == ["hits"]


def test_only_the_keys_of_a_file_are_compared(deployed: Deployed, ask: Ask, run: str, tmp_path: Any) -> None:
    deployed.put(make_items(4))
    deployed.backfill(run)
    change(deployed, "UPDATE {rows} SET hits = 9")
    deployed.delete([make_item("page-00003")])
    given = [{"page_id": {"S": f"page-0000{number}"}, "activity_dt": {"S": "2026-01-01"}} for number in (1, 3, 9)]
    file = tmp_path / "keys.jsonl"
    file.write_text("\n".join(map(json.dumps, given + given)))  # each is compared once
    found = ask("--keys", str(file), status=1)
    assert named(found) == {("page-00001", "differing", "hits"), ("page-00003", "extra", "")}
    assert (found["items"], found["differing"], found["extra"], found["whole"]) == (1, 1, 1, False)
    for none in ('{"page_id": "page-00001"}', '{"page_id": {"S": 5}, "activity_dt": {"S": "x"}}', "\udcff", "[]"):
        file.write_text(f"\n{none}", errors="surrogateescape")
        assert "Line 2" in ask("--keys", str(file), status=2)["error"]
    assert not deployed.query(f"SELECT run FROM {deployed.name_table(VERIFICATIONS)} WHERE ended_at IS NULL")
    file.write_text("\n \n")
    assert "has no key" in ask("--keys", str(file), status=2)["error"]


def test_a_sample_reads_its_share_and_judges_no_row_without_an_item(deployed: Deployed, ask: Ask, run: str) -> None:
    deployed.put(make_items(20))
    deployed.backfill(run)
    change(deployed, "INSERT INTO {rows} (page_id, activity_dt, _deleted, _version) VALUES ('by hand', 'x', 0, 1)")
    found = ask("--sample", "2%")
    assert (found["identical"], found["extra"], found["whole"]) == (found["items"], 0, False)
    assert ask(status=1)["extra"] == 1


def test_a_batch_that_is_not_imported_yet_is_no_difference(deployed: Deployed, ask: Ask, run: str) -> None:
    deployed.put(make_items(3))
    deployed.backfill(run)
    key = f"processed/mapping={MAPPING}/{time.strftime('%Y/%m/%d/%H', time.gmtime())}/waiting"
    deployed.put([make_item("page-00001", hits=7)])
    deployed.client("s3").put_object(Bucket=deployed.bucket, Key=key, Body=b"not a batch\n")
    try:
        found = ask("--patience", "3")
        assert (found["behind"], found["differing"], found["differences"]) == (1, 0, [])
    finally:
        wait_until(lambda: deployed.list_keys(FAILED))  # a batch that is kept as failed holds judging back, too
        for kept in (key, *deployed.list_keys(FAILED)):
            deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=kept)
    assert named(ask(status=1)) == {("page-00001", "differing", "hits")}


def test_a_batch_that_is_kept_as_failed_concerns_its_own_keys(deployed: Deployed, ask: Ask, run: str) -> None:
    deployed.put(make_items(3))
    deployed.backfill(run)
    change(deployed, "UPDATE {rows} SET hits = 9 WHERE page_id IN ('page-00001', 'page-00002')")
    key, failed = f"batches/mapping={MAPPING}/given-up.csv", f"{FAILED}given-up.json"
    current = Registry(S3Objects(), deployed.bucket, MAPPING).find_current()
    body = row_label(current) + b"0,1,page-00001,2026-01-01,0,7,\\N,\\N,DE\n"
    batch = Batch(MAPPING, "stream", None, None, (BatchObject(deployed.bucket, key, "e", len(body)),))
    record = {"batch": batch.as_dict(), "first_failed_at": "2026-01-01T00:00:00Z"}
    deployed.client("s3").put_object(Bucket=deployed.bucket, Key=key, Body=body)
    deployed.client("s3").put_object(Bucket=deployed.bucket, Key=failed, Body=json.dumps(record).encode())
    try:
        found = ask("--patience", "3600", status=1)  # which is not waited for
        assert named(found) == {("page-00002", "differing", "hits")}
        assert (found["behind"], found["differing"]) == (1, 1)
    finally:
        for kept in (key, failed):
            deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=kept)


def test_a_stream_that_is_read_late_shows_no_difference(
    flowing: Deployed, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was changed while nobody reads may be on its way for longer than changes usually are."""
    reader = {"ForwardChangesEventSourceMappingId": flowing.event_source_mapping}  # the tests' own, not the stack's
    read = deployments._read_outputs
    monkeypatch.setattr(deployments, "_read_outputs", lambda description: read(description) | reader)
    flowing.put(make_items(2))
    wait_until(lambda: len(flowing.hits()) == 2)
    flowing.enable_event_source_mapping(enabled=False)
    try:
        flowing.put([make_item("page-00001", hits=7)])
        found = ask("--patience", "3")
        assert (found["behind"], found["differing"], found["differences"]) == (1, 0, [])
    finally:
        flowing.enable_event_source_mapping(enabled=True)
    wait_until(lambda: flowing.hits()["page-00001"] == 7)
    assert ask()["identical"] == 2


def test_a_row_that_was_changed_since_the_export_is_judged_the_next_time(flowing: Deployed, ask: Ask) -> None:
    flowing.put(make_items(3))
    wait_until(lambda: len(flowing.hits()) == 3)
    change(flowing, "UPDATE {rows} SET hits = 9 WHERE page_id = 'page-00001'")
    found = ask(via="export")
    assert (found["items"], found["identical"], found["newer"], found["differing"]) == (3, 2, 1, 0)
    assert named(ask("--settle", "5", status=1)) == {("page-00001", "differing", "hits")}


def test_changes_under_way_are_no_difference(flowing: Deployed, ask: Ask) -> None:
    """Items are changed, deleted and put again all the while; what was changed by hand is found all the same."""
    flowing.put(make_items(40))
    wait_until(lambda: len(flowing.hits()) == 40)
    change(flowing, "UPDATE {rows} SET hits = 99 WHERE page_id = 'page-00039'")
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.wait(0.5):
            number += 1
            flowing.put([make_item(f"page-{(number + step) % 30:05}", hits=number) for step in range(3)])
            flowing.delete([make_item(f"page-{number % 10 + 20:05}")])

    writer = threading.Thread(target=write)
    writer.start()
    expected = {("page-00039", "differing", "hits")}
    try:
        busy = [named(verify_busily(ask)) for _ in range(2)]
    finally:
        over.set()
        writer.join()
    assert all(found <= expected for found in busy)
    assert named(ask("--settle", "5", status=1)) == expected


def verify_busily(ask: Ask) -> Any:
    """Verify while imports may be behind: then what was changed by hand may not be proved in time."""
    return ask("--settle", "5", "--patience", "10", status=None)


def test_an_export_whose_items_are_of_different_instants_shows_no_difference(flowing: Deployed, ask: Ask) -> None:
    """Items are written while their table is exported, and each may be as it was up to a minute before or after."""
    flowing.put(make_items(20))
    wait_until(lambda: len(flowing.hits()) == 20)
    wait_for_next_second()
    flowing.put(make_items(10, hits=2))
    flowing.set_faults(spread_export_cuts_seconds=60)
    found = ask("--settle", "5", via="export")
    assert (found["differing"], found["missing"], found["extra"], found["differences"]) == (0, 0, 0, [])
    explained = sum(found[name] for name in ("identical", "behind", "newer"))
    assert found["rows"] == 20 <= explained  # some are of items that tests before had a minute ago: tombstones by now


def test_a_platform_of_an_earlier_release_is_named(
    deployed: Deployed, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backfill.deployment.deployments._read_outputs", without("CompareRowsFunctionName"))
    assert "cannot verify" in ask(status=2)["error"]


def without(name: str) -> Any:
    def read(description: Any) -> dict[str, str]:
        outputs = {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}
        outputs.pop(name, None)
        return outputs

    return read
