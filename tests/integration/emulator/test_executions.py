"""Executions that are stopped, time out, or await others, and the events that tell of it."""

import json
import time

import pytest

from tests.integration.emulator.machines import Machine, make_task
from tests.integration.emulator.test_distributed_maps import count, make_map

pytestmark = pytest.mark.integration

WAIT = {"Type": "Wait", "Seconds": 60, "End": True}


def make_nested(machine, **fields):
    """A state that awaits an execution of a machine."""
    parameters = {"StateMachineArn": machine.arn, "Input.$": "$"}
    resource = "arn:aws:states:::states:startExecution.sync:2"
    return {"Type": "Task", "Resource": resource, "Parameters": parameters, "End": True, **fields}


@pytest.fixture
def watched(emulator):
    """Have a function called with the status events of a machine; what it was called with, by status."""

    def watch(machine, *statuses):
        function = emulator.create_function("import json\ndef handler(event, context): print(json.dumps(event))")
        pattern = {
            "source": ["aws.states"],
            "detail-type": ["Step Functions Execution Status Change"],
            "detail": {"stateMachineArn": [machine.arn], "status": list(statuses)},
        }
        events = emulator.client("events")
        events.put_rule(Name=machine.name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=machine.name, Targets=[{"Id": "1", "Arn": emulator.function_arn(function)}])
        return lambda: [json.loads(line) for line in emulator.logged(function)]

    return watch


def test_stopping_ends_what_is_under_way(emulator, watched):
    awaited = Machine(emulator, {"Task": WAIT})
    child = {"StartAt": "Await", "States": {"Await": make_nested(awaited)}}
    caught = {"ErrorEquals": ["States.ALL"], "Next": "Caught"}
    states = {"Task": make_map(child, MaxConcurrency=2, Catch=[caught]), "Caught": {"Type": "Succeed"}}
    machine = Machine(emulator, states)
    received = watched(machine, "ABORTED")
    execution = machine.start({"items": [1, 2, 3]})

    def list_awaited(status):
        found = awaited.sfn.list_executions(stateMachineArn=awaited.arn, statusFilter=status)["executions"]
        return found if len(found) == 2 else None

    emulator.wait_until(lambda: list_awaited("RUNNING"))
    machine.sfn.stop_execution(executionArn=execution, error="Stopped", cause="Enough.")
    description = machine.finished(execution)
    assert (description["status"], description["error"], description["cause"]) == ("ABORTED", "Stopped", "Enough.")
    assert list_awaited("ABORTED")
    run = machine.map_run(execution)
    assert (run["status"], count(run)) == ("ABORTED", {"total": 3, "aborted": 2, "pending": 1})
    assert {child["status"] for child in machine.children(run)} == {"ABORTED"}
    (event,) = emulator.wait_until(received)
    assert event["resources"] == [execution]
    assert event["detail"] == {
        "executionArn": execution,
        "stateMachineArn": machine.arn,
        "name": description["name"],
        "status": "ABORTED",
        "startDate": int(description["startDate"].timestamp() * 1000),
        "stopDate": int(description["stopDate"].timestamp() * 1000),
        "input": json.dumps({"items": [1, 2, 3]}),
        "inputDetails": {"included": True},
        "output": None,
        "outputDetails": None,
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "redriveCount": 0,
        "redriveDate": None,
        "redriveStatus": "REDRIVABLE",
        "redriveStatusReason": None,
        "error": "Stopped",
        "cause": "Enough.",
    }
    time.sleep(0.3)
    assert machine.map_run(execution)["itemCounts"] == run["itemCounts"]
    assert len(machine.children(run)) == 2
    assert machine.events(execution)[-1] == "ExecutionAborted"


def test_a_stopped_execution_stays_stopped(emulator):
    function = emulator.create_function("import time\ndef handler(event, context): time.sleep(0.5); raise ValueError")
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]
    task = make_task(emulator, function, Retry=[{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1}], Catch=catch)
    machine = Machine(emulator, {"Task": task, "Caught": {"Type": "Succeed"}})
    execution = machine.start()
    emulator.wait_until(lambda: "TaskScheduled" in machine.events(execution))
    machine.sfn.stop_execution(executionArn=execution)
    time.sleep(1)
    assert machine.finished(execution)["status"] == "ABORTED"
    assert machine.events(execution)[-1] == "ExecutionAborted"


def test_an_execution_times_out(emulator, watched):
    awaited = Machine(emulator, {"Task": WAIT})
    machine = Machine(emulator, {"Task": make_nested(awaited)}, TimeoutSeconds=1)
    received = watched(machine, "TIMED_OUT", "FAILED")
    execution = machine.start()
    assert machine.finish(execution)["status"] == "TIMED_OUT"
    assert machine.events(execution)[-1] == "ExecutionTimedOut"
    (event,) = emulator.wait_until(received)
    detail = event["detail"]
    assert (detail["status"], detail["error"], detail["redriveStatus"]) == ("TIMED_OUT", None, "REDRIVABLE")
    (stopped,) = awaited.sfn.list_executions(stateMachineArn=awaited.arn)["executions"]
    assert stopped["status"] == "ABORTED"


def test_a_failed_execution_tells_why(emulator, watched):
    machine = Machine(emulator, {"Task": {"Type": "Fail", "Error": "BadError", "Cause": "Bad."}})
    received = watched(machine, "FAILED")
    description = machine.run()
    assert (description["error"], description["cause"], description.get("output")) == ("BadError", "Bad.", None)
    (event,) = emulator.wait_until(received)
    detail = event["detail"]
    assert (detail["status"], detail["error"], detail["cause"]) == ("FAILED", "BadError", "Bad.")
    assert (detail["output"], detail["outputDetails"]) == (None, None)


def test_long_payloads_are_left_out_of_the_event(emulator, watched):
    machine = Machine(emulator, {"Task": {"Type": "Pass", "Result": "short", "End": True}})
    received = watched(machine, "SUCCEEDED")
    machine.run({"long": "x" * 255_000})
    (event,) = emulator.wait_until(received)
    assert (event["detail"]["input"], event["detail"]["inputDetails"]) == (None, {"included": False})
    assert (event["detail"]["output"], event["detail"]["outputDetails"]) == ('"short"', {"included": True})


def test_an_awaited_execution_is_one_like_any_other(emulator, watched):
    awaited = Machine(emulator, {"Task": {"Type": "Pass", "Parameters": {"b.$": "$.a"}, "End": True}})
    received = watched(awaited, "SUCCEEDED")
    output = json.loads(Machine(emulator, {"Task": make_nested(awaited)}).run({"a": "ä"})["output"])
    assert (output["Status"], output["Input"], output["Output"]) == ("SUCCEEDED", {"a": "ä"}, {"b": "ä"})
    assert isinstance(output["StartDate"], int)
    (event,) = emulator.wait_until(received)
    assert event["detail"]["executionArn"] == output["ExecutionArn"]


def test_a_failed_awaited_execution_fails_the_task_with_its_description(emulator):
    awaited = Machine(emulator, {"Task": {"Type": "Fail", "Error": "DeadlockError", "Cause": "Deadlock."}})
    catch = [
        {"ErrorEquals": ["DeadlockError"], "Next": "By its own name"},
        {"ErrorEquals": ["States.TaskFailed"], "Next": "Caught"},
    ]
    ends = {name: {"Type": "Succeed"} for name in ("By its own name", "Caught")}
    machine = Machine(emulator, {"Task": make_nested(awaited, Catch=catch), **ends})
    execution = machine.start({"a": 1})
    caught = json.loads(machine.finish(execution)["output"])
    cause = json.loads(caught["Cause"])
    assert caught["Error"] == "States.TaskFailed"
    assert (cause["Status"], cause["Error"], cause["Cause"]) == ("FAILED", "DeadlockError", "Deadlock.")
    assert json.loads(cause["Input"]) == {"a": 1}
    assert cause["ExecutionArn"].startswith(awaited.arn.replace(":stateMachine:", ":execution:"))
    assert list(cause) == sorted(cause)


def test_a_stopped_awaited_execution_fails_the_task(emulator):
    awaited = Machine(emulator, {"Task": WAIT})
    machine = Machine(emulator, {"Task": make_nested(awaited)})
    execution = machine.start()
    (started,) = emulator.wait_until(
        lambda: awaited.sfn.list_executions(stateMachineArn=awaited.arn, statusFilter="RUNNING")["executions"]
    )
    awaited.sfn.stop_execution(executionArn=started["executionArn"])
    result = machine.finish(execution)
    assert (result["error"], json.loads(result["cause"])["Status"]) == ("States.TaskFailed", "ABORTED")


def test_an_execution_that_cannot_be_awaited_is_named(emulator):
    machine = Machine(emulator, {"Task": {"Type": "Pass", "End": True}})
    state = make_nested(machine)
    state["Parameters"]["StateMachineArn"] += "-missing"
    assert Machine(emulator, {"Task": state}).run()["error"] == "StepFunctions.StateMachineDoesNotExistException"


def test_starting_again_is_idempotent_while_the_execution_runs(emulator, error_of):
    machine = Machine(emulator, {"Task": WAIT})
    request = {"stateMachineArn": machine.arn, "name": "once", "input": '{"a": 1}'}
    first = machine.sfn.start_execution(**request)
    again = machine.sfn.start_execution(**request)
    assert (again["executionArn"], again["startDate"]) == (first["executionArn"], first["startDate"])
    assert error_of(machine.sfn.start_execution, **request | {"input": "{}"}) == "ExecutionAlreadyExists"
    machine.sfn.stop_execution(executionArn=first["executionArn"])
    assert error_of(machine.sfn.start_execution, **request) == "ExecutionAlreadyExists"
    assert error_of(machine.sfn.start_execution, stateMachineArn=machine.arn, input="{") == "InvalidExecutionInput"


def test_a_function_looks_at_executions(emulator):
    source = """
        import boto3
        def handler(event, context):
            client = boto3.client("stepfunctions")
            arn = event["execution"]
            run, = client.list_map_runs(executionArn=arn)["mapRuns"]
            described = client.describe_map_run(mapRunArn=run["mapRunArn"])
            children = client.list_executions(mapRunArn=run["mapRunArn"])["executions"]
            history = client.get_execution_history(executionArn=arn)["events"]
            started = client.describe_execution(executionArn=arn)["startDate"]
            times = [started, run["startDate"], run["stopDate"], described["startDate"], described["stopDate"]]
            times += [children[0]["startDate"], children[0]["stopDate"], history[0]["timestamp"]]
            return {"times": [time.timestamp() for time in times], "events": [event["type"] for event in history]}
    """
    function = emulator.create_function(source)
    states = {
        "Task": make_map(ResultPath=None, End=None) | {"Next": "Look"},
        "Look": make_task(
            emulator,
            function,
            Parameters={
                "FunctionName": emulator.function_arn(function),
                "Payload": {"execution.$": "$$.Execution.Id"},
            },
            OutputPath="$.Payload",
        ),
    }
    del states["Task"]["End"]
    before = time.time()
    looked = json.loads(Machine(emulator, states).run({"items": [1]})["output"])
    assert all(before - 1 < moment < time.time() for moment in looked["times"])
    assert looked["events"][:5] == [
        "ExecutionStarted",
        "MapStateEntered",
        "MapStateStarted",
        "MapRunStarted",
        "MapRunSucceeded",
    ]
