"""An AWS account of the emulator's, to deploy the templates to."""

import platform
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from infra.build_package import TEMPLATES_PACKAGE
from infra.packaging import Packager
from infra.places import ROOT as PROJECT
from local.deployment import FROM_PLATFORM
from tests.support.waiting import wait_until

ARTIFACTS = "artifacts"
INFRA = PROJECT / "infra"
PARAMETERS = {
    "DatabaseHost": "127.0.0.1",
    "ImportConcurrency": "3",
    "ReserveImportConcurrency": "yes",
    "Architecture": "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64",
}
REPLICATION_PARAMETERS = {
    "Mapping": "web_analytics",
    "SourceTableName": "web_analytics",
    "PartitionKey": "page_id",
    "SortKey": "activity_dt",
    "BufferSeconds": "1",
    "TransformBufferSeconds": "1",
    "StreamBufferSeconds": "1",
    "Architecture": PARAMETERS["Architecture"],
}


@dataclass(frozen=True)
class Account:
    """An AWS account of the emulator's, to deploy to."""

    endpoint: str
    package: Path

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def deploy(self, name: str, **parameters: str) -> dict[str, str]:
        """Create a platform and return its outputs."""
        packager, secrets = self.packager, self.client("secretsmanager")
        secret = secrets.create_secret(Name=str(uuid.uuid4()), SecretString="{}")["ARN"]
        given = {**PARAMETERS, "DatabaseSecretArn": secret, **parameters}
        stack = self.create_stack(name, packager.package(INFRA / "platform.yaml"), given)
        assert stack["StackStatus"] == "CREATE_COMPLETE", (stack, self.find_reasons())
        return read_outputs(stack)

    def replicate(self, name: str, platform: dict[str, str], **parameters: str) -> dict[str, str]:
        """Create a replication on a platform, by its outputs, and return the outputs of both."""
        stack = self.create_replication(name, platform, **parameters)
        assert stack["StackStatus"] == "CREATE_COMPLETE", (stack, self.find_reasons())
        return platform | read_outputs(stack)

    def create_replication(self, name: str, platform: dict[str, str], **parameters: str) -> dict[str, Any]:
        """Create a replication on a platform and return what has become of its stack."""
        shared = {output: platform[output] for output in FROM_PLATFORM if output in platform}
        given = {**REPLICATION_PARAMETERS, **shared, "Name": name, **parameters}
        return self.create_stack(name, self.packager.package(INFRA / "replication.yaml"), given)

    @property
    def packager(self) -> Packager:
        """What uploads what templates name."""
        return Packager(self.client("s3"), ARTIFACTS, {PROJECT / "build" / TEMPLATES_PACKAGE: self.package})

    def create_stack(self, name: str, template: str, parameters: dict[str, str]) -> dict[str, Any]:
        """Create a stack of a template and return what has become of it."""
        cloudformation = self.client("cloudformation")
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=template,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        return wait_until(lambda: _finished(cloudformation, name))

    def find_reasons(self) -> list[str]:
        """Return why resources of any stack could not be created."""
        cloudformation = self.client("cloudformation")
        return [
            f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
            for stack in cloudformation.describe_stacks()["Stacks"]
            for event in cloudformation.describe_stack_events(StackName=stack["StackId"])["StackEvents"]
            if event["ResourceStatus"] == "CREATE_FAILED"
        ]


def read_outputs(stack: dict[str, Any]) -> dict[str, str]:
    """Return the outputs of a described stack."""
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _finished(cloudformation: Any, name: str) -> dict[str, Any] | None:
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    return None if stack["StackStatus"].endswith("IN_PROGRESS") else dict(stack)
