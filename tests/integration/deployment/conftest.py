"""A new AWS account, as they are: with nothing in it, and a Lambda limit of ten.

small_stack    its local AWS
account        its API, to deploy to
"""

import platform as platform_module
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from dynaurora import keys
from infra.build_package import TEMPLATES_PACKAGE, Target, build_package
from infra.packaging import Packager
from infra.places import ROOT as PROJECT
from local.api import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from local.deployment import FROM_PLATFORM
from local.stack import REGION, Stack
from tests.support.example import load_example
from tests.support.waiting import wait_until
from tests.workflows.account import ARTIFACTS, read_outputs

LIMIT = 10


@dataclass(frozen=True)
class NewAccount:
    """An account to deploy to."""

    stack: Stack
    package: Path

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": ACCESS_KEY_ID, "aws_secret_access_key": SECRET_ACCESS_KEY}
        retries = Config(retries={"total_max_attempts": 1})
        return boto3.client(service, endpoint_url=self.stack.endpoint_url, region_name=REGION, config=retries, **keys)

    def deploy(self, name: str, **parameters: str) -> dict[str, Any]:
        """Create a platform where everything is made, and return what has become of it."""
        given = {"DatabaseCa": self.stack.certificates.ca_file.read_text("ascii"), **parameters}
        return self._create(name, "platform.yaml", given)

    def replicate(self, name: str, platform: dict[str, Any], table: str) -> dict[str, Any]:
        """Publish the example's mapping, create its replication on a platform, and return what has become of it."""
        outputs, mapping = read_outputs(platform), load_example()
        shared = {output: outputs[output] for output in FROM_PLATFORM}
        key = keys.mapping_document(mapping.name, mapping.digest)
        self.client("s3").put_object(Bucket=shared["LandingBucketName"], Key=key, Body=mapping.text.encode())
        given = shared | {"Name": name, "Mapping": mapping.name, "MappingDigest": mapping.digest}
        given |= {"SourceTableName": table, "PartitionKey": mapping.partition_key, "SortKey": mapping.sort_key or ""}
        buffers = dict.fromkeys(("BufferSeconds", "TransformBufferSeconds", "StreamBufferSeconds"), "1")
        return self._create(name, "replication.yaml", given | buffers)

    def _create(self, name: str, template: str, parameters: dict[str, str]) -> dict[str, Any]:
        packager = Packager(self.client("s3"), ARTIFACTS, {PROJECT / "build" / TEMPLATES_PACKAGE: self.package})
        architecture = "arm64" if platform_module.machine() in {"arm64", "aarch64"} else "x86_64"
        given = {"Architecture": architecture, **parameters}
        self.client("cloudformation").create_stack(
            StackName=name,
            TemplateBody=packager.package(PROJECT / "infra" / template),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        return wait_until(lambda: self._find_end(name), seconds=120)

    def _find_end(self, name: str) -> dict[str, Any] | None:
        (stack,) = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        return None if stack["StackStatus"].endswith("IN_PROGRESS") else dict(stack)

    def delete(self, name: str) -> None:
        cloudformation = self.client("cloudformation")
        cloudformation.delete_stack(StackName=name)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})

    def find_reasons(self) -> list[str]:
        """Return why resources of any stack failed."""
        cloudformation = self.client("cloudformation")
        return [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}"
            for stack in cloudformation.describe_stacks()["Stacks"]
            for event in cloudformation.describe_stack_events(StackName=stack["StackId"])["StackEvents"]
            if event["ResourceStatus"].endswith("_FAILED")
        ]

    def execute(self, *statements: str) -> tuple[Any, ...]:
        """Run statements as the database's administrator; the last one's rows."""
        with self.stack.server.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()
            return tuple(cursor.fetchall())


@pytest.fixture(scope="module")
def small_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DYNAURORA_LAMBDA_CONCURRENCY", str(LIMIT))
        stack = Stack(tmp_path_factory.mktemp("small"))
        stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def account(small_stack: Stack) -> NewAccount:
    package = build_package(Target(f"{sys.version_info.major}.{sys.version_info.minor}", "local")).archive
    found = NewAccount(small_stack, package)
    found.client("s3").create_bucket(Bucket=ARTIFACTS)
    return found
