"""Examining the real target: each thing that an import needs is missed by its name, and by no other."""

import dataclasses
import re
import secrets
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dynaurora.aurora import sql
from dynaurora.aurora.connection import Credentials, connect
from dynaurora.aurora.migrations import VERIFICATIONS
from dynaurora.aurora.staging import Staging, make_tables, record_staging
from dynaurora.aurora.users import admit_loader
from dynaurora.aurora.verifications import Verifications
from dynaurora.aws.objects import S3Objects
from dynaurora.errors import MissingSecretError
from dynaurora.mappings.registry import Registry
from dynaurora.target import check_target
from dynaurora.target.check_target import (
    CHECKS,
    CONNECTION,
    EQUALITY,
    LOADING,
    NO,
    RIGHTS,
    SECRET,
    SETTINGS,
    TRANSPORT,
    UNKNOWN,
    WARNING,
    YES,
    Finding,
    examine_target,
)
from dynaurora.target.check_target import (
    TABLES_AND_VIEW as TABLES,
)
from local.aurora.variant import Variant
from tests.integration.imports.conftest import VariantOf
from tests.integration.targets import Target

pytestmark = pytest.mark.integration

Execute = Callable[[str], None]


@pytest.fixture
def loader(target: Target) -> Iterator[Credentials]:
    """A loader of this test's own."""
    found = Credentials(f"dynaurora_{secrets.token_hex(6)}", "of the loader")
    with connect(target.endpoint, target.administrator) as aurora:
        admit_loader(aurora, found, target.mapping.database)
    yield found
    with connect(target.endpoint, target.administrator) as aurora:
        aurora.execute("DROP USER %s@'%%'", (found.username,))


@pytest.fixture
def execute(target: Target, loader: Credentials) -> Execute:
    def run(statement: str) -> None:
        with connect(target.endpoint, target.administrator) as aurora:
            aurora.execute(statement.format(loader=f"{loader.username}@'%'"))

    return run


@pytest.fixture(autouse=True)
def verified(target: Target) -> None:
    """Have all rows be found equal."""
    run = uuid.uuid4().hex
    with connect(target.endpoint, target.administrator) as aurora:
        verifications = Verifications(aurora, target.mapping)
        verifications.open(run, "scan")
        verifications.close(run, {}, 0, whole=True)


def examine(target: Target, loader: Credentials, **changed: Any) -> dict[str, Finding]:
    examined = check_target.Target(
        read_mapping=lambda: target.mapping,
        store=S3Objects(),
        bucket=target.bucket,
        read_credentials=lambda: loader,
        connect=lambda credentials: connect(target.endpoint, credentials),
    )
    return {finding.check: finding for finding in examine_target(dataclasses.replace(examined, **changed))}


def states(found: dict[str, Finding]) -> dict[str, str]:
    return {check: finding.state for check, finding in found.items()}


ALL_WELL = dict.fromkeys(CHECKS, YES)
REPLICA = "Demo.WebAnalytics__replica"


def test_a_prepared_target_has_everything(target: Target, loader: Credentials) -> None:
    before = target.query(f"CHECKSUM TABLE {REPLICA}")
    for _ in range(2):
        assert states(examine(target, loader)) == ALL_WELL
    assert target.query(f"CHECKSUM TABLE {REPLICA}") == before


def test_rows_that_were_never_compared_are_warned_of(target: Target, loader: Credentials) -> None:
    with connect(target.endpoint, target.administrator) as aurora, aurora.transaction():
        aurora.execute(f"DELETE FROM {sql.quote(target.mapping.database)}.{sql.quote(VERIFICATIONS)}")
    found = examine(target, loader)
    assert states(found) == {**ALL_WELL, EQUALITY: WARNING}
    assert "`dynaurora verify MAPPING`" in found[EQUALITY].remedy


def test_a_registry_without_a_mapping_is_named_with_what_fills_it(target: Target, loader: Credentials) -> None:
    registry = Registry(S3Objects(), target.bucket, target.mapping.name)
    found = examine(target, loader, read_mapping=registry.find_current)
    assert found[TABLES].state == NO
    assert "no mapping was ever activated" in found[TABLES].detail
    assert "dynaurora prepare MAPPING" in found[TABLES].remedy
    assert [found[check].state for check in (SETTINGS, RIGHTS, LOADING)] == [YES, UNKNOWN, UNKNOWN]


def test_it_says_how_batches_are_staged(target: Target, loader: Credentials) -> None:
    assert "temporary tables, which no deployment has recorded" in examine(target, loader)[LOADING].detail
    with connect(target.endpoint, target.administrator) as aurora:
        record_staging(aurora, target.mapping, Staging())
        assert (
            examine(target, loader)[LOADING].detail == "batches are staged in temporary tables (small ones in memory)"
        )
        record_staging(aurora, target.mapping, make_tables(aurora, target.mapping, 2))
    for _ in range(2):
        found = examine(target, loader)
        assert (states(found), found[LOADING].detail) == (ALL_WELL, "batches are staged in 2 permanent tables")
    target.query(f"DROP TABLE Demo.{sql.name_staged(target.mapping, 2)}")
    assert "WebAnalytics_2" in examine(target, loader)[LOADING].detail
    assert states(examine(target, loader)) == {**ALL_WELL, LOADING: NO}


def test_a_kind_of_table_that_is_not_loaded_is_named(
    target: Target, loader: Credentials, variant_of: VariantOf
) -> None:
    found = examine(variant_of(target, Variant(refuses_temporary_tables=True)), loader)
    assert states(found) == {**ALL_WELL, LOADING: NO}
    assert "temporary" in found[LOADING].detail
    assert "--staging-tables" in found[LOADING].remedy


@pytest.mark.parametrize(
    ("statement", "check", "says"),
    [
        pytest.param("REVOKE AWS_LOAD_S3_ACCESS FROM {loader}", LOADING, "PrivilegeError", id="load role"),
        pytest.param("REVOKE INSERT ON Demo.* FROM {loader}", RIGHTS, "INSERT command denied", id="insert"),
        pytest.param("REVOKE UPDATE ON Demo.* FROM {loader}", RIGHTS, "UPDATE command denied", id="update"),
        pytest.param("REVOKE DELETE ON Demo.* FROM {loader}", RIGHTS, "DELETE command denied", id="delete"),
        pytest.param("DROP VIEW Demo.WebAnalytics", TABLES, "TargetMismatchError: Aurora said 1146", id="no view"),
        pytest.param(f"DROP TABLE {REPLICA}", TABLES, "TargetMismatchError", id="no replica"),
        pytest.param(f"ALTER TABLE {REPLICA} DROP hits", TABLES, "hits int.* is missing", id="another replica"),
        pytest.param(
            "DELETE FROM Demo._dynaurora_migrations WHERE name = '0002_runs'",
            TABLES,
            "lacks the migrations 0002_runs",
        ),
        pytest.param("DROP TABLE Demo._dynaurora_migrations", TABLES, "_dynaurora_migrations", id="no system tables"),
        pytest.param("REVOKE SELECT ON Demo.* FROM {loader}", TABLES, "SELECT command denied", id="select"),
        pytest.param("ALTER USER {loader} IDENTIFIED BY 'another'", CONNECTION, "SecretRotatedError", id="password"),
    ],
)
def test_what_is_missing_is_named(
    target: Target, loader: Credentials, execute: Execute, statement: str, check: str, says: str
) -> None:
    with connect(target.endpoint, target.administrator) as aurora, aurora.transaction():
        aurora.execute(statement.format(loader=f"{loader.username}@'%'"))
    found = examine(target, loader)
    assert [name for name, finding in found.items() if finding.state == NO] == [check]
    assert re.search(says, found[check].detail)
    assert found[check].remedy
    assert loader.password not in str(found)
    if check in {TABLES, CONNECTION}:
        assert found[LOADING].state == UNKNOWN, "what was not looked at is not said to be well"


def test_a_cluster_that_lets_others_in_without_tls_is_warned_of(
    target: Target, loader: Credentials, execute: Execute
) -> None:
    execute("SET GLOBAL require_secure_transport = OFF")
    try:
        found = examine(target, loader)
    finally:
        execute("SET GLOBAL require_secure_transport = ON")
    assert states(found) == {**ALL_WELL, TRANSPORT: WARNING}
    assert "require_secure_transport to ON" in found[TRANSPORT].remedy


def test_a_bucket_that_aurora_cannot_read_is_named(target: Target, loader: Credentials) -> None:
    class Elsewhere(S3Objects):
        def write(self, bucket: str, key: str, body: bytes) -> None:
            """Leave nothing there."""

    found = examine(target, loader, store=Elsewhere())
    assert states(found) == {**ALL_WELL, LOADING: NO}
    assert "aws_default_s3_role" in found[LOADING].remedy


def test_a_secret_that_is_missing_is_named_and_the_rest_unknown(target: Target, loader: Credentials) -> None:
    def read() -> Credentials:
        raise MissingSecretError("The secret arn:none cannot be read.")

    found = examine(target, loader, read_credentials=read)
    assert states(found) == {**dict.fromkeys(ALL_WELL, UNKNOWN), SECRET: NO}
    assert "DatabaseSecretArn" in found[SECRET].remedy


def test_a_database_that_is_away_is_named(target: Target, loader: Credentials) -> None:
    endpoint = dataclasses.replace(target.endpoint, port=1)
    found = examine(target, loader, connect=lambda credentials: connect(endpoint, credentials))
    assert states(found) == {**dict.fromkeys(CHECKS, UNKNOWN), SECRET: YES, CONNECTION: NO}
    assert "security group" in found[CONNECTION].remedy


def test_nothing_is_changed_by_the_statements_that_take_rights(target: Target) -> None:
    for statement in sql.change_nothing(target.mapping):
        with connect(target.endpoint, target.administrator) as aurora:
            assert aurora.execute(statement) == 0
