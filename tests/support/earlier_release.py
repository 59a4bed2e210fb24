"""A stack of release 0.1, deployed from what that release was: its templates, machines, functions and mapping."""

import platform
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.build_package import TEMPLATES_PACKAGE, Target, build_package
from infra.packaging import Packager
from tests.recorded import RELEASE_0_1
from tests.support.waiting import wait_until
from tests.workflows.account import ARTIFACTS

REFUSED, MENDED = 'activate_all_roles_on_login: "ON"', 'activate_all_roles_on_login: "1"'
"""What RDS refuses of the cluster of release 0.1; who had it make one had mended that."""
OURS = ("dynaurora/", "lambdas/")


def unpack_release(directory: Path) -> Path:
    """Unpack release 0.1, build its package with the libraries of now, and return the folder of its templates."""
    with tarfile.open(RELEASE_0_1 / "release.tar.gz") as archive:
        archive.extractall(directory, filter="data")
    database = directory / "infra" / "database.yaml"
    text = database.read_text("utf-8")
    assert REFUSED in text
    database.write_text(text.replace(REFUSED, MENDED), "utf-8")
    package = directory / "build" / TEMPLATES_PACKAGE
    package.parent.mkdir()
    of_now = build_package(Target(f"{sys.version_info.major}.{sys.version_info.minor}", "local")).archive
    with zipfile.ZipFile(of_now) as libraries, zipfile.ZipFile(package, "w") as functions:
        for name in libraries.namelist():
            if not name.startswith(OURS):
                functions.writestr(name, libraries.read(name))
        for path in sorted(path for folder in OURS for path in (directory / folder).rglob("*") if path.is_file()):
            functions.writestr(path.relative_to(directory).as_posix(), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return directory / "infra"


def deploy_release(templates: Path, name: str, s3: Any, cloudformation: Any, **parameters: str) -> dict[str, str]:
    """Create a stack of release 0.1 that makes what no parameter names, and return its outputs."""
    s3.create_bucket(Bucket=ARTIFACTS)
    cloudformation.create_stack(**_request(templates, name, s3, parameters))
    return _read_outputs(cloudformation, name, "CREATE_COMPLETE")


def update_release(templates: Path, name: str, s3: Any, cloudformation: Any, **parameters: str) -> dict[str, str]:
    """Have a stack be of release 0.1 again, and return its outputs."""
    cloudformation.update_stack(**_request(templates, name, s3, parameters))
    return _read_outputs(cloudformation, name, "UPDATE_COMPLETE")


def _request(templates: Path, name: str, s3: Any, parameters: dict[str, str]) -> dict[str, Any]:
    architecture = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
    given = {"Architecture": architecture, **parameters}
    return {
        "StackName": name,
        "TemplateBody": Packager(s3, ARTIFACTS).package(templates / "template.yaml"),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    }


def _read_outputs(cloudformation: Any, name: str, status: str) -> dict[str, str]:
    stack = wait_until(lambda: _find_end(cloudformation, name), seconds=240)
    assert stack["StackStatus"] == status, list(_find_reasons(cloudformation))
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _find_reasons(cloudformation: Any) -> Iterator[str]:
    for stack in cloudformation.describe_stacks()["Stacks"]:
        for event in cloudformation.describe_stack_events(StackName=stack["StackId"])["StackEvents"]:
            if event["ResourceStatus"].endswith("_FAILED"):
                yield f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}"


def _find_end(cloudformation: Any, name: str) -> dict[str, Any] | None:
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    return None if stack["StackStatus"].endswith("IN_PROGRESS") else dict(stack)
