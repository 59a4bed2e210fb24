"""A deployment as CloudWatch and X-Ray see it: its alarms, its dashboard, its metrics, its log lines and its traces."""

import json
import time
from typing import Any

import pytest

from dynaurora import keys
from dynaurora.aws.objects import S3Objects
from dynaurora.mappings.replications import read_replication
from dynaurora.runs.costs import TRANSITIONS_OF_AN_IMPORT
from infra.monthly_costs import (
    CALLS_OF_A_CHECK,
    CALLS_OF_A_CHECK_OF_ALL,
    CALLS_OF_A_LOOK,
    FREE_CALLS_OF_A_CHECK,
    HEALTH_METRICS,
    METRICS_OF_A_TABLE,
    METRICS_OF_ALL_TABLES,
)
from tests.infrastructure.deployment import REPLICATION, list_resources
from tests.integration.backfill.deployed import MAPPING, Deployed, make_bad_item, make_item, make_items
from tests.integration.monitoring.alarms import Alarms
from tests.integration.monitoring.conftest import Traces
from tests.integration.monitoring.idle_day import FREE, invoke, price
from tests.support.functions import metrics_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

OF_BACKFILLS = {
    "open_run",
    "check_readiness",
    "plan_backfill",
    "convert_export",
    "import_batch",
    "reconcile_run",
    "report_run",
    "close_run",
}
OF_THE_STREAM = {"forward_changes", "transform_changes", "import_batch"}


@pytest.fixture
def alarms(deployed: Deployed) -> Alarms:
    return Alarms(deployed.client("cloudwatch"), "dynaurora")


def read_statistic(deployed: Deployed, name: str, statistic: str, **dimensions: str) -> float | None:
    """Return a statistic of the mapping's last hour; None where there is no data."""
    return read_statistic_of(deployed, name, statistic, mapping=MAPPING, **dimensions)


def read_statistic_of(deployed: Deployed, name: str, statistic: str, **dimensions: str) -> float | None:
    """Return a statistic of the last hour; None where there is no data."""
    answer = deployed.client("cloudwatch").get_metric_statistics(
        Namespace="dynaurora",
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=time.time() - 3600,
        EndTime=time.time() + 60,
        Period=7200,
        Statistics=[statistic],
    )
    values = [point[statistic] for point in answer["Datapoints"]]
    return max(values) if values else None


def read_log(deployed: Deployed, output: str) -> list[dict[str, Any]]:
    """Return the lines that a function has logged, without the metrics and what Lambda itself logs."""
    pages = deployed.client("logs").get_paginator("filter_log_events")
    group = f"/aws/lambda/{deployed.outputs[output]}"
    texts = [event["message"] for page in pages.paginate(logGroupName=group) for event in page["events"]]
    lines = [json.loads(text) for text in texts if text.startswith("{")]
    return [line for line in lines if "_aws" not in line]


def test_every_alarm_and_the_dashboard_are_deployed(deployed: Deployed, alarms: Alarms) -> None:
    found = list_resources("AWS::CloudWatch::Alarm")
    of_replications = {f"web-analytics-{alarm.kebab}" for alarm in found if alarm.template == REPLICATION}
    templates = {alarm.kebab for alarm in found if alarm.template != REPLICATION} | of_replications
    described = alarms.describe()
    assert described.keys() == templates
    assert {action for alarm in described.values() for action in alarm["AlarmActions"]} == {
        deployed.outputs["FailuresTopicArn"]
    }
    dashboard = deployed.client("cloudwatch").get_dashboard(DashboardName=deployed.outputs["DashboardName"])
    shown = [
        arn.replace(":REPLICATION-", ":dynaurora-web-analytics-")
        for widget in json.loads(dashboard["DashboardBody"])["widgets"]
        if widget["type"] == "alarm"
        for arn in widget["properties"]["alarms"]
    ]
    assert sorted(shown) == sorted(alarm["AlarmArn"] for alarm in described.values())
    assert "${" not in dashboard["DashboardBody"]


def test_the_lag_of_a_change_is_measured_from_when_it_was_made(flowing: Deployed) -> None:
    began = time.time()
    flowing.put([make_item("late")])
    wait_until(lambda: "late" in flowing.hits())
    took = time.time() - began
    lag = wait_until(
        lambda: read_statistic(flowing, "ReplicationLag", "Minimum", service="import_batch", source="stream")
    )
    assert 0 <= lag <= took + 1, "DynamoDB gives a change the second that it was made in"
    assert read_statistic(flowing, "BatchesImported", "Sum", service="import_batch", source="stream")


def test_a_change_is_traced_through_every_function_of_its_path(flowing: Deployed, traces: Traces) -> None:
    flowing.put([make_item("traced")])
    wait_until(lambda: "traced" in flowing.hits())
    wait_until(lambda: traces.functions(mapping=MAPPING) >= OF_THE_STREAM)
    batch = read_log(flowing, "ImportBatchFunctionName")[-1]["batch"]
    assert traces.functions(batch=batch) == {"import_batch"}


def test_a_run_is_traced_and_logged_by_its_id(deployed: Deployed, traces: Traces, run: str) -> None:
    deployed.put([*make_items(3), make_bad_item("bad")])
    deployed.backfill(run, "--tolerated-rejected-percentage", "25")
    wait_until(lambda: traces.functions(mapping=MAPPING, run=run) >= OF_BACKFILLS)
    (batch_id, *_), *_ = deployed.ledger(run)
    imported = [line for line in read_log(deployed, "ImportBatchFunctionName") if line.get("run") == run]
    assert {line["batch"] for line in imported} == {batch_id}
    for output in ("OpenRunFunctionName", "ConvertExportFunctionName", "ReconcileRunFunctionName"):
        assert [line for line in read_log(deployed, output) if line.get("run") == run], output
    planned = read_statistic(deployed, "BatchesPlanned", "Sum", service="plan_backfill")
    backfilled = read_statistic(deployed, "BatchesImported", "Sum", service="import_batch", source="backfill")
    assert planned
    assert backfilled == planned


def test_people_are_told_of_a_stream_that_is_not_read(deployed: Deployed, alarms: Alarms) -> None:
    alarms.put("unread-stream", StreamsUnread=[0, 0])
    assert alarms.state("unread-stream") == "OK"
    deployed.messages()
    assert measure_health(deployed)["stream_problems"] == []
    deployed.enable_event_source_mapping(enabled=False)
    try:
        alarms.put("unread-stream", StreamsUnread=[1, None])  # as it would have been measured five minutes ago
        measured = measure_health(deployed)
    finally:
        deployed.enable_event_source_mapping(enabled=True)
    assert "is Disabled" in measured["stream_problems"][0]
    assert alarms.state("unread-stream") == "ALARM"
    (message,) = (text for subject, text in deployed.messages().items() if "dynaurora-unread-stream" in subject)
    assert "docs/runbooks/late-rows.md" in json.loads(message)["AlarmDescription"]


def test_what_is_kept_and_parked_is_measured_whether_anything_else_runs_or_not(deployed: Deployed) -> None:
    before = measure_health(deployed)
    failed = keys.failed_records_prefix(MAPPING) + "processing-failed/2026/11/23/08/changes"
    for key in (failed, keys.parked(MAPPING, failed)):
        deployed.client("s3").put_object(Bucket=deployed.bucket, Key=key, Body=b"{}\n")
    after = measure_health(deployed)
    for key in (failed, keys.parked(MAPPING, failed)):
        deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=key)
    for name in ("failures_kept", "failures_parked"):
        assert after[name] == before[name] + 1
    assert read_statistic(deployed, "FailuresKept", "Maximum", service="measure_health") == after["failures_kept"]
    assert read_statistic(deployed, "FailuresParked", "Maximum", service="measure_health") == after["failures_parked"]


def test_a_batch_that_is_under_way_is_not_taken_for_one_that_waits(deployed: Deployed) -> None:
    with deployed.lock_key("held"):
        deployed.put([make_item("held")])
        deployed.wait_until_locked_out()
        assert measure_health(deployed)["batches_waiting"] == 0
    waiting = read_statistic_of(deployed, "BatchesWaiting", "Maximum", platform="dynaurora", service="measure_health")
    assert waiting is None, "nothing is not told"


# A day on which nothing happens: none of its looks differs from the one before


TIMES = 3


@pytest.fixture
def idle(deployed: Deployed) -> Deployed:
    """The deployment, with nothing kept as failed."""
    for prefix in (keys.FAILED_RECORDS, keys.FAILED_BATCHES, keys.PARKED, keys.UNFORWARDED):
        for key in deployed.list_keys(f"{prefix}/"):
            deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=key)
    return deployed


def test_an_idle_look_at_the_health_of_all_makes_the_calls_that_its_costs_are_counted_by(
    idle: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    invoke(idle, "measure_health", "MeasureHealthFunctionName", {})  # the first one notes that the stream is read
    metrics_of(capsys)
    for _ in range(TIMES):
        answer, calls = invoke(idle, "measure_health", "MeasureHealthFunctionName", {})
        assert answer["replications"] == {
            MAPPING: {"failures_kept": 0, "failures_parked": 0, "stream_problems": (), "near_loss": False}
        }
        assert price(calls) == CALLS_OF_A_CHECK | {"S3 writes": CALLS_OF_A_CHECK_OF_ALL["S3 writes"]}
        assert sum(calls[name] for name in FREE - {"ListExecutions"}) == FREE_CALLS_OF_A_CHECK
        sent, lines = metrics_of(capsys)
        assert (len(sent), len(lines)) == (HEALTH_METRICS, 1), "of all of them, and nothing of each"


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_an_idle_look_for_failures_makes_the_calls_that_its_costs_are_counted_by(idle: Deployed) -> None:
    event = {"look": True, "input": {"mapping": MAPPING}}
    readers = read_replication(S3Objects(), idle.bucket, MAPPING).event_source_mappings
    earlier_readers = len(readers) - 1  # each has a place of its own
    for _ in range(TIMES):
        answer, calls = invoke(idle, "list_failures", "ListFailuresFunctionName", event)
        assert answer == {"anything": False}
        assert price(calls) == {
            "S3 writes": CALLS_OF_A_LOOK["S3 writes"] + earlier_readers,
            "S3 reads": CALLS_OF_A_LOOK["S3 reads"],
        }


def test_an_idle_hour_starts_one_execution_of_few_transitions(idle: Deployed) -> None:
    stepfunctions = idle.client("stepfunctions")
    for _ in range(TIMES):
        execution = stepfunctions.start_execution(
            stateMachineArn=idle.outputs["ReprocessFailuresStateMachineArn"],
            input=json.dumps({"mapping": MAPPING, "look": True}),
        )["executionArn"]
        assert idle.wait_for_end(execution)["status"] == "SUCCEEDED"
        entered = idle.entered(execution)
        assert entered[-1] == "Nothing reprocessed"
        assert 1 + len(entered) == CALLS_OF_A_LOOK["Step Functions"], "the start, and each state"
        history = stepfunctions.get_execution_history(executionArn=execution)["events"]
        assert sum(event["type"] == "TaskScheduled" for event in history) == CALLS_OF_A_LOOK["Lambda requests"]


def test_a_change_sends_the_metrics_that_a_busy_tables_costs_are_counted_by(flowing: Deployed) -> None:
    flowing.put([make_item("counted")])
    wait_until(lambda: "counted" in flowing.hits())
    sources = {"import_batch": {"source": "stream"}}
    for function, name in METRICS_OF_A_TABLE:
        dimensions = {"service": function, **sources.get(function, {})}
        assert wait_until(lambda: read_statistic(flowing, name, "SampleCount", **dimensions)), (function, name)  # noqa: B023 (it waits here)
    for function, name in METRICS_OF_ALL_TABLES:
        assert read_statistic_of(flowing, name, "Sum", bucket=flowing.bucket, service=function), (function, name)


def test_a_streamed_batch_makes_as_few_transitions_as_its_costs_are_counted_by(flowing: Deployed) -> None:
    flowing.put([make_item("transitions")])
    wait_until(lambda: "transitions" in flowing.hits())
    machine = {"stateMachineArn": flowing.outputs["ImportStreamedBatchStateMachineArn"], "statusFilter": "SUCCEEDED"}
    ended = wait_until(lambda: flowing.client("stepfunctions").list_executions(**machine)["executions"])
    entered = flowing.entered(ended[0]["executionArn"])
    assert entered == ["Import streamed batch"]
    assert 1 + len(entered) == TRANSITIONS_OF_AN_IMPORT, "the start, and each state"


def measure_health(deployed: Deployed) -> dict[str, Any]:
    """Have the deployment's health measured, as the clock does."""
    answer = deployed.client("lambda").invoke(FunctionName=deployed.outputs["MeasureHealthFunctionName"], Payload=b"{}")
    assert "FunctionError" not in answer, answer["Payload"].read()
    measured: dict[str, Any] = json.loads(answer["Payload"].read())
    return {**measured, **measured["replications"][MAPPING]}
