"""The local emulator, as the supervisor starts it: one for the session, and more for tests that stop theirs."""

import contextlib
import io
import json
import os
import socket
import subprocess
import textwrap
import urllib.request
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.venvs import ensure
from tests.support.waiting import PATIENCE_SECONDS, wait_until

collect_ignore = [] if os.environ.get("DYNALITE") else ["dynalite"]
"""Whether dynalite is there to be asked: `make test-dynalite` installs it."""

PROJECT = Path(__file__).resolve().parents[3]
ROLE = "arn:aws:iam::000000000000:role/anything"


class Emulator:
    """A running emulator and short ways to use it through the AWS API."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, directory: Path) -> None:
        self.process = process
        self.endpoint = f"http://127.0.0.1:{port}"
        self.directory = directory
        self._clients: dict[str, Any] = {}

    wait_until = staticmethod(wait_until)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.endpoint,
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(retries={"total_max_attempts": 1}, max_pool_connections=64),
            )
        return self._clients[service]

    def log(self) -> str:
        return (self.directory / "emulator.log").read_text(errors="replace")

    @staticmethod
    def make_package(files: dict[str, str]) -> bytes:
        """A deployment package of text files."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        return buffer.getvalue()

    def create_function(self, source: str, files: dict[str, str] | None = None, **settings: Any) -> str:
        """A function whose module ``index`` is ``source``; its name."""
        name = settings.pop("FunctionName", f"function-{uuid.uuid4().hex[:12]}")
        defaults = {"Handler": "index.handler", "Runtime": "python3.13", "Role": ROLE, "Timeout": 20}
        package = self.make_package({"index.py": textwrap.dedent(source), **(files or {})})
        self.client("lambda").create_function(FunctionName=name, Code={"ZipFile": package}, **(defaults | settings))
        return name

    def invoke(self, name: str, event: Any = None) -> tuple[Any, str | None]:
        """A function's answer and, if it failed, the kind of error."""
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
        return json.loads(answer["Payload"].read()), answer.get("FunctionError")

    def function_arn(self, name: str) -> str:
        return str(self.client("lambda").get_function(FunctionName=name)["Configuration"]["FunctionArn"])

    def logged(self, name: str) -> list[str]:
        """The lines that a function has logged, without Lambda's own."""
        logs = self.client("logs")
        try:
            events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []  # not invoked yet
        return [e["message"] for e in events if not e["message"].startswith(("START", "END", "REPORT"))]

    def create_bucket(self) -> str:
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        self.client("s3").create_bucket(Bucket=name)
        return name

    def objects(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """A bucket's objects by key."""
        s3 = self.client("s3")
        keys = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]
        return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def create_table(self) -> tuple[str, str]:
        """A table with a stream of new and old images; its name and its stream's ARN."""
        name = f"table-{uuid.uuid4().hex[:12]}"
        description = self.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )["TableDescription"]
        return name, description["LatestStreamArn"]

    def put_items(self, table: str, *identifiers: str) -> None:
        for identifier in identifiers:
            self.client("dynamodb").put_item(TableName=table, Item={"id": {"S": identifier}})

    def set_faults(self, **counters: int) -> None:
        """Ask for faults of the delivery streams."""
        self._post("/_dynaurora/faults", counters)

    def configure(self, **settings: Any) -> None:
        """Change settings of the emulator itself."""
        self._post("/_ministack/config", settings)

    def _post(self, path: str, content: dict[str, Any]) -> None:
        request = urllib.request.Request(f"{self.endpoint}{path}", data=json.dumps(content).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            assert answer.status == 200


@contextlib.contextmanager
def _run_emulator(directory: Path, **environment: str) -> Iterator[Emulator]:
    """An emulator on a free port, with its files below ``directory``; stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in ("tmp", "state", "s3"):
        (directory / name).mkdir(parents=True)
    with (directory / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            [ensure("emulator"), "-m", "local.emulator"],
            cwd=PROJECT,
            env={
                "PATH": os.environ["PATH"],
                "GATEWAY_PORT": str(port),
                "TMPDIR": str(directory / "tmp"),
                "STATE_DIR": str(directory / "state"),
                "S3_DATA_DIR": str(directory / "s3"),
                "DYNAURORA_RUNTIME_PYTHON": str(ensure("runtime")),
                "DYNAURORA_TTL_SECONDS": "0.2",
                **environment,
            },
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    emulator = Emulator(process, port, directory)
    try:
        wait_until(lambda: _is_ready(emulator))
        yield emulator
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def _is_ready(emulator: Emulator) -> bool:
    assert emulator.process.poll() is None, emulator.log()
    try:
        with urllib.request.urlopen(f"{emulator.endpoint}/_ministack/health", timeout=2):
            return True
    except OSError:
        return False


@pytest.fixture(scope="session")
def run_emulator() -> Callable[..., contextlib.AbstractContextManager[Emulator]]:
    """Run an emulator with its files below a directory, and with additional environment variables."""
    return _run_emulator


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with _run_emulator(tmp_path_factory.mktemp("emulator")) as running:
        yield running


@pytest.fixture
def start_emulator(tmp_path: Path) -> Iterator[Callable[..., Emulator]]:
    """Start another emulator, for tests that stop it or want it configured otherwise."""
    with contextlib.ExitStack() as stack:
        yield lambda **environment: stack.enter_context(_run_emulator(tmp_path / uuid.uuid4().hex, **environment))


@pytest.fixture
def error_of() -> Callable[..., str]:
    """The code of the error that a call ends with."""

    def call(operation: Callable[..., Any], **arguments: Any) -> str:
        with pytest.raises(ClientError) as caught:
            operation(**arguments)
        return str(caught.value.response["Error"]["Code"])

    return call
