"""The database user's secret."""

from __future__ import annotations

import json
from typing import Final, Literal, TypeAlias

from botocore.exceptions import ClientError

from dynaurora.aurora.connection import Credentials
from dynaurora.aws import sdk
from dynaurora.errors import MissingSecretError

Stage: TypeAlias = Literal["AWSCURRENT", "AWSPENDING"]
CURRENT: Final = "AWSCURRENT"
"""The stage of the version that is in use."""
PENDING: Final = "AWSPENDING"
"""The stage of the version that a rotation is about to bring into use."""


def read_credentials(secret_arn: str, stage: Stage = CURRENT) -> Credentials:
    """Return the user and password of a secret, `{"username": …, "password": …}`; the newest that is in use.

    Raises MissingSecretError where the secret is not there, is marked for deletion, has no version in that stage, or
    lacks a field.
    """
    try:
        with sdk.translated_errors():
            answer = sdk.client("secretsmanager").get_secret_value(SecretId=secret_arn, VersionStage=stage)
        document = json.loads(answer["SecretString"])
        username, password = document["username"], document["password"]
        if not (isinstance(username, str) and isinstance(password, str)):
            raise TypeError("username and password are text")
        return Credentials(username, password)
    except ClientError as error:
        said = error.response["Error"].get("Message", "").rstrip(".")
        problem = f"The secret {secret_arn} cannot be read: {said}."
        raise MissingSecretError(problem) from error
    except (KeyError, TypeError, ValueError) as error:
        raise MissingSecretError(f"The secret {secret_arn} is not JSON with username and password.") from error


def find_pending_credentials(secret_arn: str) -> Credentials | None:
    """Return what the rotation that is under way makes of the secret; None where there is none, or it has not begun."""
    try:
        return read_credentials(secret_arn, PENDING)
    except MissingSecretError:
        return None


def read_candidates(secret_arn: str) -> list[Credentials]:
    """Return what the secret's user may log in with: what is in use first, then what a rotation makes of it."""
    current, pending = read_credentials(secret_arn), find_pending_credentials(secret_arn)
    return [current, *([pending] if pending else [])]
