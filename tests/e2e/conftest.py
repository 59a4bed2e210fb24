"""The whole path, by the commands that people type.

local_aws     runs `dynaurora …` against a local AWS that is up for the session, in a directory of its own
idle_aws      the same with a second directory, where nothing runs: what a test starts there it has to stop
reader        somebody at a shell who has done what docs/runbooks/README.md begins with, on local_aws
"""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.api import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Api
from local.aurora.engine import UNPACKED_VARIABLE, UNSYNCED_VARIABLE
from local.aurora.engines import ENGINE_VARIABLE
from local.deployment import Deployment, read_deployment
from local.running import connect_administrator
from local.state import State, read_state
from local.venvs import ensure
from tests.reader import Reader

PROJECT = Path(__file__).resolve().parents[2]
DYNAURORA = Path(sys.executable).with_name("dynaurora")
COMMAND_SECONDS = 180
QUIET_SECONDS = 90


def run_dynaurora(directory: Path, environment: dict[str, str], *arguments: str, status: int = 0) -> str:
    """Run a command in a directory, check its exit status and return what it printed; of one that fails, errors too."""
    answer = subprocess.run(
        [DYNAURORA, *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert answer.returncode == status, answer.stdout + answer.stderr
    return answer.stdout + ("" if status == 0 else answer.stderr)


make_api = functools.cache(Api)
"""Its clients are made once: each takes as long as a dozen requests do, and waiting asks again and again."""


@functools.cache
def make_client(service: str, endpoint_url: str, region: str) -> Any:
    keys = {"aws_access_key_id": ACCESS_KEY_ID, "aws_secret_access_key": SECRET_ACCESS_KEY}
    return boto3.client(service, endpoint_url=endpoint_url, region_name=region, **keys)


@dataclass(frozen=True)
class LocalAws:
    """One directory with a local AWS, or the place for one."""

    directory: Path

    def run(self, *arguments: str, status: int = 0, **variables: str) -> str:
        """Run `dynaurora local …`, check its exit status and return what it printed."""
        answer = subprocess.run(
            [DYNAURORA, "local", *arguments],
            env=self._environment(variables),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert answer.returncode == status, answer.stdout + answer.stderr
        return answer.stdout

    def run_json(self, *arguments: str, status: int = 0, **variables: str) -> dict[str, Any]:
        """Run a command with --json and return the object that it printed."""
        document: dict[str, Any] = json.loads(self.run(*arguments, "--json", status=status, **variables))
        return document

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command, in a process group of its own, and do not wait for it."""
        return subprocess.Popen(
            [DYNAURORA, "local", *arguments],
            env=self._environment({}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @property
    def state(self) -> State:
        """The state of the running local AWS."""
        state = read_state(self.directory)
        assert state is not None
        return state

    @property
    def api(self) -> Api:
        """Its API."""
        return make_api(self.state.endpoint_url, self.state.region)

    def client(self, service: str) -> Any:
        """Return a client of a service that its API has none for."""
        return make_client(service, self.state.endpoint_url, self.state.region)

    @property
    def deployment(self) -> Deployment:
        """What is deployed in it."""
        return read_deployment(self.api, "web_analytics")

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask its database."""
        with connect_administrator(self.state) as aurora:
            return aurora.query(statement)

    def processes(self) -> dict[int, str]:
        """Return the processes that work in this directory: their ids and command lines."""
        return {
            int(process.name): command
            for process in Path("/proc").glob("[0-9]*")
            if int(process.name) != os.getpid() and (command := self._command_here(process))
        }

    def wait_until_quiet(self) -> None:
        """Return once no process works in this directory."""
        deadline = time.monotonic() + QUIET_SECONDS
        while processes := self.processes():
            assert time.monotonic() < deadline, processes
            time.sleep(0.2)

    def _command_here(self, process: Path) -> str:
        """Return a process's command line if its arguments, environment or working directory name this directory."""
        try:
            command = (process / "cmdline").read_bytes()
            traces = command + (process / "environ").read_bytes() + os.fsencode((process / "cwd").readlink())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return ""
        return command.decode(errors="replace") if command and os.fsencode(self.directory) in traces else ""

    def _environment(self, variables: dict[str, str]) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("AWS_") and name != "AUTH"
        }
        return inherited | {"DYNAURORA_LOCAL_DIRECTORY": str(self.directory)} | variables


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    aws = LocalAws(tmp_path_factory.mktemp("up"))
    aws.run("up")
    yield aws
    aws.run("down")
    assert aws.processes() == {}


@pytest.fixture(scope="session")
def exported(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a shell has exported once the reader knows where they are."""
    directory = tmp_path_factory.mktemp("where_you_are")
    reader = make_reader(local_aws, directory)
    with reader.follow("docs/runbooks/README.md") as walk:
        walk.through("Where you are")
    return reader.state


@pytest.fixture
def reader(local_aws: LocalAws, exported: Path, tmp_path: Path) -> Reader:
    reader = make_reader(local_aws, tmp_path)
    reader.state.write_text(exported.read_text("utf-8"), "utf-8")
    reader.go_to(tmp_path)
    return reader


def make_reader(aws: LocalAws, directory: Path) -> Reader:
    """Return somebody at a shell in a directory, whose programs reach a local AWS once they are told of it."""
    engine = {
        name: os.environ[name] for name in (ENGINE_VARIABLE, UNPACKED_VARIABLE, UNSYNCED_VARIABLE) if name in os.environ
    }
    variables = {"DYNAURORA_LOCAL_DIRECTORY": str(aws.directory), "AWS_PAGER": "", **engine}
    return Reader(directory, directory / "exported", variables, (DYNAURORA.parent, ensure("aws").parent))


@pytest.fixture(scope="session")
def idle_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    aws = LocalAws(tmp_path_factory.mktemp("idle"))
    yield aws
    for pid in aws.processes():
        os.kill(pid, signal.SIGKILL)
