"""What is deployed, made ready: the functions' package and the templates, uploaded to a bucket of the account.

The bucket is one for each account and region, and holds nothing but what stacks were made from.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from infra.build_package import AWS_PYTHON, TEMPLATES_PACKAGE, Target, build_package
from infra.packaging import Packager
from infra.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

TEMPLATES: Final = ROOT / "infra"
PACKAGE: Final = ROOT / "build" / TEMPLATES_PACKAGE
"""What CodeUri in templates names."""
PARAMETERS: Final = re.compile(r"^Parameters:\n((?:[ #].*\n|\n)+)", re.MULTILINE)
PARAMETER: Final = re.compile(r"^  (\w+):$", re.MULTILINE)


@dataclass(frozen=True)
class Uploads:
    """Where templates and packages are put, and what they are made for."""

    s3: S3Client
    account: str
    region: str
    is_local: bool
    """Whether the AWS is this machine's: functions then run on its Python."""

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return f"dynaurora-artifacts-{self.account}-{self.region}"

    def ensure_bucket(self) -> None:
        """Create the bucket where it is not there, private. Raises the SDK's errors, also where it is another's."""
        try:
            self.s3.head_bucket(Bucket=self.bucket, ExpectedBucketOwner=self.account)
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"404", "NoSuchBucket", "NotFound"}:
                raise
        else:
            return
        if self.region == "us-east-1":
            self.s3.create_bucket(Bucket=self.bucket)
        else:
            self.s3.create_bucket(
                Bucket=self.bucket,
                CreateBucketConfiguration={"LocationConstraint": self.region},  # type: ignore[typeddict-item]
            )
        self.s3.put_public_access_block(
            Bucket=self.bucket,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )

    @property
    def architecture(self) -> str:
        """What functions run on."""
        return "arm64" if not self.is_local or platform.machine() in {"arm64", "aarch64"} else "x86_64"

    @cached_property
    def package(self) -> str:
        """Where the functions' package is, `s3://…`: built and uploaded when it is asked for first.

        Raises PackageError or BundleMissingError.
        """
        if self.is_local:
            target = Target(f"{sys.version_info.major}.{sys.version_info.minor}", "local")
            archive = build_package(target).archive
        else:
            archive = build_package(Target(AWS_PYTHON, "arm64"), region=self.region).archive
        return f"s3://{self.bucket}/{Packager(self.s3, self.bucket).upload(archive)}"

    def upload_template(self, name: str, package: str, more: Mapping[str, Any] | None = None) -> str:
        """Upload a template, whose functions have a package that was uploaded, and return its URL.

        It gets more resources, by their logical ids.
        """
        packager = Packager(self.s3, self.bucket, placed={PACKAGE: package})
        if not more:
            return packager.upload_template(TEMPLATES / name)
        return self.upload_text(add_resources(packager.package(TEMPLATES / name), more))

    def upload_text(self, template: str) -> str:
        """Upload a template that is ready to be deployed, and return its URL."""
        key = f"{hashlib.sha256(template.encode()).hexdigest()}.yaml"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=template.encode())
        return f"{self.s3.meta.endpoint_url}/{self.bucket}/{key}"


def add_resources(template: str, resources: Mapping[str, Any]) -> str:
    """Return a template of ours with more resources, each by its logical id."""
    head, line, rest = template.partition("\nResources:\n")
    added = "".join(f"  {name}: {json.dumps(resource)}\n" for name, resource in resources.items())
    return f"{head}{line}{added}{rest}"


def read_parameters(name: str) -> frozenset[str]:
    """Return the names of a template's parameters."""
    found = PARAMETERS.search((TEMPLATES / name).read_text("utf-8"))
    return frozenset(PARAMETER.findall(found[1])) if found else frozenset()
