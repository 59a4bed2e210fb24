"""No input and no result of an execution is larger than 262,144 bytes of UTF-8."""

import json

import pytest

from tests.integration.emulator.machines import Machine, make_task
from tests.integration.emulator.test_distributed_maps import make_map

pytestmark = pytest.mark.integration

LIMIT = 262_144
ENDS = {"By all": {"Type": "Succeed"}, "By name": {"Type": "Succeed"}}
BY_ALL = {"ErrorEquals": ["States.ALL"], "Next": "By all"}
BY_NAME = {"ErrorEquals": ["States.DataLimitExceeded"], "Next": "By name"}


def text_of(size):
    """A text that is ``size`` bytes of JSON."""
    return "x" * (size - 2)


@pytest.fixture(scope="module")
def repeater(emulator):
    """A function that returns as many bytes of JSON as it is asked for."""
    return emulator.create_function("def handler(event, context): return 'x' * (event['bytes'] - 2)")


def test_a_task_result_is_limited(emulator, repeater):
    output_only = {"OutputPath": "$.Payload", "Next": "By name"}
    task = make_task(emulator, repeater, Catch=[BY_ALL]) | output_only
    del task["End"]
    machine = Machine(emulator, {"Task": task, **ENDS})
    assert machine.run({"bytes": LIMIT - 100})["status"] == "SUCCEEDED"
    result = machine.run({"bytes": LIMIT})
    assert (result["status"], result["error"]) == ("FAILED", "States.DataLimitExceeded")
    assert "'lambda' returned a result with a size exceeding" in result["cause"]


def test_a_task_result_that_is_too_large_is_caught_by_name(emulator, repeater):
    task = make_task(emulator, repeater, Catch=[BY_NAME])
    assert Machine(emulator, {"Task": task, **ENDS}).run({"bytes": LIMIT})["status"] == "SUCCEEDED"


def test_what_a_state_hands_on_is_limited(emulator):
    double = {"Type": "Pass", "Parameters": {"a.$": "$.text", "b.$": "$.text"}, "End": True}
    machine = Machine(emulator, {"Task": double})
    assert machine.run({"text": "x" * 100_000})["status"] == "SUCCEEDED"
    result = machine.run({"text": "ä" * 70_000})
    assert result["error"] == "States.DataLimitExceeded"
    assert "'Task'" in result["cause"]


def test_the_results_of_a_map_run_are_limited(emulator):
    machine = Machine(emulator, {"Task": make_map(ResultPath=None, ItemSelector={"text.$": "$.text"})})
    assert machine.run({"items": [1, 2], "text": "x" * 100_000})["status"] == "SUCCEEDED"
    assert machine.run({"items": [1, 2, 3], "text": "x" * 100_000})["error"] == "States.DataLimitExceeded"


def test_the_input_of_an_execution_is_limited(emulator, error_of):
    machine = Machine(emulator, {"Task": {"Type": "Pass", "End": True}})
    assert json.loads(machine.run(text_of(LIMIT))["output"]) == text_of(LIMIT)
    request = {"stateMachineArn": machine.arn, "input": json.dumps("ä" * (LIMIT // 2), ensure_ascii=False)}
    assert error_of(machine.sfn.start_execution, **request) == "ValidationException"
