"""`dynaurora prepare` against the real database, its secret in the real (local) Secrets Manager."""

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from backfill.cli import main
from dynaurora.aurora.connection import connect
from dynaurora.aurora.triggers import PROCEDURE
from dynaurora.aws.objects import S3Objects
from dynaurora.mappings.registry import Registry
from local.stack import Stack
from tests.integration.targets import Target, drop_all, row

pytestmark = pytest.mark.integration


@pytest.fixture
def prepare(target: Target, stack: Stack, tmp_path: Path) -> Any:
    secret = boto3.client("secretsmanager").create_secret(
        Name=f"prepare-{target.bucket}",
        SecretString=json.dumps({"username": target.administrator.username, "password": target.administrator.password}),
    )
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(target.endpoint.ca_pem)
    defaults = {
        "--host": target.endpoint.host,
        "--port": str(target.endpoint.port),
        "--secret-arn": secret["ARN"],
        "--ca-file": str(ca_file),
    }

    def run(*arguments: str, **changed: str) -> Result:
        options = defaults | {f"--{name.replace('_', '-')}": value for name, value in changed.items()}
        return CliRunner().invoke(main, ["prepare", *arguments, *(part for pair in options.items() for part in pair)])

    return run


def test_it_prepares_and_may_be_repeated(prepare: Any) -> None:
    assert prepare("web_analytics").exit_code == 0
    again = prepare("web_analytics", "--json")
    done = {"mapping": "web_analytics", "view": "Demo.WebAnalytics", "migrations": [], "staging_tables": 0}
    assert json.loads(again.output) == done


def test_it_makes_tables_to_stage_batches_in_and_keeps_to_them(prepare: Any, target: Target) -> None:
    assert "`_dynaurora_staged_WebAnalytics_2`" in prepare("web_analytics", "--dry-run", staging_tables="2").output
    assert "staged in 2 permanent tables" in prepare("web_analytics", staging_tables="2").output
    assert target.import_rows([row("a", 1)]).status == "applied"
    assert "staged in 2 permanent tables" in prepare("web_analytics").output
    assert "staged in temporary tables" in prepare("web_analytics", staging_tables="0").output


def test_with_the_bucket_the_mapping_is_the_active_one(prepare: Any, target: Target) -> None:
    assert prepare("web_analytics", bucket=target.bucket).exit_code == 0
    current = Registry(S3Objects(), target.bucket, "web_analytics").find_current()
    assert current.digest == target.mapping.digest


def test_a_dry_run_prints_the_statements_that_are_needed(prepare: Any, target: Target) -> None:
    target.query(f"ALTER TABLE Demo.{target.mapping.replica} DROP COLUMN hits")
    shown = prepare("web_analytics", "--dry-run").output
    assert "ADD COLUMN `hits` INT NULL, ALGORITHM=INSTANT;" in shown
    assert "CREATE TABLE" not in shown
    assert "CREATE OR REPLACE VIEW `Demo`.`WebAnalytics`" in shown
    target.query(f"ALTER TABLE Demo.{target.mapping.replica} ADD COLUMN hits DATE NULL")
    refused = prepare("web_analytics", "--dry-run")
    assert refused.exit_code == 1
    assert "hits is date NULL, and the mapping has int" in refused.output


def test_a_dry_run_prints_the_statements(prepare: Any, target: Target) -> None:
    with connect(target.endpoint, target.administrator) as aurora:
        drop_all(aurora, target.mapping)
    shown = prepare("web_analytics", "--dry-run").output
    assert "CREATE TABLE IF NOT EXISTS `Demo`.`WebAnalytics__replica`" in shown
    assert "CREATE OR REPLACE VIEW `Demo`.`WebAnalytics`" in shown


@pytest.mark.parametrize(
    ("mapping", "changed", "says"),
    [
        ("nothing", {}, "there are: web_analytics"),
        ("web_analytics", {"secret_arn": "arn:none"}, "cannot be read"),
        ("web_analytics", {"port": "1"}, "Can't connect"),
    ],
)
def test_what_is_wrong_is_named(prepare: Any, mapping: str, changed: dict[str, str], says: str) -> None:
    result = prepare(mapping, **changed)
    assert result.exit_code == 1
    assert says in result.output


def test_the_documented_grants_suffice(prepare: Any, target: Target) -> None:
    told = " ".join(CliRunner().invoke(main, ["prepare", "--help"]).output.split())
    grants = re.findall(r"GRANT ([^;]+) ON Demo\.\* TO preparer;", told)
    assert len(grants) == 2
    secret = {"username": "preparer", "password": "of the preparer"}
    with connect(target.endpoint, target.administrator) as aurora:
        aurora.execute("DROP USER IF EXISTS preparer@localhost")
        aurora.execute("CREATE USER preparer@localhost IDENTIFIED BY %s", (secret["password"],))
        for rights in grants:
            aurora.execute(f"GRANT {rights} ON {target.mapping.database}.* TO preparer@localhost")
        aurora.execute(f"DROP PROCEDURE IF EXISTS {target.mapping.database}.{PROCEDURE}")
        drop_all(aurora, target.mapping)
        aurora.execute(f"DROP VIEW {target.mapping.database}.{target.mapping.table}")
    arn = boto3.client("secretsmanager").create_secret(
        Name=f"preparer-{target.bucket}", SecretString=json.dumps(secret)
    )["ARN"]
    for tables in ("1", "1", "0"):
        result = prepare("web_analytics", secret_arn=arn, staging_tables=tables)
        assert result.exit_code == 0, result.output
    (made,) = target.query(f"SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_NAME = '{PROCEDURE}'")
    assert str(made[0]).startswith("preparer")
    target.query(f"DROP PROCEDURE {target.mapping.database}.{PROCEDURE}")


def test_no_credentials_are_told_in_one_line(prepare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    boto3.setup_default_session()
    result = prepare("web_analytics")
    assert (result.exit_code, result.output) == (1, "Error: Unable to locate credentials\n")


def test_wrong_use_has_its_own_exit_status() -> None:
    assert CliRunner().invoke(main, ["prepare", "web_analytics"]).exit_code == 2
