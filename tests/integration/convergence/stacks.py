"""The place that cohorts are imported through, in a running local AWS."""

import uuid
from typing import TYPE_CHECKING

from dynaurora.aurora.connection import Credentials, Endpoint
from dynaurora.aws import sdk
from local.stack import REGION, Stack
from tests.integration.convergence.cohorts import Place

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def aws_settings(stack: Stack) -> dict[str, str]:
    """Return the environment in which the SDK speaks to a local AWS."""
    return {
        "AWS_ENDPOINT_URL": stack.endpoint_url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


def make_place(stack: Stack) -> Place:
    """Return a place with a new bucket; the environment is `aws_settings`."""
    s3: S3Client = sdk.client("s3")
    bucket = f"histories-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    users = stack.server.users
    return Place(
        Endpoint(stack.gateway.host, stack.gateway.port, stack.certificates.ca_file.read_text()),
        Credentials(users.loader.username, users.loader.password),
        Credentials(users.administrator.username, users.administrator.password),
        stack.server.database,
        bucket,
    )
