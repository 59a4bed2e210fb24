"""Running what is compared: a program with what it took of the processor and of memory, and the world around it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3

from dynaurora.aurora.sql import quote
from infra.places import ROOT
from local import venvs
from local.running import connect_administrator, export_variables
from local.state import read_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmarks.compared.items import Item
    from benchmarks.compared.judging import Row
    from local.state import State

DYNAURORA: Final = ROOT / ".venv" / "bin" / "dynaurora"
ERROR: Final = re.compile(r"(Error|decimal\.\w+|[\w.]*(Error|Exception))\b")
"""How lines begin that name an error: those of commands, and of Python, of whose decimals the errors are signals."""
BATCH: Final = 25
"""Items that BatchWriteItem takes (DynamoDB API Reference)."""
TICKS: Final = os.sysconf("SC_CLK_TCK")
STARTER: Final = "web_analytics"
"""The mapping that the local AWS starts with: a project needs one."""


class StoppedError(Exception):
    """A program ended with an error; the message is what it said last."""


@dataclass(frozen=True)
class Usage:
    """What a program took, its children included."""

    cpu_seconds: float
    """User's and system's time of all its processes."""
    peak_mb: float
    """The most memory that one of its processes had, resident."""
    output: str = ""

    def __add__(self, other: Usage) -> Usage:
        """Return what two programs took, one after the other."""
        return Usage(self.cpu_seconds + other.cpu_seconds, max(self.peak_mb, other.peak_mb), other.output)


def run(command: Sequence[str | Path], environment: dict[str, str], directory: Path, *, check: bool = True) -> Usage:
    """Run a program, and return what it took and printed. Raises StoppedError where it fails, unless told."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(  # noqa: S603 (commands of this package)
            command, env=environment, cwd=directory, stdout=output, stderr=errors, stdin=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0), errors.seek(0)
        printed, said = output.read(), errors.read()
    if check and process.returncode:
        raise StoppedError(find_error(printed, said))
    return Usage(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, printed)


def find_error(printed: str, said: str) -> str:
    """Return the line in which a program names its error, or else its last."""
    lines = [line for line in (*printed.splitlines(), *said.splitlines()) if line.strip()]
    return (list(filter(ERROR.match, lines)) or lines or ["no word"])[-1]


@dataclass(frozen=True)
class World:
    """A local AWS with tables, its database, and a project of dynaurora in it."""

    project: Path
    state: State
    environment: dict[str, str]
    """That of programs: the SDK's variables lead to the local AWS."""

    @property
    def dynamodb(self) -> Any:
        """A client of its DynamoDB."""
        given = self.environment
        return boto3.client(
            "dynamodb",
            endpoint_url=given["AWS_ENDPOINT_URL"],
            region_name=given["AWS_REGION"],
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
        )

    def create_table(self, name: str, items: Iterable[Item]) -> None:
        """Create a table that can be exported, and write items."""
        key = {"AttributeName": "pk"}
        self.dynamodb.create_table(
            TableName=name,
            KeySchema=[key | {"KeyType": "HASH"}],
            AttributeDefinitions=[key | {"AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.dynamodb.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        self.write(name, items)

    def write(self, table: str, items: Iterable[Item]) -> None:
        """Put items of different keys."""
        dynamodb, left = self.dynamodb, iter(items)
        while batch := [{"PutRequest": {"Item": item}} for item in islice(left, BATCH)]:
            requests = {table: batch}
            while requests:
                requests = dynamodb.batch_write_item(RequestItems=requests)["UnprocessedItems"]

    def delete(self, table: str, key: str) -> None:
        """Delete an item."""
        self.dynamodb.delete_item(TableName=table, Key={"pk": {"S": key}})

    def dynaurora(self, *arguments: str) -> Usage:
        """Run a command in the project. Raises StoppedError."""
        return run([DYNAURORA, *arguments], self.environment, self.project)

    def empty_database(self, name: str) -> None:
        """Make a database anew."""
        with connect_administrator(self.state) as aurora:
            aurora.execute(f"DROP DATABASE IF EXISTS {quote(name)}")
            aurora.execute(f"CREATE DATABASE {quote(name)}")

    def read_rows(self, database: str, table: str) -> list[Row]:
        """Return the rows of a table or view, as the driver gives them; none where there is no such table."""
        place = "table_schema = %s AND table_name = %s"
        with connect_administrator(self.state) as aurora:
            asked = f"SELECT column_name FROM information_schema.columns WHERE {place} ORDER BY ordinal_position"
            names = [name for (name,) in aurora.query(asked, (database, table))]
            if not names:
                return []
            rows = aurora.query(f"SELECT * FROM {quote(database)}.{quote(table)}")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with connect_administrator(self.state) as aurora:
            return aurora.query(statement)

    @property
    def server(self) -> int:
        """The database's process."""
        return self.state.server.pid if self.state.server else 0


@contextmanager
def start_world(engine: str) -> Iterator[World]:
    """Start a local AWS of its own, with a project of dynaurora that has one mapping, and stop it in the end."""
    with tempfile.TemporaryDirectory(prefix="dynaurora-compare-") as directory:
        project = Path(directory) / "project"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        run([DYNAURORA, "init", project], environment, Path(directory))
        mapping = (ROOT / "examples" / STARTER / "mappings" / f"{STARTER}.json").read_text("utf-8")
        (project / "mappings" / f"{STARTER}.json").write_text(mapping, "utf-8")
        try:
            run([DYNAURORA, "local", "up", "--engine", engine], environment, project)
            state = read_state(project / ".local")
            if state is None:
                raise StoppedError("The local AWS does not run, though it started.")
            reached = environment | export_variables(state, project / ".local")
            reached |= {"MYSQL_USER": state.aurora.user, "MYSQL_CA": state.aurora.ca_file}
            yield World(project, state, reached)
        finally:
            run([DYNAURORA, "local", "down"], environment, project, check=False)


def measure_functions(world: World) -> Usage:
    """Return what the functions' processes took so far: all that descend from the emulator, and those that ended."""
    family = _find_descendants(world.state.emulator.pid)
    own = sum(_read_ticks(process, with_own=True) for process in family)
    ended = _read_ticks(world.state.emulator.pid, with_own=False)
    return Usage((own + ended) / TICKS, max(map(_read_peak, family), default=0))


def since(later: Usage, earlier: Usage) -> Usage:
    """Return what was taken between two measurements."""
    return replace(later, cpu_seconds=later.cpu_seconds - earlier.cpu_seconds)


def measure_server(world: World) -> float:
    """Return the seconds of processor that the database took so far."""
    return _read_ticks(world.server, with_own=True) / TICKS


def _find_descendants(ancestor: int) -> set[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(path.name)] = int(_read_fields(int(path.name))[1])
    found, before = {ancestor}, -1
    while len(found) > before:
        before = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return found - {ancestor}


def _read_fields(process: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name: state, parent and so on."""
    return Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()


def _read_ticks(process: int, *, with_own: bool) -> int:
    """Return the ticks of a process: its own, and those of its children that have ended (proc_pid_stat(5))."""
    try:
        fields = _read_fields(process)
    except OSError:
        return 0
    return sum(map(int, fields[11 if with_own else 13 : 15]))


def _read_peak(process: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def read_lines(output: str) -> list[Any]:
    """Return what a command printed as JSON, line by line or as one document."""
    try:
        document = json.loads(output)
    except ValueError:
        return [json.loads(line) for line in output.splitlines() if line.startswith(("{", "["))]
    return document if isinstance(document, list) else [document]


def find_version(environment: str, package: str) -> str:
    """Return the version of a package in an environment of its own."""
    code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return run([venvs.ensure(environment), "-c", code], dict(os.environ), ROOT).output.strip()
