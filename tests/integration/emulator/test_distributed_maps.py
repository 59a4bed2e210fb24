"""Distributed Map states: limits from the input, tolerated failures, result files, datasets that cannot be read."""

import itertools
import json

import pytest

from tests.integration.emulator.machines import Machine, make_task

pytestmark = pytest.mark.integration

PASS = {"StartAt": "Child", "States": {"Child": {"Type": "Pass", "End": True}}}
FAILING = {
    "StartAt": "Good?",
    "States": {
        "Good?": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.good", "BooleanEquals": True, "Next": "Good"}],
            "Default": "Bad",
        },
        "Good": {"Type": "Succeed"},
        "Bad": {"Type": "Fail", "Error": "BadItemError", "Cause": "It is bad."},
    },
}
GOOD, BAD = {"good": True}, {"good": False}


def make_map(processor=None, **fields):
    configuration = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    processor = {"ProcessorConfig": configuration, **(processor or PASS)}
    return {"Type": "Map", "Label": "Items", "ItemsPath": "$.items", "ItemProcessor": processor, "End": True, **fields}


def count(map_run):
    """The counts of a Map Run that are not zero; items and executions are counted alike."""
    assert map_run["itemCounts"] == map_run["executionCounts"]
    return {name: number for name, number in map_run["itemCounts"].items() if number}


def read(emulator, bucket, key):
    return json.loads(emulator.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())


def test_limits_come_from_the_input(emulator):
    state = make_map(
        FAILING,
        MaxConcurrencyPath="$.limits.concurrency",
        ToleratedFailurePercentagePath="$.limits.percentage",
        ToleratedFailureCountPath="$.limits.count",
    )
    machine = Machine(emulator, {"Task": state})
    items = [GOOD, BAD, BAD, GOOD]
    execution = machine.start({"items": items, "limits": {"concurrency": 3, "percentage": 50, "count": 2}})
    assert machine.finish(execution)["status"] == "SUCCEEDED"
    run = machine.map_run(execution)
    limits = run["maxConcurrency"], run["toleratedFailurePercentage"], run["toleratedFailureCount"]
    assert limits == (3, 50.0, 2)
    assert count(run) == {"total": 4, "succeeded": 2, "failed": 2}
    for limits in ({"concurrency": 3, "percentage": 49, "count": 2}, {"concurrency": 3, "percentage": 50, "count": 1}):
        assert machine.run({"items": items, "limits": limits})["error"] == "States.ExceedToleratedFailureThreshold"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("MaxConcurrencyPath", "4"),
        ("MaxConcurrencyPath", -1),
        ("MaxConcurrencyPath", 1.5),
        ("MaxConcurrencyPath", None),
        ("ToleratedFailurePercentagePath", 101),
        ("ToleratedFailurePercentagePath", True),
        ("ToleratedFailureCountPath", "none"),
    ],
)
def test_a_limit_of_another_type_ends_the_execution(emulator, field, value):
    catcher = {"ErrorEquals": ["States.ALL"], "Next": "Caught"}
    states = {"Task": make_map(Catch=[catcher], **{field: "$.limit"}), "Caught": {"Type": "Succeed"}}
    result = Machine(emulator, states).run({"items": [1], "limit": value})
    assert (result["status"], result["error"]) == ("FAILED", "States.Runtime")
    assert field in result["cause"]


def test_concurrency_is_bounded(emulator):
    function = emulator.create_function(
        "import time\ndef handler(event, context):\n    time.sleep(0.1); return time.time()"
    )
    processor = {"StartAt": "Work", "States": {"Work": make_task(emulator, function, OutputPath="$.Payload")}}
    machine = Machine(emulator, {"Task": make_map(processor, MaxConcurrencyPath="$.limit")})
    ends = sorted(json.loads(machine.run({"items": [1, 2, 3, 4], "limit": 1})["output"]))
    assert all(later - sooner >= 0.1 for sooner, later in itertools.pairwise(ends))


def test_too_many_failures_end_the_map_run_and_its_children(emulator):
    bucket = emulator.create_bucket()
    slow = {"Type": "Wait", "Seconds": 3600, "End": True}
    processor = FAILING | {"States": FAILING["States"] | {"Good": slow}}
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": bucket, "Prefix": "results/"}}
    state = make_map(
        processor,
        MaxConcurrency=3,
        ResultWriter=writer,
        Catch=[{"ErrorEquals": ["States.ExceedToleratedFailureThreshold"], "Next": "Caught"}],
    )
    machine = Machine(emulator, {"Task": state, "Caught": {"Type": "Succeed"}})
    execution = machine.start({"items": [GOOD, GOOD, BAD, GOOD, GOOD]})
    assert machine.finish(execution)["status"] == "SUCCEEDED"
    run = machine.map_run(execution)
    assert run["status"] == "FAILED"
    assert count(run) == {"total": 5, "failed": 1, "aborted": 2, "pending": 2, "resultsWritten": 3}
    children = machine.children(run)
    assert sorted(child["status"] for child in children) == ["ABORTED", "ABORTED", "FAILED"]
    assert all(child["stopDate"] >= child["startDate"] for child in children)
    assert machine.events(execution)[1:6] == [
        "MapStateEntered",
        "MapStateStarted",
        "MapRunStarted",
        "MapRunFailed",
        "MapStateFailed",
    ]
    folder = f"results/{run['mapRunArn'].rpartition(':')[2]}"
    files = read(emulator, bucket, f"{folder}/manifest.json")["ResultFiles"]
    assert [file["Key"] for status in files for file in files[status]] == [
        f"{folder}/FAILED_0.json",
        f"{folder}/PENDING_0.json",
    ]
    failed = read(emulator, bucket, f"{folder}/FAILED_0.json")
    assert sorted(child["Status"] for child in failed) == ["ABORTED", "ABORTED", "FAILED"]
    pending = read(emulator, bucket, f"{folder}/PENDING_0.json")
    assert [json.loads(child["Input"]) for child in pending] == [GOOD, GOOD]


def test_results_are_written_instead_of_returned(emulator):
    bucket = emulator.create_bucket()
    parameters = {"Bucket.$": "$.bucket", "Prefix.$": "States.Format('reports/run={}/map', $.run)"}
    state = make_map(
        FAILING,
        ItemSelector={"good.$": "$$.Map.Item.Value.good", "parent.$": "$$.Execution.Id"},
        ToleratedFailurePercentage=100,
        ResultWriter={"Resource": "arn:aws:states:::s3:putObject", "Parameters": parameters},
        ResultPath="$.written",
    )
    machine = Machine(emulator, {"Task": state})
    execution = machine.start({"bucket": bucket, "run": "r1", "items": [GOOD, BAD, GOOD]})
    written = json.loads(machine.finish(execution)["output"])["written"]
    run = machine.map_run(execution)
    folder = f"reports/run=r1/map/{run['mapRunArn'].rpartition(':')[2]}"
    assert written == {
        "MapRunArn": run["mapRunArn"],
        "ResultWriterDetails": {"Bucket": bucket, "Key": f"{folder}/manifest.json"},
    }
    assert run["itemCounts"]["resultsWritten"] == 3
    manifest = read(emulator, bucket, f"{folder}/manifest.json")
    sizes = {key: len(body) for key, body in emulator.objects(bucket, folder).items()}
    keys = {status: f"{folder}/{status}_0.json" for status in ("FAILED", "SUCCEEDED")}
    assert manifest == {
        "DestinationBucket": bucket,
        "MapRunArn": run["mapRunArn"],
        "ResultFiles": {
            "FAILED": [{"Key": keys["FAILED"], "Size": sizes[keys["FAILED"]]}],
            "PENDING": [],
            "SUCCEEDED": [{"Key": keys["SUCCEEDED"], "Size": sizes[keys["SUCCEEDED"]]}],
        },
    }
    failed = read(emulator, bucket, keys["FAILED"])
    assert [(f["Status"], f["Error"], f["Cause"]) for f in failed] == [("FAILED", "BadItemError", "It is bad.")]
    assert json.loads(failed[0]["Input"]) == {"good": False, "parent": execution}
    succeeded = read(emulator, bucket, keys["SUCCEEDED"])
    assert len(succeeded) == 2
    assert json.loads(succeeded[0]["Output"])["good"] is True
    assert {"ExecutionArn", "Name", "StartDate", "StopDate", "StateMachineArn", "RedriveStatus"} < succeeded[0].keys()


def test_results_that_cannot_be_written_fail_the_state(emulator):
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "missing-bucket", "Prefix": "p"}}
    assert Machine(emulator, {"Task": make_map(ResultWriter=writer)}).run({"items": [1]})["error"] == (
        "States.ResultWriterFailed"
    )


@pytest.mark.parametrize(
    "content",
    [None, b"[1, 2", b'"text"', b"\xff", json.dumps(["x" * 262_144]).encode()],
    ids=["missing", "cut off", "a scalar", "not UTF-8", "large item"],
)
def test_a_dataset_that_cannot_be_read_fails_the_state(emulator, content):
    bucket = emulator.create_bucket()
    if content is not None:
        emulator.client("s3").put_object(Bucket=bucket, Key="plan.json", Body=content)
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON"},
        "Parameters": {"Bucket.$": "$.bucket", "Key": "plan.json"},
    }
    state = make_map(ItemReader=reader)
    del state["ItemsPath"]
    assert Machine(emulator, {"Task": state}).run({"bucket": bucket})["error"] == "States.ItemReaderFailed"


def test_a_child_is_an_execution_of_its_own(emulator):
    look = {"Type": "Pass", "Parameters": {"id.$": "$$.Execution.Id", "name.$": "$$.Execution.Name"}, "End": True}
    processor = {"StartAt": "Look", "States": {"Look": look}}
    machine = Machine(emulator, {"Task": make_map(processor)})
    execution = machine.start({"items": [{"n": 1}]})
    machine.finish(execution)
    (child,) = machine.children(machine.map_run(execution))
    assert json.loads(child["output"]) == {"id": child["executionArn"], "name": child["name"]}
    assert f":execution:{machine.name}/Items:" in child["executionArn"]
    assert machine.events(child["executionArn"]) == ["ExecutionStarted", "ExecutionSucceeded"]


def test_no_items_are_a_success(emulator):
    machine = Machine(emulator, {"Task": make_map()})
    execution = machine.start({"items": []})
    assert json.loads(machine.finish(execution)["output"]) == []
    assert machine.map_run(execution)["status"] == "SUCCEEDED"


def test_a_thousand_children(emulator):
    machine = Machine(emulator, {"Task": make_map(MaxConcurrency=4)})
    execution = machine.start({"items": list(range(1000))})
    assert json.loads(machine.finish(execution)["output"]) == list(range(1000))
    assert count(machine.map_run(execution)) == {"total": 1000, "succeeded": 1000}
