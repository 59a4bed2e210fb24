"""Table exports from a state machine: texts for times, and errors by the names that Step Functions gives them."""

import json
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.emulator.machines import Machine

pytestmark = pytest.mark.integration

START = "arn:aws:states:::aws-sdk:dynamodb:exportTableToPointInTime"
DESCRIBE = "arn:aws:states:::aws-sdk:dynamodb:describeExport"


@pytest.fixture(scope="module")
def exported(emulator):
    """The parameters that start an export of a table."""
    name, _ = emulator.create_table()
    recovery = {"PointInTimeRecoveryEnabled": True}
    dynamodb = emulator.client("dynamodb")
    dynamodb.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=recovery)
    arn = dynamodb.describe_table(TableName=name)["Table"]["TableArn"]
    return {"TableArn": arn, "S3Bucket": emulator.create_bucket(), "S3Prefix": "exports/run=1"}


def call(emulator, resource, parameters, **fields):
    """Run a state machine of one call; its description."""
    task = {"Type": "Task", "Resource": resource, "Parameters": parameters, "End": True, **fields}
    return Machine(emulator, {"Task": task}).run()


def write_time(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_times_are_texts(emulator, exported):
    time.sleep(1)
    asked = write_time(datetime.now(UTC))
    result = call(emulator, START, {**exported, "ExportTime": asked, "ClientToken": uuid.uuid4().hex})
    started = json.loads(result["output"])["ExportDescription"]
    assert started["ExportStatus"] == "IN_PROGRESS"
    assert (started["ExportTime"], started["S3Prefix"]) == (asked.replace("Z", ".000Z"), "exports/run=1")

    def describe():
        result = call(emulator, DESCRIBE, {"ExportArn": started["ExportArn"]}, OutputPath="$.ExportDescription")
        found = json.loads(result["output"])
        return found if found["ExportStatus"] != "IN_PROGRESS" else None

    ended = emulator.wait_until(describe)
    assert ended["ExportStatus"] == "COMPLETED"
    assert datetime.fromisoformat(ended["EndTime"]) > datetime.fromisoformat(ended["StartTime"])
    assert ended["ExportManifest"].startswith("exports/run=1/AWSDynamoDB/")


def test_errors_have_the_names_of_step_functions(emulator, exported):
    other, _ = emulator.create_table()
    token = {"ClientToken": uuid.uuid4().hex}
    unrecoverable = exported["TableArn"].rpartition("/")[0] + f"/{other}"
    missing = exported["TableArn"] + "-missing"
    future = write_time(datetime.now(UTC) + timedelta(hours=1))
    call(emulator, START, exported | token)
    for parameters, error in (
        (exported | token | {"S3Prefix": "another"}, "ExportConflictException"),
        (exported | {"TableArn": unrecoverable}, "PointInTimeRecoveryUnavailableException"),
        (exported | {"TableArn": missing}, "TableNotFoundException"),
        (exported | {"ExportTime": future}, "InvalidExportTimeException"),
        (exported | {"ExportFormat": "TEXT"}, "DynamoDbException"),
    ):
        assert call(emulator, START, parameters)["error"] == f"DynamoDb.{error}"
    assert call(emulator, DESCRIBE, {"ExportArn": f"{missing}/export/1"})["error"] == "DynamoDb.ExportNotFoundException"


def test_exports_are_throttled_and_limited_on_demand(emulator, exported):
    emulator.set_faults(throttle_exports=1)
    assert call(emulator, START, exported)["error"] == "DynamoDb.ThrottlingException"
    emulator.set_faults(limit_exports=1)
    assert call(emulator, START, exported)["error"] == "DynamoDb.LimitExceededException"
    emulator.set_faults(throttle_exports=2)
    retry = {"ErrorEquals": ["DynamoDb.ThrottlingException"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 2}
    assert call(emulator, START, exported, Retry=[retry])["status"] == "SUCCEEDED"


def test_errors_of_other_services_end_in_exception(emulator):
    missing = {"ExecutionArn": "arn:aws:states:us-east-1:000000000000:execution:none:none"}
    result = call(emulator, "arn:aws:states:::aws-sdk:sfn:describeExecution", missing)
    assert result["error"] == "Sfn.ExecutionDoesNotExistException"
