"""State machines retry and fail by the names that AWS gives to errors."""

import json
import time

import pytest

from tests.integration.emulator.machines import Machine, make_task

pytestmark = pytest.mark.integration

FAILING = """
class DeadlockError(Exception):
    pass

def handler(event, context):
    raise DeadlockError("again")
"""


def test_a_function_error_is_retried_and_caught_by_its_class_name(emulator):
    function = emulator.create_function(FAILING.replace("raise", "print('called'); raise"))
    machine = Machine(
        emulator,
        {
            "Task": make_task(
                emulator,
                function,
                Retry=[
                    {"ErrorEquals": ["OtherError"], "IntervalSeconds": 60, "MaxAttempts": 9},
                    {"ErrorEquals": ["DeadlockError"], "IntervalSeconds": 1, "MaxDelaySeconds": 1, "MaxAttempts": 1},
                ],
                Catch=[{"ErrorEquals": ["DeadlockError"], "ResultPath": "$.error", "Next": "Caught"}],
            ),
            "Caught": {"Type": "Succeed"},
        },
    )
    output = json.loads(machine.run({"kept": 1})["output"])
    cause = json.loads(output["error"]["Cause"])
    assert (output["kept"], output["error"]["Error"], cause["errorMessage"]) == (1, "DeadlockError", "again")
    assert cause["stackTrace"]
    assert emulator.logged(function).count("called") == 2


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("os.kill(os.getpid(), 9)", "Runtime.ExitError"),
        ("time.sleep(60)", "Sandbox.Timedout"),
        ("import nowhere", "ModuleNotFoundError"),
    ],
)
def test_the_names_of_what_ends_a_function(emulator, statement, error):
    function = emulator.create_function(f"import os, time\ndef handler(event, context):\n    {statement}", Timeout=1)
    result = Machine(emulator, {"Task": make_task(emulator, function)}).run()
    assert (result["status"], result["error"]) == ("FAILED", error)
    assert json.loads(result["cause"])["errorType"] == error


def test_throttling_is_named_and_retryable(emulator):
    function = emulator.create_function("def handler(event, context): return 'done'")
    concurrency = {"FunctionName": function}
    emulator.client("lambda").put_function_concurrency(**concurrency, ReservedConcurrentExecutions=0)
    result = Machine(emulator, {"Task": make_task(emulator, function)}).run()
    assert result["error"] == "Lambda.TooManyRequestsException"
    patient = {
        "ErrorEquals": ["Lambda.TooManyRequestsException"],
        "IntervalSeconds": 1,
        "MaxDelaySeconds": 1,
        "MaxAttempts": 99,
        "JitterStrategy": "FULL",
    }
    machine = Machine(emulator, {"Task": make_task(emulator, function, Retry=[patient])})
    execution = machine.start()
    time.sleep(0.5)
    emulator.client("lambda").delete_function_concurrency(**concurrency)
    assert emulator.wait_until(lambda: machine.finished(execution))["status"] == "SUCCEEDED"


def test_delays_are_capped_and_full_jitter_shortens_them(emulator):
    function = emulator.create_function(FAILING.replace("raise", "print('called'); raise"))
    hasty = {
        "ErrorEquals": ["States.ALL"],
        "IntervalSeconds": 3600,
        "BackoffRate": 2,
        "MaxDelaySeconds": 1,
        "MaxAttempts": 4,
        "JitterStrategy": "FULL",
    }
    result = Machine(emulator, {"Task": make_task(emulator, function, Retry=[hasty])}).run()
    assert result["error"] == "DeadlockError"
    assert emulator.logged(function).count("called") == 5


def test_terminal_errors_are_not_caught_by_all(emulator):
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::nothing:atAll",
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
        "End": True,
    }
    result = Machine(emulator, {"Task": task, "Caught": {"Type": "Succeed"}}).run()
    assert (result["status"], result["error"]) == ("FAILED", "States.Runtime")


def test_the_context_object_names_the_execution(emulator):
    states = {
        "Task": {
            "Type": "Pass",
            "Parameters": {
                "id.$": "$$.Execution.Id",
                "name.$": "$$.Execution.Name",
                "started.$": "$$.Execution.StartTime",
                "input.$": "$$.Execution.Input",
                "state.$": "$$.State.Name",
                "machine.$": "$$.StateMachine.Name",
            },
            "End": True,
        }
    }
    result = Machine(emulator, states).run({"a": 1})
    output = json.loads(result["output"])
    assert output["id"] == result["executionArn"]
    assert output["name"] == result["name"]
    assert output["input"] == {"a": 1}
    assert output["state"] == "Task"
    assert output["started"]
    assert output["machine"].startswith("machine-")


def test_three_hundred_executions_at_once(emulator):
    function = emulator.create_function("def handler(event, context): return event")
    emulator.client("lambda").put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=2)
    patient = {
        "ErrorEquals": ["Lambda.TooManyRequestsException"],
        "IntervalSeconds": 1,
        "MaxDelaySeconds": 2,
        "MaxAttempts": 99,
        "JitterStrategy": "FULL",
    }
    machine = Machine(emulator, {"Task": make_task(emulator, function, Retry=[patient])})
    executions = [machine.start({"number": number}) for number in range(300)]
    for number, execution in enumerate(executions):
        result = emulator.wait_until(lambda execution=execution: machine.finished(execution))
        assert json.loads(result["output"])["Payload"] == {"number": number}


def test_mocked_tasks_have_a_response_for_each_attempt(emulator):
    retry = [{"ErrorEquals": ["DeadlockError"], "IntervalSeconds": 1, "MaxDelaySeconds": 1, "MaxAttempts": 5}]
    states = {
        "Task": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "arn:aws:lambda:us-east-1:000000000000:function:missing", "Payload.$": "$"},
            "TimeoutSeconds": 10,
            "Retry": retry,
            "End": True,
        }
    }
    machine = Machine(emulator, states)
    name = machine.arn.rsplit(":", 1)[-1]
    responses = {
        "0-1": {"Throw": {"Error": "DeadlockError", "Cause": "again"}},
        "2": {"Return": {"StatusCode": 200, "Payload": "done"}},
    }
    emulator.configure(
        **{
            "stepfunctions._SFN_WAIT_SCALE": 0,
            "stepfunctions._sfn_mock_config": {
                "StateMachines": {name: {"TestCases": {"Recovers": {"Task": "Flaky"}, "Ends": {"Task": "Short"}}}},
                "MockedResponses": {"Flaky": responses, "Short": {"0": responses["0-1"]}},
            },
        }
    )
    try:
        arn = machine.arn
        machine.arn = f"{arn}#Recovers"
        assert json.loads(machine.run()["output"])["Payload"] == "done"
        machine.arn = f"{arn}#Ends"
        assert machine.run()["error"] == "States.Runtime"
    finally:
        emulator.configure(**{"stepfunctions._SFN_WAIT_SCALE": 1, "stepfunctions._sfn_mock_config": {}})
