"""Run state machines with mocked tasks on moto's interpreter, a second engine beside the emulator's.

    .venvs/moto/bin/python tests/workflows/moto_engine.py < request.json > answer.json

The request is {"definition": "...", "mocks": {MockConfigFile.json}, "cases": {"<machine>#<case>": "<input as JSON>"}};
the answer has, for each case, {"status", "error", "cause", "output", "events"} as the Step Functions API gives them.

moto's interpreter knows mocked tasks, but moto has no way to configure them: it makes the worker that runs an execution
without a test case. That is the seam used here. Two things are put right on the way: a mocked error may be one of Step
Functions' own (States.Timeout), and waiting between attempts is skipped. moto runs in this process only, and only the
standard library and moto are imported, because its environment is not the project's.
"""

import functools
import json
import sys
import time
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import boto3
from moto import mock_aws
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task import mock_eval_utils
from moto.stepfunctions.parser.backend import execution
from moto.stepfunctions.parser.mocking import mock_config

ROLE = "arn:aws:iam::123456789012:role/anything"
PATIENCE_SECONDS = 60.0


def main() -> None:
    request = json.load(sys.stdin)
    retrier_decl.time = SimpleNamespace(sleep=bool)  # returns at once
    mock_eval_utils.CustomErrorName = name_error
    execution.ExecutionWorker = functools.partial(make_worker, execution.ExecutionWorker, request["mocks"])
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        answer = run_cases(request["definition"], request["cases"])
    json.dump(answer, sys.stdout, default=datetime.isoformat)


def make_worker(make: Any, mocks: dict[str, Any], **arguments: Any) -> Any:
    """Make what runs an execution, with the test case that the execution is named after."""
    details = arguments["evaluation_details"]
    case = read_test_case(mocks, details.state_machine_details.name, details.execution_details.name)
    return make(**arguments, mock_test_case=case)


def read_test_case(mocks: dict[str, Any], machine: str, case: str) -> mock_config.MockTestCase:
    states = mocks["StateMachines"][machine]["TestCases"][case]
    responses = [
        mock_config.StateMockedResponses(
            state, name, [read_response(*entry) for entry in mocks["MockedResponses"][name].items()]
        )
        for state, name in states.items()
    ]
    return mock_config.MockTestCase(machine, case, responses)


def read_response(attempts: str, response: dict[str, Any]) -> mock_config.MockedResponse:
    first, _, last = attempts.partition("-")
    bounds = int(first), int(last or first)
    if "Throw" in response:
        return mock_config.MockedResponseThrow(*bounds, response["Throw"]["Error"], response["Throw"]["Cause"])
    return mock_config.MockedResponseReturn(*bounds, response["Return"])


def name_error(error: str) -> ErrorName:
    return StatesErrorName.from_name(error) if error.startswith("States.") else CustomErrorName(error)


def run_cases(definition: str, cases: dict[str, str]) -> dict[str, Any]:
    client = boto3.client(
        "stepfunctions", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    machines: dict[str, str] = {}
    started = {}
    for name, text in cases.items():
        machine, _, case = name.partition("#")
        if machine not in machines:
            created = client.create_state_machine(name=machine, definition=definition, roleArn=ROLE)
            machines[machine] = created["stateMachineArn"]
        started[name] = client.start_execution(stateMachineArn=machines[machine], name=case, input=text)["executionArn"]
    return {name: wait_for(client, arn) for name, arn in started.items()}


def wait_for(client: Any, arn: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    events = client.get_execution_history(executionArn=arn, maxResults=1000)["events"]
    return {**{name: found.get(name) for name in ("status", "error", "cause", "output")}, "events": events}


if __name__ == "__main__":
    main()
