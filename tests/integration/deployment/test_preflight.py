"""`dynaurora doctor --account` on accounts of the local AWS: what a deployment would be refused is said before it."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from click.testing import CliRunner

from backfill.cli import main
from backfill.deployment.account import CONCURRENCY, IDENTITY, NAMES, RIGHTS, VERSIONS, ZONES
from local.api import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from local.stack import REGION
from tests.integration.deployment.conftest import LIMIT, NewAccount
from tests.workflows.conftest import run_emulator

pytestmark = pytest.mark.integration

Ask = Callable[..., tuple[int, dict[str, Any]]]
KEYS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}


def ask(endpoint: str, *arguments: str, **keys: str) -> tuple[int, dict[str, Any]]:
    """Run the command; its status and its findings by their checks."""
    variables = {**KEYS, "AWS_ENDPOINT_URL": endpoint, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, **keys}
    answer = CliRunner().invoke(main, ["doctor", "--account", *arguments, "--json"], env=variables)
    document = json.loads(answer.stdout.splitlines()[-1])
    assert document["healthy"] == (answer.exit_code == 0)
    return answer.exit_code, {finding["check"]: finding for finding in document["findings"]}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An account of the usual limit, whose first zone lacks what is needed."""
    with run_emulator(tmp_path_factory.mktemp("usual"), DYNAURORA_LACKING_ZONES="a", AUTH="true") as endpoint:
        yield endpoint


def test_a_new_account_is_told_that_it_has_few_invocations(account: NewAccount) -> None:
    status, found = ask(account.stack.endpoint_url)
    assert status == 0
    assert {check: finding["state"] for check, finding in found.items()} == {
        IDENTITY: "yes",
        CONCURRENCY: "warning",
        VERSIONS: "yes",
        ZONES: "yes",
        RIGHTS: "yes",
    }
    assert found[IDENTITY]["detail"].startswith("000000000000, us-east-1, as arn:aws:iam::")
    assert re.fullmatch(
        r"10 of 10 are left, and the deployment needs \d+ invocations at once", found[CONCURRENCY]["detail"]
    )
    assert "request-service-quota-increase" in found[CONCURRENCY]["remedy"]


def test_a_new_account_is_told_that_it_can_reserve_nothing(account: NewAccount) -> None:
    status, found = ask(account.stack.endpoint_url, "--reserve", "5")
    assert (status, found[CONCURRENCY]["state"]) == (1, "no")
    assert found[CONCURRENCY]["detail"] == f"{LIMIT} of {LIMIT} are not reserved, and Lambda keeps {LIMIT}: 5 cannot be"
    assert "ReserveImportConcurrency=no" in found[CONCURRENCY]["remedy"]


def test_another_account_has_enough_and_may_reserve(usual: str) -> None:
    assert ask(usual)[1][CONCURRENCY]["state"] == "yes"
    assert ask(usual, "--reserve", "900")[1][CONCURRENCY]["state"] == "yes"
    assert ask(usual, "--reserve", "901")[1][CONCURRENCY]["state"] == "no"


def test_a_zone_that_lacks_something_is_named_with_others_to_take(usual: str) -> None:
    status, found = ask(usual)
    assert (status, found[ZONES]["state"]) == (1, "no")
    assert found[ZONES]["detail"].startswith(
        "us-east-1a has no Aurora Serverless v2, no com.amazonaws.us-east-1.secretsmanager"
    )
    assert found[ZONES]["remedy"] == "Deploy with NetworkZones=us-east-1b,us-east-1c."
    assert ask(usual, "--zones", "us-east-1b,us-east-1c")[1][ZONES]["state"] == "yes"


def test_a_version_that_the_region_does_not_have_is_named(usual: str) -> None:
    found = ask(usual, "--engine-version", "8.0.mysql_aurora.3.99.9")[1]
    assert found[VERSIONS]["detail"] == "us-east-1 has no 8.0.mysql_aurora.3.99.9"
    assert "describe-db-engine-versions" in found[VERSIONS]["remedy"]
    assert ask(usual, "--engine-version", "8.4.mysql_aurora.8.4.8")[1][VERSIONS]["state"] == "yes"


def test_who_may_not_deploy_is_told_which_rights_are_missing(usual: str) -> None:
    session = boto3.Session(ACCESS_KEY_ID, SECRET_ACCESS_KEY, region_name=REGION)
    iam = session.client("iam", endpoint_url=usual)
    iam.create_user(UserName="deployer")
    key = iam.create_access_key(UserName="deployer")["AccessKey"]
    keys = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def allow(*actions: str) -> None:
        everything = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
        denied = [{"Effect": "Deny", "Action": list(actions), "Resource": "*"}] if actions else []
        policy = json.dumps({"Version": "2012-10-17", "Statement": everything + denied})
        iam.put_user_policy(UserName="deployer", PolicyName="deploy", PolicyDocument=policy)

    allow()
    assert ask(usual, **keys)[1][RIGHTS]["state"] == "yes"
    allow("rds:CreateDBCluster", "iam:PassRole")
    found = ask(usual, **keys)[1][RIGHTS]
    assert found["state"] == "no"
    assert found["detail"].endswith("user/deployer may not iam:PassRole, rds:CreateDBCluster")
    allow("iam:SimulatePrincipalPolicy", "lambda:GetFunction")
    assert ask(usual, **keys)[1][RIGHTS]["state"] == "unknown"


def test_a_table_of_the_name_is_adopted_or_deleted(usual: str) -> None:
    dynamodb = boto3.Session(ACCESS_KEY_ID, SECRET_ACCESS_KEY, region_name=REGION).client(
        "dynamodb", endpoint_url=usual
    )
    assert ask(usual, "--table", "clicks")[1][NAMES]["state"] == "yes"
    dynamodb.create_table(
        TableName="clicks",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    found = ask(usual, "--table", "clicks")[1][NAMES]
    assert (found["state"], found["detail"]) == ("no", "there is a table clicks")
    assert "SourceStreamArn" in found["remedy"]


@pytest.mark.parametrize(
    "arguments", [["--account", "web_analytics"], ["--account", "--stack", "a"], ["--reserve", "5"]], ids=str
)
def test_wrong_use_is_told(arguments: list[str]) -> None:
    answer = CliRunner().invoke(main, ["doctor", *arguments], env=KEYS)
    assert answer.exit_code == 2
    assert "--account" in answer.stderr
