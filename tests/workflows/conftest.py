"""The engines: each runs all cases once for the session, and answers what every execution did."""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest

from local import venvs
from local.processes import find_free_port, stop_child, wait_until_ready
from local.stack import is_healthy, start_emulator
from tests.workflows import executions
from tests.workflows.executions import Case

ROLE = "arn:aws:iam::000000000000:role/anything"
PATIENCE_SECONDS = 60.0

T = TypeVar("T")
Outcomes = dict[Case, dict[str, Any]]


@pytest.fixture(scope="session")
def outcomes_on_emulator(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    directory = tmp_path_factory.mktemp("emulator")
    with run_emulator(directory, SFN_MOCK_CONFIG=str(executions.MOCKS_FILE), SFN_WAIT_SCALE="0") as endpoint:
        return run_cases(endpoint)


@pytest.fixture(scope="session")
def outcomes_on_moto() -> Outcomes:
    python = venvs.ensure("moto")
    outcomes = {}
    for machine in executions.read_cases():
        cases = {str(case): case for case in executions.list_cases() if case.machine == machine}
        request = {
            "definition": json.dumps(executions.read_definition(machine)),
            "mocks": executions.read_mocks(),
            "cases": {name: case.input for name, case in cases.items()},
        }
        done = subprocess.run(
            [str(python), str(Path(__file__).with_name("moto_engine.py"))],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS * 2,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        for name, answer in json.loads(done.stdout).items():
            outcomes[cases[name]] = executions.summarize(answer, answer["events"])
    return outcomes


@contextlib.contextmanager
def run_emulator(directory: Path, **settings: str) -> Iterator[str]:
    """Run the emulator with environment variables of its own; gives its endpoint."""
    port = find_free_port()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        emulator = start_emulator(directory / "files", port=port, log=directory / "emulator.log")
    endpoint = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(emulator, lambda: is_healthy(endpoint), timeout=PATIENCE_SECONDS)
        yield endpoint
    finally:
        stop_child(emulator, grace=5)


def wait_until(check: Callable[[], T]) -> T:
    """Call `check` until it returns something; that."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := check()):
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s"
        time.sleep(0.05)
    return found


def run_cases(endpoint: str) -> Outcomes:
    """Start every case's execution through the Step Functions API, all at once, and wait for their ends."""
    client = boto3.client(
        "stepfunctions",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    machines = {machine: _create(client, machine) for machine in executions.read_cases()}
    started = {
        case: client.start_execution(stateMachineArn=f"{machines[case.machine]}#{case.name}", input=case.input)
        for case in executions.list_cases()
    }
    return {case: _wait_for(client, answer["executionArn"]) for case, answer in started.items()}


def _create(client: Any, machine: str) -> str:
    definition = json.dumps(executions.read_definition(machine))
    return str(client.create_state_machine(name=machine, definition=definition, roleArn=ROLE)["stateMachineArn"])


def _wait_for(client: Any, arn: str) -> dict[str, Any]:
    description = wait_until(lambda: _ended(client, arn))
    events = client.get_execution_history(executionArn=arn, maxResults=1000)["events"]
    return executions.summarize(description, events)


def _ended(client: Any, arn: str) -> dict[str, Any] | None:
    description = client.describe_execution(executionArn=arn)
    return None if description["status"] == "RUNNING" else description
