"""The database user's secret."""

from __future__ import annotations

import json

from botocore.exceptions import ClientError

from dynaurora import aws
from dynaurora.aurora import Credentials
from dynaurora.errors import MissingSecretError


def read_credentials(secret_arn: str) -> Credentials:
    """Return the newest user and password of a secret, `{"username": …, "password": …}`.

    It is read for each connection, so that a rotation needs no cache to expire. Raises MissingSecretError where
    the secret is not there, is marked for deletion, or lacks a field.
    """
    try:
        with aws.translated_errors():
            text = aws.client("secretsmanager").get_secret_value(SecretId=secret_arn)["SecretString"]
        document = json.loads(text)
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
