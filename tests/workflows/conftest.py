"""The engines: each runs all cases once for the session, and answers what every execution did."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from local import venvs
from local.processes import find_free_port, stop_child, wait_until_ready
from local.stack import is_healthy, start_emulator
from tests.workflows import executions
from tests.workflows.executions import Case

ROLE = "arn:aws:iam::000000000000:role/anything"
PATIENCE_SECONDS = 60.0

Outcomes = dict[Case, dict[str, Any]]


@pytest.fixture(scope="session")
def outcomes_on_emulator(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    with _emulator_with_mocks(tmp_path_factory.mktemp("emulator")) as endpoint:
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
def _emulator_with_mocks(directory: Path) -> Iterator[str]:
    port = find_free_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SFN_MOCK_CONFIG", str(executions.MOCKS_FILE))
        environment.setenv("SFN_WAIT_SCALE", "0")
        emulator = start_emulator(directory / "files", port=port, log=directory / "emulator.log")
    endpoint = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(emulator, lambda: is_healthy(endpoint), timeout=PATIENCE_SECONDS)
        yield endpoint
    finally:
        stop_child(emulator, grace=5)


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
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (description := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline, f"{arn} did not end within {PATIENCE_SECONDS} s"
        time.sleep(0.05)
    events = client.get_execution_history(executionArn=arn, maxResults=1000)["events"]
    return executions.summarize(description, events)
