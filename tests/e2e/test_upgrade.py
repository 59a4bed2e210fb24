"""docs/upgrade.md, followed with a stack of release 0.1 whose table is written to all the while.

Network, cluster, bucket and table are those that the earlier stack made, and stay the same ones. Each item is counted
up, so that a change that was lost, or that an older one has taken back, differs in the end.
"""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.api import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from local.aurora.clients import write_client_settings
from local.aurora.engine import UNPACKED_VARIABLE
from local.aurora.engines import ENGINE_VARIABLE, find_engine
from local.stack import REGION, Stack
from local.state import AuroraAddress
from local.venvs import ensure
from tests.e2e.conftest import DYNAURORA
from tests.reader import Reader
from tests.support.earlier_release import deploy_release, unpack_release, update_release
from tests.support.factories import click
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.skipif(not os.environ.get("UPGRADE"), reason="make test-upgrade: takes more than a minute"),
    pytest.mark.timeout(600),
]

TABLE = "web_analytics"
PAGES = 200
HOLDING_DATA = {"AWS::RDS::DBCluster", "AWS::S3::Bucket", "AWS::KMS::Key", "AWS::EC2::VPC", "AWS::EC2::Subnet"}
TOPIC_KEY = "FailuresTopicKey"
"""It encrypts messages on their way, which the bucket's key does from this release on."""
READERS = {"dynaurora-forward-changes", "dynaurora-web-analytics-forward-changes"}


class Writer:
    """Who writes to the table: puts that count up, and deletes in between."""

    def __init__(self, dynamodb: Any) -> None:
        self._dynamodb = dynamodb
        self._stopped = threading.Event()
        self.items: dict[str, int] = {}
        """Hits by page, as the table has them."""
        self.written = 0

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write all the while."""
        thread = threading.Thread(target=self._write)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()

    def _write(self) -> None:
        while not self._stopped.wait(0.02):
            page = f"page-{self.written % PAGES}"
            if self.written % 7 == 3 and page in self.items:
                self._dynamodb.delete_item(TableName=TABLE, Key=make_key(page))
                del self.items[page]
            else:
                payload = {"payload": {"S": json.dumps(click(Hits=self.written))}}
                self._dynamodb.put_item(TableName=TABLE, Item=make_key(page) | payload)
                self.items[page] = self.written
            self.written += 1


def make_key(page: str) -> dict[str, Any]:
    return {"page_id": {"S": page}, "activity_dt": {"S": "2026-11-29"}}


class Earlier:
    """An AWS account with a stack of release 0.1, and somebody at a shell who is to upgrade it."""

    def __init__(self, stack: Stack, directory: Path) -> None:
        self.stack = stack
        ca = stack.certificates.ca_file.read_text("ascii")
        self.parameters = {"DatabaseCa": ca, "BufferSeconds": "1", "TransformBufferSeconds": "1"}
        self.templates = unpack_release(directory / "release")
        s3, cloudformation = self.client("s3"), self.client("cloudformation")
        self.outputs = deploy_release(self.templates, "dynaurora", s3, cloudformation, **self.parameters)

    def client(self, service: str) -> Any:
        session = boto3.Session(ACCESS_KEY_ID, SECRET_ACCESS_KEY, region_name=REGION)
        return session.client(service, endpoint_url=self.stack.endpoint_url)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with self.stack.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def rows(self) -> dict[str, int]:
        return dict(self.query("SELECT page_id, hits FROM Demo.WebAnalytics"))

    def resources(self) -> set[tuple[str, str]]:
        """Types and ids of what holds data in any stack."""
        cloudformation = self.client("cloudformation")
        return {
            (each["ResourceType"], each["PhysicalResourceId"])
            for stack in cloudformation.describe_stacks()["Stacks"]
            for each in cloudformation.list_stack_resources(StackName=stack["StackId"])["StackResourceSummaries"]
            if each["ResourceType"] in HOLDING_DATA and each["LogicalResourceId"] != TOPIC_KEY
        }

    def readers(self) -> set[str]:
        """The functions that read the table's stream."""
        listed = self.client("lambda").list_event_source_mappings()["EventSourceMappings"]
        return {
            each["FunctionArn"].rpartition(":")[2] for each in listed if f"table/{TABLE}/" in each["EventSourceArn"]
        }

    def is_quiet(self) -> bool:
        """Whether nothing is on its way any more."""
        time.sleep(5)  # for which delivery streams collect
        states = self.client("stepfunctions")
        machines = [each["stateMachineArn"] for each in states.list_state_machines()["stateMachines"]]
        imports = [arn for arn in machines if arn.endswith(("-import-streamed-batch", "-import-batch"))]
        running = [states.list_executions(stateMachineArn=arn, statusFilter="RUNNING") for arn in imports]
        return not any(answer["executions"] for answer in running)

    def go_back(self) -> None:
        """Deploy release 0.1 again, for the table that its stack has not any more."""
        update_release(
            self.templates,
            "dynaurora",
            self.client("s3"),
            self.client("cloudformation"),
            SourceStreamArn=self.outputs["SourceStreamArn"],
            **self.parameters,
        )

    def make_reader(self, directory: Path) -> Reader:
        aurora, administrator = self.stack.gateway, self.stack.server.users.administrator
        address = AuroraAddress(
            host=aurora.host,
            port=aurora.port,
            user=administrator.username,
            password=administrator.password,
            database="Demo",
            ca_file=str(self.stack.certificates.ca_file),
        )
        write_client_settings(directory / "my.cnf", address)
        variables = {name: os.environ[name] for name in (ENGINE_VARIABLE, UNPACKED_VARIABLE) if name in os.environ}
        variables |= {"AWS_ENDPOINT_URL": self.stack.endpoint_url, "AWS_DEFAULT_REGION": REGION, "AWS_PAGER": ""}
        variables |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
        variables |= {"AWS_REGION": REGION, "MYSQL_HOME": str(directory), "LC_ALL": "C.UTF-8"}
        programs = (DYNAURORA.parent, ensure("aws").parent, find_engine().find_client_directory())
        return Reader(directory, directory / "exported", variables, programs)


def begin_and_die(reader: Reader, project: Path, at: str = "dynaurora: UPDATE_COMPLETE StorageStack") -> None:
    """Begin an upgrade, and kill it in the middle of the stack's update."""
    with subprocess.Popen(
        [DYNAURORA, "upgrade", "--yes"],
        cwd=project,
        env=os.environ | reader.variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        assert any(at in line for line in process.stderr)
        process.kill()


@pytest.fixture
def earlier(tmp_path: Path) -> Iterator[Earlier]:
    with Stack(tmp_path / "aws") as stack:
        yield Earlier(stack, tmp_path)


def test_a_stack_of_release_0_1_becomes_a_platform_and_a_replication(earlier: Earlier, tmp_path: Path) -> None:
    writer, kept = Writer(earlier.client("dynamodb")), earlier.resources()
    reader = earlier.make_reader(tmp_path)
    with reader.follow("docs/upgrade.md") as walk, writer.writing():
        wait_until(lambda: len(earlier.rows()) > PAGES // 2)
        walk.through("Before")
        begin_and_die(reader, tmp_path / "shop")
        walk.through("Begin")
        assert earlier.readers() == READERS
        assert earlier.resources() == kept
        begun = writer.written
        walk.through("While both run")
        wait_until(lambda: max(earlier.rows().values()) > begun)
        walk.through("Finish")
        assert earlier.readers() == READERS - {"dynaurora-forward-changes"}
    wait_until(lambda: earlier.rows() == writer.items)
    assert earlier.resources() == kept
    assert earlier.client("dynamodb").list_tables()["TableNames"] == [TABLE]
    assert earlier.query("SELECT COUNT(*), COUNT(DISTINCT page_id) FROM Demo.WebAnalytics__replica") == [(PAGES, PAGES)]
    sources = dict(earlier.query("SELECT digest IS NULL, SUM(rows_staged) FROM Demo._dynaurora_imports GROUP BY 1"))
    assert sources[1] > 0  # of release 0.1
    assert sources[0] > 0
    assert earlier.query("SELECT User FROM mysql.user WHERE User REGEXP '^dynaurora_[0-9a-f]{12}$'") == []
    assert (tmp_path / "shop" / "dynaurora.toml").read_text().count('BufferSeconds = "1"') == 2


@pytest.mark.parametrize("until", ["updated", "replicated", "finished"])
def test_an_upgrade_is_undone_and_loses_nothing(earlier: Earlier, tmp_path: Path, until: str) -> None:
    writer, reader = Writer(earlier.client("dynamodb")), earlier.make_reader(tmp_path)
    uuid, functions = earlier.outputs["ForwardChangesEventSourceMappingId"], earlier.client("lambda")
    with writer.writing():
        wait_until(lambda: len(earlier.rows()) > PAGES // 4)
        run(reader, tmp_path, "init", "shop")
        if until == "updated":
            begin_and_die(reader, tmp_path / "shop", at="dynaurora: UPDATE_COMPLETE dynaurora")
        else:
            run(reader, tmp_path / "shop", "upgrade", "--yes")
            if until == "finished":
                run(reader, tmp_path / "shop", "upgrade", "--finish", "--yes")
            run(reader, tmp_path / "shop", "destroy", TABLE, "--yes")
            if until == "replicated":
                functions.update_event_source_mapping(UUID=uuid, Enabled=False)
            wait_until(earlier.is_quiet)
            earlier.query("ALTER TABLE Demo.WebAnalytics__replica DROP COLUMN `_mapping`")
        earlier.go_back()
        if until != "finished":  # then it is another one, which begins with the oldest change
            functions.update_event_source_mapping(UUID=uuid, Enabled=True)
        begun = writer.written
        wait_until(lambda: max(earlier.rows().values()) > begun)
    wait_until(lambda: earlier.rows() == writer.items)
    assert earlier.readers() == {"dynaurora-forward-changes"}


def run(reader: Reader, directory: Path, *arguments: str) -> None:
    """Run a command of this release."""
    environment = os.environ | reader.variables
    subprocess.run([DYNAURORA, *arguments], cwd=directory, env=environment, check=True, capture_output=True)
