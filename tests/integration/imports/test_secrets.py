"""The database user's secret, in the real (local) Secrets Manager: what import_batch says where it is of no use."""

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from dynaurora.aurora.connection import Credentials
from dynaurora.aurora.secrets import read_credentials
from dynaurora.errors import MissingSecretError
from tests.integration.targets import Target

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = pytest.mark.integration

WHOLE = '{"username": "loader", "password": "s3cr3t"}'


@pytest.fixture
def secrets(target: Target) -> "SecretsManagerClient":
    return boto3.client("secretsmanager")


def create(secrets: "SecretsManagerClient", target: Target, **value: Any) -> str:
    """Return the ARN of a new secret."""
    return secrets.create_secret(Name=f"secret-{target.bucket}", **value)["ARN"]


def problem_of(arn: str) -> str:
    """Return how a secret is refused; the refusal names it and what to do, and not its contents."""
    with pytest.raises(MissingSecretError) as caught:
        read_credentials(arn)
    assert arn in str(caught.value)
    assert str(caught.value).endswith(MissingSecretError.remedy)
    assert "s3cr3t" not in str(caught.value)
    return caught.value.problem


def test_a_whole_secret_is_read(secrets: "SecretsManagerClient", target: Target) -> None:
    assert read_credentials(create(secrets, target, SecretString=WHOLE)) == Credentials("loader", "s3cr3t")


def test_a_rotated_secret_is_read_anew(secrets: "SecretsManagerClient", target: Target) -> None:
    arn = create(secrets, target, SecretString=WHOLE)
    read_credentials(arn)
    secrets.put_secret_value(SecretId=arn, SecretString=WHOLE.replace("s3cr3t", "newer"))
    assert read_credentials(arn).password == "newer"


def test_a_secret_that_does_not_exist(secrets: "SecretsManagerClient") -> None:
    arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:gone-AbCdEf"
    assert "cannot be read" in problem_of(arn)


def test_a_secret_that_is_scheduled_for_deletion(secrets: "SecretsManagerClient", target: Target) -> None:
    arn = create(secrets, target, SecretString=WHOLE)
    secrets.delete_secret(SecretId=arn, RecoveryWindowInDays=7)
    assert "cannot be read" in problem_of(arn)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"SecretString": '{"username": "loader"}'}, id="no password"),
        pytest.param({"SecretString": '{"password": "s3cr3t"}'}, id="no user name"),
        pytest.param({"SecretString": '{"username": "loader", "password": null}'}, id="password is null"),
        pytest.param({"SecretString": "s3cr3t"}, id="not JSON"),
        pytest.param({"SecretString": '["s3cr3t"]'}, id="no object"),
        pytest.param({"SecretBinary": WHOLE.encode()}, id="binary"),
    ],
)
def test_a_secret_without_both_fields(secrets: "SecretsManagerClient", target: Target, value: dict[str, Any]) -> None:
    assert "not JSON with username and password" in problem_of(create(secrets, target, **value))
