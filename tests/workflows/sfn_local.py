"""Run the state machines' cases on AWS Step Functions Local, in Docker: `make test-sfn-local`.

    python -m tests.workflows.sfn_local [--image IMAGE] [--endpoint URL]

Starts the container with MockConfigFile.json, runs every case of cases.json, prints one line for each and what differs,
and removes the container. Exit status 0 only if every execution did what is expected of it. With --endpoint it uses a
Step Functions Local that already runs and has been given that file.

Three things are different from a deployment. Retriers and Wait states wait one second, without growing, drawing or a
cap, or the case that tries 101 times would take an hour. Distributed maps are passed by, because Step Functions Local
has none: cases in which one fails are left out, and so are those that are stopped while they wait. And AWS no longer
develops this emulator: it may refuse a field that AWS itself has had since (ErrorPath and CausePath of a Fail state
came in September 2023).

It has not been run where it was written, for want of Docker: the state machine is held by the two engines of
test_cases.py; the container's options and the API calls below follow AWS's documentation ("Setting up Step Functions
Local", "Using mocked service integrations").
"""

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError

from tests.workflows import executions

IMAGE = "amazon/aws-stepfunctions-local"
PORT = 8083
MOCKS_IN_CONTAINER = "/home/StepFunctionsLocal/MockConfigFile.json"
ROLE = "arn:aws:iam::123456789012:role/anything"
START_SECONDS = 60.0
EXECUTION_SECONDS = 300.0


def main() -> int:
    options = _parse()
    with contextlib.ExitStack() as stack:
        endpoint = options.endpoint or stack.enter_context(run_container(options.image))
        client = boto3.client(
            "stepfunctions",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        wait_until_ready(client)
        failed = run_cases(client)
    total = len(list_cases())
    say(f"{total - failed} of {total} cases as expected")
    return 1 if failed else 0


@contextlib.contextmanager
def run_container(image: str) -> Iterator[str]:
    """Run Step Functions Local with the mocked responses; gives its endpoint."""
    mocks = f"type=bind,readonly,source={executions.MOCKS_FILE},destination={MOCKS_IN_CONTAINER}"
    command = ["docker", "run", "--rm", "--detach", "--publish", f"127.0.0.1:{PORT}:8083", "--mount", mocks]
    command += ["--env", f"SFN_MOCK_CONFIG={MOCKS_IN_CONTAINER}", image]
    container = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    try:
        yield f"http://127.0.0.1:{PORT}"
    finally:
        subprocess.run(["docker", "stop", "--time", "2", container], check=False, stdout=subprocess.DEVNULL)


def wait_until_ready(client: Any) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client.list_state_machines()
        except BotoCoreError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def run_cases(client: Any) -> int:
    """Run every case, all at the same time; print what each came to. Returns how many were not as expected."""
    machines = {machine: create_state_machine(client, machine) for machine in executions.read_cases()}
    started = {
        case: client.start_execution(
            stateMachineArn=f"{machines[case.machine]}#{case.name}", name=case.name, input=case.input
        )["executionArn"]
        for case in list_cases()
    }
    return sum(not report(case, wait_for(client, arn)) for case, arn in started.items())


def list_cases() -> list[executions.Case]:
    """The cases that Step Functions Local can run."""
    return [
        case
        for case in executions.list_cases()
        if "failed" not in case.expected.get("maps", {}).values() and not case.stopped_in
    ]


def expect(case: executions.Case) -> dict[str, Any]:
    """What must come of a case whose maps are passed by."""
    return {name: value for name, value in case.expected.items() if name not in {"maps", "children"}}


def create_state_machine(client: Any, machine: str) -> str:
    definition = simplify(executions.read_definition(machine))
    answer = client.create_state_machine(name=machine, definition=json.dumps(definition), roleArn=ROLE)
    return str(answer["stateMachineArn"])


def simplify(definition: dict[str, Any]) -> dict[str, Any]:
    """Make every retrier and Wait state wait a second, and every map a state that does nothing; returns the result."""
    return {**definition, "States": {name: simplify_state(state) for name, state in definition["States"].items()}}


def simplify_state(state: dict[str, Any]) -> dict[str, Any]:
    if state["Type"] == "Map":
        return {"Type": "Pass", "Next": state["Next"]}
    if state["Type"] == "Wait":
        return {"Type": "Wait", "Seconds": 1, "Next": state["Next"]}
    if "Retry" in state:
        return {**state, "Retry": [simplify_retrier(retrier) for retrier in state["Retry"]]}
    return state


def simplify_retrier(retrier: dict[str, Any]) -> dict[str, Any]:
    kept = {name: retrier[name] for name in ("ErrorEquals", "MaxAttempts")}
    return {**kept, "IntervalSeconds": 1, "BackoffRate": 1.0}


def wait_for(client: Any, arn: str) -> dict[str, Any]:
    deadline = time.monotonic() + EXECUTION_SECONDS
    while (description := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        if time.monotonic() > deadline:
            return {"status": f"RUNNING after {EXECUTION_SECONDS:.0f} s"}
        time.sleep(0.5)
    pages = client.get_paginator("get_execution_history").paginate(executionArn=arn)
    events = [event for page in pages for event in page["events"]]
    return executions.summarize({**read_end(events), **description}, events)


def read_end(events: list[dict[str, Any]]) -> dict[str, Any]:
    """An execution's error and cause, which Step Functions Local has in the history only."""
    details = events[-1].get("executionFailedEventDetails", {})
    return {name: details[name] for name in ("error", "cause") if name in details}


def report(case: executions.Case, outcome: dict[str, Any]) -> bool:
    """Print what a case came to; returns whether that is as expected."""
    expected = expect(case)
    if outcome == expected:
        say(f"ok      {case}")
        return True
    say(f"FAILED  {case}")
    for name in sorted(expected.keys() | outcome.keys()):
        if expected.get(name) != outcome.get(name):
            say(f"        {name}: {outcome.get(name)!r}, expected {expected.get(name)!r}")
    return False


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.workflows.sfn_local", description="See the docstring.")
    parser.add_argument("--image", default=IMAGE, help=f"default: {IMAGE}")
    parser.add_argument("--endpoint", metavar="URL", help="a Step Functions Local that runs already")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
