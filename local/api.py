"""The local AWS's API: one typed boto3 client for each service that the commands use."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config

from dynaurora.dynamodb.attributes import load_json

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_stepfunctions import SFNClient

ACCESS_KEY_ID: Final = "test"
SECRET_ACCESS_KEY: Final = "test"  # noqa: S105  # the emulator's own: it opens nothing but this machine's local AWS
CONNECTIONS: Final = 32
"""Connections that a client keeps open; threads that share a client need one each."""


@dataclass(frozen=True)
class Api:
    """The API of one local AWS. Clients may be shared between threads."""

    endpoint_url: str
    region: str

    @cached_property
    def cloudformation(self) -> CloudFormationClient:
        """AWS CloudFormation."""
        return self._session.client("cloudformation", endpoint_url=self.endpoint_url, config=self._config)

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        """Amazon DynamoDB."""
        return self._session.client("dynamodb", endpoint_url=self.endpoint_url, config=self._config)

    @cached_property
    def scanned_dynamodb(self) -> DynamoDBClient:
        """Amazon DynamoDB, whose scans give items in DynamoDB's JSON, binary as base64: what the answer has.

        The SDK takes each value of an answer apart, which is most of the time that a scan takes here.
        """
        client = self._session.client("dynamodb", endpoint_url=self.endpoint_url, config=self._config)
        client.meta.events.register("before-parse.dynamodb.Scan", _take_items)
        return client

    @cached_property
    def functions(self) -> LambdaClient:
        """AWS Lambda."""
        return self._session.client("lambda", endpoint_url=self.endpoint_url, config=self._config)

    @cached_property
    def s3(self) -> S3Client:
        """Amazon S3."""
        return self._session.client("s3", endpoint_url=self.endpoint_url, config=self._config)

    @cached_property
    def secretsmanager(self) -> SecretsManagerClient:
        """AWS Secrets Manager."""
        return self._session.client("secretsmanager", endpoint_url=self.endpoint_url, config=self._config)

    @cached_property
    def stepfunctions(self) -> SFNClient:
        """AWS Step Functions."""
        return self._session.client("stepfunctions", endpoint_url=self.endpoint_url, config=self._config)

    @cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session(
            aws_access_key_id=ACCESS_KEY_ID, aws_secret_access_key=SECRET_ACCESS_KEY, region_name=self.region
        )

    @cached_property
    def _config(self) -> Config:
        return Config(
            max_pool_connections=CONNECTIONS,
            retries={"mode": "standard", "max_attempts": 5},
            s3={"addressing_style": "path"},
            proxies={},  # a proxy of this machine does not know its loopback interface
        )


def _take_items(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Take the items out of a scan's answer before the SDK parses it, and give them back as they are."""
    if response_dict["status_code"] == HTTPStatus.OK:
        answer = load_json(response_dict["body"])
        customized_response_dict["Items"] = answer.pop("Items", [])
        response_dict["body"] = json.dumps(answer).encode()
