"""The engines: each runs all cases once for the session, and answers what every execution did."""

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.build_package import Target, build_package
from local import venvs
from local.processes import find_free_port, stop_child, wait_until_ready
from local.stack import is_healthy, start_emulator
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from tests.workflows import executions
from tests.workflows.account import ARTIFACTS, Account
from tests.workflows.executions import Case

ROLE = "arn:aws:iam::000000000000:role/anything"
Outcomes = dict[Case, dict[str, Any]]


@pytest.fixture(scope="session")
def outcomes_on_emulator(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    directory = tmp_path_factory.mktemp("emulator")
    with run_emulator(directory, SFN_MOCK_CONFIG=str(executions.MOCKS_FILE)) as endpoint:
        return run_cases(endpoint)


@pytest.fixture(scope="session")
def outcomes_on_moto() -> Outcomes:
    python = venvs.ensure("moto")
    cases = {str(case): case for case in executions.list_cases()}
    request = {
        "definitions": {name: json.dumps(executions.read_definition(name)) for name in executions.read_cases()},
        "mocks": executions.read_mocks(),
        "objects": {executions.BUCKET: executions.read_objects()},
        "late_objects": {
            executions.BUCKET: {key: text for case in cases.values() for key, text in case.late_objects.items()}
        },
        "cases": {name: {"input": case.input, "stopped_in": case.stopped_in} for name, case in cases.items()},
    }
    done = subprocess.run(
        [str(python), str(Path(__file__).with_name("moto_engine.py"))],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS * 2,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {
        cases[name]: executions.summarize(answer, answer["events"], list(map(_summarize_child, answer["children"])))
        for name, answer in json.loads(done.stdout).items()
    }


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


def run_cases(endpoint: str) -> Outcomes:
    """Run every case through the Step Functions API and describe their ends.

    Those that something happens to go first, while waits are waits; then all others at once, without waiting.
    """
    client, s3 = _connect(endpoint, "stepfunctions"), _connect(endpoint, "s3")
    s3.create_bucket(Bucket=executions.BUCKET)
    _put_objects(s3, executions.read_objects())
    machines = {machine: _create(client, machine) for machine in executions.read_cases()}
    cases = sorted(executions.list_cases(), key=lambda case: not (case.stopped_in or case.late_in))
    started = {}
    for case in cases:
        if not (case.stopped_in or case.late_in):
            _skip_waits(endpoint)
        started[case] = client.start_execution(
            stateMachineArn=f"{machines[case.machine]}#{case.name}", name=case.name, input=case.input
        )["executionArn"]
        if case.stopped_in:
            _wait_for_state(client, started[case], case.stopped_in)
            client.stop_execution(executionArn=started[case])
        if case.late_in:
            _wait_for_state(client, started[case], case.late_in)
            _put_objects(s3, case.late_objects)
    return {case: _wait_for(client, arn) for case, arn in started.items()}


def _connect(endpoint: str, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def _put_objects(s3: Any, objects: dict[str, str]) -> None:
    for key, text in objects.items():
        s3.put_object(Bucket=executions.BUCKET, Key=key, Body=text.encode())


def _create(client: Any, machine: str) -> str:
    definition = json.dumps(executions.read_definition(machine))
    return str(client.create_state_machine(name=machine, definition=definition, roleArn=ROLE)["stateMachineArn"])


@cache
def _skip_waits(endpoint: str) -> None:
    """Let Wait states and retriers wait no longer."""
    settings = json.dumps({"stepfunctions._SFN_WAIT_SCALE": 0}).encode()
    request = urllib.request.Request(f"{endpoint}/_ministack/config", settings, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=PATIENCE_SECONDS).close()


def _wait_for_state(client: Any, arn: str, state: str) -> None:
    """Return once an execution has entered a state."""
    wait_until(lambda: state in executions.list_entered(_read_history(client, arn)))


def _wait_for(client: Any, arn: str) -> dict[str, Any]:
    description = wait_until(lambda: _ended(client, arn))
    return executions.summarize(description, _read_history(client, arn), _describe_children(client, arn))


def _ended(client: Any, arn: str) -> dict[str, Any] | None:
    description = client.describe_execution(executionArn=arn)
    return None if description["status"] == "RUNNING" else description


def _read_history(client: Any, arn: str) -> list[dict[str, Any]]:
    return list(client.get_execution_history(executionArn=arn, maxResults=1000)["events"])


def _describe_children(client: Any, arn: str) -> list[dict[str, Any]]:
    """What became of the children of an execution's maps, in the order of their items, which are numbered.

    Those that one millisecond saw start cannot be told apart by when they did.
    """
    runs = sorted(client.list_map_runs(executionArn=arn)["mapRuns"], key=lambda run: run["startDate"])
    children = []
    for run in runs:
        listed = client.list_executions(mapRunArn=run["mapRunArn"])["executions"]
        described = [client.describe_execution(executionArn=child["executionArn"]) for child in listed]
        in_order = sorted(described, key=lambda child: str(child["input"]))
        children += [
            _summarize_child({**child, "events": _read_history(client, child["executionArn"])}) for child in in_order
        ]
    return children


def _summarize_child(child: dict[str, Any]) -> dict[str, Any]:
    """What a child did, with its input and the number of its tries, which cases.json does not have."""
    outcome = executions.summarize({"output": "null", **child}, child["events"])
    tries = executions.count_attempts(child["events"]).total()
    return {**outcome, "tries": tries, "input": json.loads(child["input"])}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Start an account without anything in it."""
    directory = tmp_path_factory.mktemp("account")
    package = directory / "functions.zip"
    package.symlink_to(build_package(Target(f"{sys.version_info.major}.{sys.version_info.minor}", "local")).archive)
    with run_emulator(directory) as endpoint:
        account = Account(endpoint, package)
        account.client("s3").create_bucket(Bucket=ARTIFACTS)
        yield account
