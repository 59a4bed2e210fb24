"""The launcher starts only the emulator it was written for, and leaves nothing behind when it ends."""

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.venvs import ensure
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.integration

SLEEPER = (
    "import os, time\ndef handler(event, context):\n    print(os.getpid()); time.sleep(event or 0); return os.getpid()"
)


def run_with(change):
    """Run the launcher in a process that has first changed the emulator; what it said."""
    program = f"{change}\nfrom local.emulator.launcher import main\nmain()"
    result = subprocess.run(
        [ensure("emulator"), "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    return result.stderr


def test_another_version_is_refused():
    said = run_with("import importlib.metadata\nimportlib.metadata.version = lambda name: '9.9.9'")
    assert "ministack 1.5.33 expected, 9.9.9 installed" in said
    assert "requirements/emulator.txt" in said


def test_every_changed_function_is_named():
    said = run_with(
        "from ministack.services import firehose, lambda_svc\n"
        "firehose._HANDLERS['PutRecord'] = lambda data, more: None\n"
        "del lambda_svc._poll_dynamodb_streams\n"
        "from ministack.core import responses\n"
        "responses.AccountRegionScopedDict.get = lambda self, key: None"
    )
    assert "firehose._HANDLERS[PutRecord](data: dict) expected, (data, more) found" in said
    assert "lambda_svc._poll_dynamodb_streams is not there" in said
    assert "AccountRegionScopedDict.get(self, key, default=None) expected, (self, key) found" in said


def test_a_resource_that_the_emulator_has_learnt_is_named():
    said = run_with(
        "from ministack.services.cloudformation import provisioners\n"
        "provisioners._RESOURCE_HANDLERS['AWS::SecretsManager::RotationSchedule'] = {}"
    )
    assert "_RESOURCE_HANDLERS[AWS::SecretsManager::RotationSchedule] is there, and was not expected" in said


def test_a_missing_interpreter_is_named():
    result = subprocess.run(
        [ensure("emulator"), "-m", "local.emulator"],
        env={"DYNAURORA_RUNTIME_PYTHON": "/nowhere/python"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert "DYNAURORA_RUNTIME_PYTHON names no interpreter: /nowhere/python" in result.stderr


def is_running(process_id):
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process_id}/stat").read_text().split()[2] != "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_function_outlives_the_emulator(start_emulator, number):
    emulator = start_emulator()
    idle, busy = (emulator.create_function(SLEEPER, Timeout=900) for _ in range(2))
    process_ids = [emulator.invoke(idle)[0]]
    emulator.client("lambda").invoke(FunctionName=busy, InvocationType="Event", Payload=b"600")
    running = emulator.wait_until(lambda: find_processes(emulator) - set(process_ids))
    process_ids += running
    assert all(map(is_running, process_ids))
    emulator.process.send_signal(number)
    emulator.process.wait(PATIENCE_SECONDS)
    emulator.wait_until(lambda: not any(map(is_running, process_ids)))


def test_credentials_and_endpoints_of_the_person_stay_out(start_emulator):
    emulator = start_emulator(
        AWS_SECRET_ACCESS_KEY="precious", AWS_SESSION_TOKEN="precious", AWS_ENDPOINT_URL="http://elsewhere"
    )
    function = emulator.create_function("import os\ndef handler(event, context): return dict(os.environ)")
    environment, _ = emulator.invoke(function)
    assert "precious" not in environment.values()
    assert environment["AWS_ENDPOINT_URL"] == emulator.endpoint


def test_stopping_does_not_wait_for_a_caller_of_a_function(start_emulator):
    emulator = start_emulator()
    function = emulator.create_function(SLEEPER, Timeout=300)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(emulator.invoke, function, 300)
        emulator.wait_until(lambda: find_processes(emulator))
        emulator.process.terminate()
        assert emulator.process.wait(PATIENCE_SECONDS) == 0
        assert answer.exception() or answer.result()[0]["errorType"] == "Runtime.ExitError"


def find_processes(emulator):
    """The function processes of an emulator: the children of each of its threads."""
    tasks = Path(f"/proc/{emulator.process.pid}/task").iterdir()
    return {int(child) for task in tasks for child in (task / "children").read_text().split()}


def test_a_second_emulator_does_not_disturb_the_first(emulator, start_emulator):
    function = emulator.create_function("def handler(event, context): return 'first'")
    assert emulator.invoke(function) == ("first", None)
    other = start_emulator()
    assert other.client("lambda").list_functions()["Functions"] == []
    assert emulator.invoke(function) == ("first", None)
