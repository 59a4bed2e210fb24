"""Run state machines with mocked tasks on moto's interpreter, a second engine beside the emulator's.

    .venvs/moto/bin/python tests/workflows/moto_engine.py < request.json > answer.json

The request is {"definitions": {"<machine>": "..."}, "mocks": {MockConfigFile.json}, "objects": {"<bucket>": {"<key>":
"..."}}, "late_objects": {as "objects": what is put once a map has missed it}, "cases": {"<machine>#<case>": {"input":
"<as JSON>", "stopped_in": "<state>" or null}}}; the answer has, for each case, {"status", "error", "cause", "output",
"events", "children"} as the Step Functions API gives them, and for each child of a map {"status", "error", "cause",
"input", "events"}.

moto's interpreter knows mocked tasks, but moto has no way to configure them: it makes the worker that runs an execution
without a test case. That is the seam used here. Some things are put right on the way: a mocked error may be one of Step
Functions' own (States.Timeout); the tries of a state that is entered again are counted on; an object that cannot be
read is States.ItemReaderFailed; a map's result writer finds its paths in the state's input; and a map ends once more of
its children have failed than it tolerates, which moto does not look at. Waiting is skipped, but by executions that are
to be stopped. moto runs in this process only, and only the standard library and moto are imported, because its
environment is not the project's.
"""

import functools
import gc
import json
import logging
import sys
import time
from collections import Counter, defaultdict
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.component.state.exec.state_map.item_reader.eval import (
    resource_eval_s3 as reader_of_s3,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.item_reader.item_reader_decl import ItemReader
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor import (
    distributed_item_processor_worker as workers,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.result_writer.resource_eval import (
    resource_eval_s3 as writer_of_s3,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.result_writer.result_writer_decl import ResultWriter
from moto.stepfunctions.parser.asl.component.state.exec.state_task import mock_eval_utils
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
from moto.stepfunctions.parser.asl.eval.program_state import ProgramError
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.backend import execution
from moto.stepfunctions.parser.mocking import mock_config
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

ACCOUNT, REGION = "123456789012", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/anything"
PATIENCE_SECONDS = 60.0

children = defaultdict(list)
"""What the children of maps did, by the execution that started them."""


def main() -> None:
    gc.freeze()  # what was imported is there until the end: looking through it takes a seventh of the time
    request = json.load(sys.stdin)
    logging.disable()  # it says of every error where in the definition, at length
    stopped = {name.partition("#")[2] for name, case in request["cases"].items() if case["stopped_in"]}
    retrier_decl.time = SimpleNamespace(sleep=bool)  # returns at once
    mock_eval_utils.CustomErrorName = name_error
    execution.ExecutionWorker = functools.partial(make_worker, execution.ExecutionWorker, request["mocks"])
    AmazonStateLanguageParser.parse = functools.cache(AmazonStateLanguageParser.parse)  # most of an execution's time
    for module in (json_path, result_path):
        module.parse = functools.cache(module.parse)  # each makes a parser anew: half of what is left
    # So executions share what was parsed. Its own name for where tries are counted is made when first asked for, by two
    # executions at once twice: then one of them begins to count anew.
    EvalComponent.heap_key = property(id)
    reader_of_s3.boto_client_for = writer_of_s3.boto_client_for = connect_for_map
    Environment.get_current_mocked_response = next_mocked_response
    wait_interval = WaitFunction._wait_interval
    WaitFunction._wait_interval = lambda *arguments, **named: wait(wait_interval, stopped, *arguments, **named)
    read_items = ItemReader._eval_body
    late = request["late_objects"]
    ItemReader._eval_body = lambda reader, env: fail_as_reader(read_items, late, reader, env)
    write_results = ResultWriter._eval_body
    ResultWriter._eval_body = lambda writer, env: write_by_input(write_results, writer, env)
    run_child = workers.DistributedItemProcessorWorker._eval_job
    workers.DistributedItemProcessorWorker._eval_job = lambda worker, env, job: run_counted_child(
        run_child, worker, env, job
    )
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        put_objects(request["objects"])
        answer = run_cases(request["definitions"], request["cases"])
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


def next_mocked_response(env: Any) -> Any:
    """The response for the next try of a state in an execution, whose history is also where the tries are kept."""
    tries = vars(env.event_manager).setdefault("tries", Counter())
    state = env.next_state_name
    tries[state] += 1
    return env.mock_test_case.state_mocked_responses[state].mocked_responses[tries[state] - 1]


def wait(original: Any, stopped: set[str], function: Any, env: Any, wait_seconds: int) -> None:
    """Wait, in an execution that is to be stopped meanwhile."""
    if env.states.context_object.context_object_data["Execution"]["Name"] in stopped:
        original(function, env=env, wait_seconds=wait_seconds)


def fail_as_reader(original: Any, late: dict[str, dict[str, str]], reader: Any, env: Any) -> None:
    """Read the items of a map. What it misses may be there when it looks again."""
    try:
        original(reader, env)
    except ClientError as error:
        key = error.response["Error"].get("Key")
        for bucket, objects in late.items():
            if key in objects:
                connect("s3").put_object(Bucket=bucket, Key=key, Body=objects[key].encode())
        raise failure(env, "States.ItemReaderFailed", str(error)) from error


@functools.cache
def connect(service: str) -> Any:
    return boto3.client(service, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")


def connect_for_map(service: str, **of_the_role: Any) -> Any:
    return connect(service)


def write_by_input(original: Any, writer: Any, env: Any) -> None:
    """Write a map's results, with the state's input in the place of the results, where moto looks for paths."""
    env.stack[-1] = env.states.get_input()
    original(writer, env)


def run_counted_child(original: Any, worker: Any, env: Any, job: Any) -> None:
    """Run a child of a map with a history of its own; end the map if that was one failure too many."""
    env.event_manager = EventManager()
    original(worker, env=env, job=job)
    note_child(env)
    record = worker._map_run_record
    if record.item_counter.failed.get() * 100 > record.tolerated_failure_percentage * worker._job_pool._jobs_number:
        job.job_output = failure(env, "States.ExceedToleratedFailureThreshold", "Too many children failed.")


def note_child(env: Any) -> None:
    end, events = env.program_state(), env.event_manager.get_event_history()
    failed = isinstance(end, ProgramError)
    note = {"status": "FAILED" if failed else "SUCCEEDED", **(end.error if failed else {})}
    note["input"] = events[0]["stateEnteredEventDetails"]["input"]
    parent = env.states.context_object.context_object_data["Execution"]["Id"]
    children[parent].append({**note, "events": events})


def list_entered(events: list[dict[str, Any]]) -> list[str]:
    return [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]


def failure(env: Any, error: str, cause: str) -> FailureEventException:
    details = EventDetails(mapRunFailedEventDetails={"error": error, "cause": cause})
    return FailureEventException(FailureEvent(env, name_error(error), HistoryEventType.MapRunFailed, details))


def put_objects(buckets: dict[str, dict[str, str]]) -> None:
    s3 = connect("s3")
    for bucket, objects in buckets.items():
        s3.create_bucket(Bucket=bucket)
        for key, text in objects.items():
            s3.put_object(Bucket=bucket, Key=key, Body=text.encode())


def run_cases(definitions: dict[str, str], cases: dict[str, dict[str, str]]) -> dict[str, Any]:
    client = connect("stepfunctions")
    machines = {
        name: client.create_state_machine(name=name, definition=definition, roleArn=ROLE)["stateMachineArn"]
        for name, definition in definitions.items()
    }
    started = {}
    for name, entry in cases.items():
        machine, _, case = name.partition("#")
        asked = {"stateMachineArn": machines[machine], "name": case, "input": entry["input"]}
        arn = client.start_execution(**asked)["executionArn"]
        started[name] = arn
        if entry["stopped_in"]:
            stop_in(client, arn, entry["stopped_in"])
    return {name: wait_for(client, arn) for name, arn in started.items()}


def stop_in(client: Any, arn: str, state: str) -> None:
    """Stop an execution once it has entered a state."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while state not in list_entered(read_history(arn)):
        if time.monotonic() > deadline:
            raise TimeoutError(state)
        time.sleep(0.02)
    client.stop_execution(executionArn=arn)


def wait_for(client: Any, arn: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    answer = {name: found.get(name) for name in ("status", "error", "cause", "output")}
    return {**answer, "events": read_history(arn), "children": children[arn]}


def read_history(arn: str) -> list[dict[str, Any]]:
    """An execution's events, where moto keeps them: to write them as an answer takes it two fifths of all its time."""
    return list(stepfunctions_parser_backends[ACCOUNT][REGION].get_execution_history(arn)["events"])


if __name__ == "__main__":
    main()
