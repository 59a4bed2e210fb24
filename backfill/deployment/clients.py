"""The AWS services that the commands ask, as the AWS SDK is configured: endpoint, region, profile."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
import click
from botocore.config import Config
from botocore.exceptions import CredentialRetrievalError

from backfill.deployment.sign_in import IDENTITY_FILE, find_identity_file
from dynaurora import __version__
from dynaurora.aws.objects import S3Objects

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_stepfunctions import SFNClient

CONFIG: Final = Config(
    retries={"mode": "standard", "total_max_attempts": 4},
    connect_timeout=5,
    read_timeout=30,
    user_agent_extra=f"dynaurora/{__version__}",
)
CHECK_SECONDS: Final = 95.0
"""How long check_target is waited for, which waits for a database that has paused."""
FUNCTION_SECONDS: Final = 8.0
"""How long a function's answer is waited for: it only adds to what Step Functions knows."""


@dataclass(frozen=True)
class Clients:
    """One client of each service; nothing is asked before it is used."""

    cloudformation: CloudFormationClient
    states: SFNClient
    s3: S3Client
    functions: LambdaClient


def open_session() -> boto3.Session:
    """Return a session of the AWS SDK: AWS_REGION counts before AWS_DEFAULT_REGION, which is all that it reads itself.

    Raises the SDK's errors where the profile does not exist, or yields no credentials.
    """
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    try:
        session.get_credentials()
    except (OSError, ValueError, KeyError) as error:  # of a program of the profile's that is not there, or says no JSON
        raise CredentialRetrievalError(provider="credential_process", error_msg=str(error)) from error
    if file := find_identity_file():
        try:
            Path(file).read_bytes()
        except OSError as error:  # which the SDK would have its first call fail with
            raise CredentialRetrievalError(provider=IDENTITY_FILE, error_msg=str(error)) from error
    return session


def connect_objects() -> S3Objects:
    """Return the core's own way to S3, with the region as `connect` has it."""
    boto3.setup_default_session(region_name=open_session().region_name)
    return S3Objects()


def connect_functions(seconds: float = CHECK_SECONDS) -> LambdaClient:
    """Return a client that waits so long for a function's answer, and asks once."""
    once = Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=seconds)
    return open_session().client("lambda", config=CONFIG.merge(once))


def connect_topics() -> SNSClient:
    """Return a client of the topics that people are told on."""
    return open_session().client("sns", config=CONFIG)


def connect_to(service: str) -> Any:
    """Return a client of a service that is asked a question or two."""
    session: Any = open_session()
    return session.client(service, config=CONFIG)


def connect_briefly() -> Clients:
    """Return clients for who waits at a prompt: each asks once, and not for long."""
    return connect(CONFIG.merge(Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=2)))


def connect(config: Config = CONFIG) -> Clients:
    """Return the clients.

    Raises the SDK's errors where no region is configured, or nobody's credentials are.
    """
    session = open_session()
    once = Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=FUNCTION_SECONDS)
    try:
        return Clients(
            cloudformation=session.client("cloudformation", config=config),
            states=session.client("stepfunctions", config=config),
            s3=session.client("s3", config=config),
            functions=session.client("lambda", config=config.merge(once)),
        )
    except ValueError as error:  # the one thing that the SDK has no error of its own for
        raise click.ClickException(f"{error}. Correct AWS_ENDPOINT_URL, or the profile's endpoint_url.") from error
