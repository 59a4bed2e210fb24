"""An AWS account of the emulator's, to deploy the templates to."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import boto3

from infra.build_package import TEMPLATES_PACKAGE
from infra.places import ROOT
from local.packaging import Packager

PATIENCE_SECONDS = 60.0
ARTIFACTS = "artifacts"
INFRA = ROOT / "infra"
PARAMETERS = {
    "DatabaseHost": "127.0.0.1",
    "BufferSeconds": "1",
    "TransformBufferSeconds": "1",
    "ImportConcurrency": "3",
    "ReserveImportConcurrency": "yes",
}
EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
"""A package without functions: what is deployed here is looked at, not run."""

T = TypeVar("T")


def wait_until(check: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """Call `check` until it returns something; that."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
    return found


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
        """Create a stack of infra/template.yaml and return its outputs."""
        stack = self.create(name, **parameters)
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def create(self, name: str, **parameters: str) -> dict[str, Any]:
        """Create a stack of infra/template.yaml and return what has become of it."""
        packager = Packager(self.client("s3"), ARTIFACTS, {ROOT / "build" / TEMPLATES_PACKAGE: self.package})
        secret = self.client("secretsmanager").create_secret(Name=str(uuid.uuid4()), SecretString="{}")["ARN"]
        given = {**PARAMETERS, "DatabaseSecretArn": secret, **parameters}
        return self.create_stack(name, packager.package(INFRA / "template.yaml"), given)

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


def _finished(cloudformation: Any, name: str) -> dict[str, Any] | None:
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    return None if stack["StackStatus"].endswith("IN_PROGRESS") else dict(stack)
