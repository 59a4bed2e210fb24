"""The deployment's custom resource: prepare_target against the real database, answering a real HTTP server."""

import importlib
import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import boto3
import pytest

from dynaurora import keys
from dynaurora.aurora import migrations, sql
from dynaurora.aurora.connection import Credentials, connect
from dynaurora.aurora.migrations import GENERATIONS
from dynaurora.aurora.owners import OWNERS
from dynaurora.aws.objects import S3Objects
from dynaurora.errors import (
    ConnectionLostError,
    DynauroraError,
    PrivilegeError,
    SecretRotatedError,
    TargetMismatchError,
)
from dynaurora.mappings.mapping import Mapping, build_mapping
from dynaurora.mappings.registry import publish_document
from dynaurora.mappings.replications import Replication, forget_replication, register_replication
from dynaurora.target import prepare_target
from dynaurora.target.prepare_target import prepare_database
from dynaurora.target.probe import Landing
from local.aurora.variant import Variant
from tests.integration.imports.conftest import VariantOf
from tests.integration.targets import Target, drop_all, row
from tests.support.cloudformation import Waiting, serve
from tests.support.example import load_example
from tests.support.functions import Context

pytestmark = pytest.mark.integration


class Deployment:
    """A stack's custom resource: its function, its secrets, and CloudFormation that asks for it."""

    def __init__(self, target: Target, waiting: Waiting, patch: pytest.MonkeyPatch) -> None:
        self.target, self.waiting, self._patch = target, waiting, patch
        self.loader = Credentials(f"dynaurora_{secrets.token_hex(6)}", secrets.token_urlsafe(24))
        self._secrets = boto3.client("secretsmanager")
        administrator = target.administrator
        self.admin_secret = self._create_secret("admin", administrator.username, administrator.password)
        self.loader_secret = self._create_secret("loader", self.loader.username, self.loader.password)
        self.set(
            DATABASE_HOST=target.endpoint.host,
            DATABASE_PORT=str(target.endpoint.port),
            DATABASE_ADMIN_SECRET_ARN=self.admin_secret,
            DATABASE_SECRET_ARN=self.loader_secret,
            DATABASE_CA=target.endpoint.ca_pem,
            LANDING_BUCKET=target.bucket,
            IMPORT_CONCURRENCY="2",
        )

    def _create_secret(self, kind: str, username: str, password: str) -> str:
        text = json.dumps({"username": username, "password": password})
        name = f"{kind}-{secrets.token_hex(6)}"
        return str(self._secrets.create_secret(Name=name, SecretString=text)["ARN"])

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._patch.setenv(name, value)

    def rotate(self, password: str) -> None:
        self.loader = Credentials(self.loader.username, password)
        text = json.dumps({"username": self.loader.username, "password": password})
        self._secrets.put_secret_value(SecretId=self.loader_secret, SecretString=text)

    def ask(self, kind: str = "Create", mapping: str = "web_analytics", digest: str = "") -> dict[str, Any]:
        """Have the function do what CloudFormation asks for, and return its answer.

        The document of the mapping is published before, unless another digest is given.
        """
        if not digest:
            published = load_example(mapping)
            digest = published.digest
            with suppress(DynauroraError):  # of a bucket that is gone
                publish_document(S3Objects(), self.target.bucket, published)
        sys.modules.pop("lambdas.prepare_target", None)  # it reads its environment when it starts
        function = importlib.import_module("lambdas.prepare_target")
        self._patch.setattr(function, "prepare_database", partial(prepare_database, wait_seconds=0))
        given = {"Mapping": mapping, "MappingDigest": digest}
        function.lambda_handler(self.waiting.request(kind, ResourceProperties=given), Context())
        return self.waiting.answers.pop()

    def query(self, statement: str, *arguments: str) -> list[tuple[Any, ...]]:
        with connect(self.target.endpoint, self.target.administrator) as aurora:
            return aurora.query(statement, arguments)

    def execute(self, *statements: str) -> None:
        with connect(self.target.endpoint, self.target.administrator) as aurora, aurora.transaction():
            for statement in statements:
                aurora.execute(statement)


@pytest.fixture
def deployment(target: Target, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    waiting = Waiting()
    with serve(waiting):
        found = Deployment(target, waiting, monkeypatch)
        yield found
    found.execute(f"DROP USER IF EXISTS {found.loader.username}@'%'")


def test_a_new_stack_has_tables_a_view_and_a_loader_that_imports(deployment: Deployment) -> None:
    target = deployment.target
    with connect(target.endpoint, target.administrator) as aurora:
        drop_all(aurora, target.mapping)
        aurora.execute(f"DROP VIEW {target.mapping.database}.{target.mapping.table}")
    answer = deployment.ask()
    assert (answer["Status"], answer["Data"]) == (
        "SUCCESS",
        {"View": "Demo.WebAnalytics", "Loader": deployment.loader.username},
    )
    target.loader = deployment.loader
    assert target.import_rows([row("a", 1)]).status == "applied"
    assert target.hits() == {"a": 1}


def test_the_loader_has_what_it_needs_and_nothing_else(deployment: Deployment) -> None:
    for _ in range(2):
        deployment.ask()
    user = deployment.loader.username
    grants = [grant.partition(" TO ")[0] for (grant,) in deployment.query("SHOW GRANTS FOR %s@'%%'", user)]
    granted = {grant.replace("`@`%`", "`") for grant in grants}  # MySQL's roles have a host
    assert granted == {
        "GRANT USAGE ON *.*",
        "GRANT `AWS_LOAD_S3_ACCESS`",
        "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES, SHOW VIEW ON `Demo`.*",
        "GRANT EXECUTE ON PROCEDURE `Demo`.`_dynaurora_triggers`",
    }


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE Demo.WebAnalytics__replica",
        "ALTER TABLE Demo.WebAnalytics__replica ADD COLUMN more INT",
        "CREATE TABLE Demo.other (a INT)",
        "CREATE DATABASE other",
        "SELECT * FROM mysql.user",
        "CREATE USER other",
        "GRANT SELECT ON Demo.* TO dynaurora_loader@localhost",
    ],
)
def test_the_loader_may_do_nothing_else(deployment: Deployment, statement: str) -> None:
    deployment.ask()
    with connect(deployment.target.endpoint, deployment.loader) as aurora, pytest.raises(PrivilegeError):
        aurora.execute(statement)


def test_a_deployment_again_changes_nothing_but_a_password_that_changed(deployment: Deployment) -> None:
    deployment.ask()
    deployment.target.import_rows([row("a", 1)])
    old = deployment.loader
    deployment.rotate("another 'one' \\ with\nodd characters %s")
    assert deployment.ask("Update")["Status"] == "SUCCESS"
    assert deployment.target.hits() == {"a": 1}
    with connect(deployment.target.endpoint, deployment.loader):
        pass
    with pytest.raises(SecretRotatedError), connect(deployment.target.endpoint, old):
        pass


def test_deleting_the_stack_keeps_everything(deployment: Deployment) -> None:
    deployment.ask()
    deployment.target.import_rows([row("a", 1)])
    deployment.set(DATABASE_HOST="nowhere.invalid")  # nor does a database that is gone keep it from being deleted
    assert deployment.ask("Delete")["Status"] == "SUCCESS"
    assert deployment.target.hits() == {"a": 1}
    with connect(deployment.target.endpoint, deployment.loader):
        pass


def list_objects(deployment: Deployment) -> list[str]:
    versions = boto3.client("s3").list_object_versions(Bucket=deployment.target.bucket)
    return [version["Key"] for version in [*versions.get("Versions", []), *versions.get("DeleteMarkers", [])]]


def test_a_stack_that_is_deleted_leaves_the_documents_for_the_rows_that_they_made(deployment: Deployment) -> None:
    deployment.ask()
    documents = [listed.key for listed in S3Objects().list(deployment.target.bucket, keys.MAPPINGS)]
    assert documents
    assert deployment.ask("Delete")["Status"] == "SUCCESS"
    assert [listed.key for listed in S3Objects().list(deployment.target.bucket, keys.MAPPINGS)] == documents


def test_a_table_that_another_replication_writes_is_refused_by_name_before_anything_is_done(
    deployment: Deployment,
) -> None:
    deployment.ask()
    store, bucket = S3Objects(), deployment.target.bucket
    taken = load_example()
    register_replication(
        store, bucket, Replication("web_analytics", "clicks", "arn:aws:dynamodb:::table/clicks", ("r",), "replicate")
    )
    other = build_mapping("other", json.loads(taken.text), text=taken.text)
    publish_document(store, bucket, other)
    answer = deployment.ask(mapping="other", digest=other.digest)
    forget_replication(store, bucket, "web_analytics", "clicks")
    assert answer["Status"] == "FAILED"
    problem = "TargetTakenError: Mapping other writes Demo.WebAnalytics, as mapping web_analytics of stack clicks does."
    assert answer["Reason"].startswith(problem)
    known = deployment.query(f"SELECT mapping FROM `Demo`.`{GENERATIONS}` WHERE mapping = %s", "other")
    assert known == []


def list_owned(deployment: Deployment) -> dict[str, tuple[str, str]]:
    """Return who owns what: name → platform and mapping."""
    owned = deployment.query(f"SELECT name, platform, mapping FROM Demo.{OWNERS}")
    return {name: (platform, mapping) for name, platform, mapping in owned}


def test_a_table_that_another_platform_writes_is_refused_by_name_before_anything_is_done(
    deployment: Deployment,
) -> None:
    deployment.ask()
    bucket = deployment.target.bucket
    mine = dict.fromkeys(("webanalytics", "webanalytics__replica"), (bucket, "web_analytics"))
    assert list_owned(deployment) == mine
    assert deployment.ask("Update")["Status"] == "SUCCESS"
    deployment.execute(
        f"UPDATE Demo.{OWNERS} SET platform = 'the-other', mapping = 'clicks' WHERE name LIKE '%replica'"
    )
    deployment.execute("ALTER TABLE Demo.WebAnalytics__replica DROP COLUMN country_code")
    answer = deployment.ask()
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith(
        "TargetTakenError: Mapping web_analytics writes Demo.WebAnalytics__replica, as mapping clicks of the platform"
        " whose bucket is the-other does. Where that one is gone: DELETE FROM `Demo`.`_dynaurora_owners` WHERE platform"
        " = 'the-other'."
    )
    columns = [name for name, *_ in deployment.query("SHOW COLUMNS FROM Demo.WebAnalytics__replica")]
    assert "country_code" not in columns
    deployment.execute("DELETE FROM `Demo`.`_dynaurora_owners` WHERE platform = 'the-other'")  # as it says
    assert deployment.ask()["Status"] == "SUCCESS"
    assert list_owned(deployment) == mine


def test_another_platforms_mapping_of_the_same_name_is_refused_whatever_it_writes(deployment: Deployment) -> None:
    deployment.ask()
    deployment.execute(
        f"UPDATE Demo.{OWNERS} SET platform = 'the-other'", f"UPDATE Demo.{OWNERS} SET name = CONCAT('x', name)"
    )
    assert "would write rows to Demo under that name, as mapping web_analytics of" in deployment.ask()["Reason"]


def test_tables_are_nobodys_once_their_replication_is_deleted(deployment: Deployment) -> None:
    deployment.ask()
    store, bucket = S3Objects(), deployment.target.bucket
    register_replication(
        store, bucket, Replication("web_analytics", "clicks", "arn:aws:dynamodb:::table/clicks", ("r",), "replicate")
    )
    assert deployment.ask("Delete")["Status"] == "SUCCESS"  # of a second stack, which was refused
    assert list_owned(deployment)
    forget_replication(store, bucket, "web_analytics", "clicks")
    assert deployment.ask("Delete")["Status"] == "SUCCESS"
    assert list_owned(deployment) == {}


def test_a_table_that_a_mapping_writes_no_more_is_nobodys(deployment: Deployment) -> None:
    deployment.ask()
    moved = build_moved(deployment.target.mapping, "Moved")
    with connect(deployment.target.endpoint, deployment.target.administrator) as aurora:
        migrations.prepare_target(aurora, moved, platform=deployment.target.bucket)
        assert list_owned(deployment).keys() == {"moved", "moved__replica"}

        aurora.execute("DROP TABLE Demo.Moved__replica")


def build_moved(mapping: Mapping, table: str) -> Mapping:
    """Return a mapping that writes another table."""
    document = json.loads(mapping.text)
    document["target"] |= {"table": table}
    return build_mapping(mapping.name, document, text=json.dumps(document))


def test_a_bucket_that_is_gone_keeps_no_stack_from_being_deleted(deployment: Deployment) -> None:
    deployment.set(LANDING_BUCKET="nowhere-at-all")
    assert deployment.ask("Delete")["Status"] == "SUCCESS"


def test_another_replica_is_refused_and_left_alone(deployment: Deployment) -> None:
    table = f"{deployment.target.mapping.database}.{sql.quote(deployment.target.mapping.replica)}"
    deployment.execute(f"ALTER TABLE {table} MODIFY hits DATE NULL, DROP COLUMN country_code")
    answer = deployment.ask()
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("ColumnsRefusedError: Demo.WebAnalytics__replica cannot become what mapping")
    assert "hits is date NULL, and the mapping has int" in answer["Reason"]
    assert "country_code" not in [name for name, *_ in deployment.query(f"SHOW COLUMNS FROM {table}")]


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        pytest.param({"DATABASE_PORT": "1"}, "ConnectionLostError: Aurora said 2003", id="no database"),
        pytest.param({"DATABASE_CA": "nonsense"}, "CertificateError: DATABASE_CA", id="certificate"),
        pytest.param({"DATABASE_SECRET_ARN": "arn:none"}, "MissingSecretError: The secret arn:none", id="no secret"),
    ],
)
def test_what_is_missing_is_answered(deployment: Deployment, variables: dict[str, str], reason: str) -> None:
    deployment.set(**variables)
    answer = deployment.ask()
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith(reason)


def test_an_unknown_mapping_is_answered(deployment: Deployment) -> None:
    answer = deployment.ask(mapping="unknown", digest="0" * 64)
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("UnregisteredMappingError: No mapping unknown of digest 0000")


def test_the_administrator_is_no_loader(deployment: Deployment) -> None:
    deployment.set(DATABASE_SECRET_ARN=deployment.admin_secret)
    assert "names the administrator" in deployment.ask()["Reason"]


def test_an_administrator_who_may_not_create_users_is_told(deployment: Deployment) -> None:
    deployment.execute(
        "DROP USER IF EXISTS preparer@localhost",
        "CREATE USER preparer@localhost IDENTIFIED BY 'weak'",
        "GRANT ALL ON Demo.* TO preparer@localhost",
    )
    deployment.set(DATABASE_ADMIN_SECRET_ARN=deployment._create_secret("weak", "preparer", "weak"))
    answer = deployment.ask()
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("PrivilegeError: Aurora said 1227")
    assert deployment.loader.password not in answer["Reason"]


def test_a_database_that_is_not_there_yet_is_waited_for(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts, real = [], prepare_target.connect

    def connect_late(*arguments: Any, **options: Any) -> Any:
        attempts.append(arguments)
        if len(attempts) < 3:
            raise ConnectionLostError("It is resuming.")
        return real(*arguments, **options)

    monkeypatch.setattr(prepare_target, "connect", connect_late)
    monkeypatch.setattr(prepare_target, "PAUSE_SECONDS", 0.01)
    loader = Credentials(f"dynaurora_{secrets.token_hex(6)}", "of the loader")
    landing = Landing(S3Objects(), target.bucket)
    prepare_database(target.endpoint, target.administrator, lambda: [loader], target.mapping, landing, wait_seconds=5)
    with real(target.endpoint, target.administrator) as aurora:
        aurora.execute("DROP USER %s@'%%'", (loader.username,))
    assert len(attempts) == 6, "three until it was there, one to see the loader's password, and two to work"


def test_a_database_that_never_comes_is_told(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect_never(*_: Any, **__: Any) -> Any:
        raise ConnectionLostError("It is down.")

    monkeypatch.setattr(prepare_target, "connect", connect_never)
    monkeypatch.setattr(prepare_target, "PAUSE_SECONDS", 0.01)
    with pytest.raises(ConnectionLostError, match="It is down"):
        prepare_database(
            target.endpoint,
            target.administrator,
            lambda: [target.loader],
            target.mapping,
            Landing(S3Objects(), target.bucket),
            wait_seconds=0.1,
        )


def recorded(deployment: Deployment) -> list[tuple[Any, ...]]:
    return deployment.query("SELECT target, staging_tables FROM Demo._dynaurora_targets")


def test_a_deployment_finds_that_batches_can_be_staged_in_temporary_tables(deployment: Deployment) -> None:
    for _ in range(2):
        assert deployment.ask()["Status"] == "SUCCESS"
    assert recorded(deployment) == [("WebAnalytics", 0)]


def ask_variant(deployment: Deployment, variant_of: VariantOf, variant: Variant) -> dict[str, Any]:
    deployment.set(DATABASE_PORT=str(variant_of(deployment.target, variant).endpoint.port))
    return deployment.ask()


def test_a_deployment_makes_permanent_tables_where_no_temporary_one_is_loaded(
    deployment: Deployment, variant_of: VariantOf
) -> None:
    for _ in range(2):
        answer = ask_variant(deployment, variant_of, Variant(refuses_temporary_tables=True))
        assert answer["Status"] == "SUCCESS"
    assert recorded(deployment) == [("WebAnalytics", 2)], "as many as IMPORT_CONCURRENCY"
    target = variant_of(deployment.target, Variant(refuses_temporary_tables=True))
    target.loader = deployment.loader
    assert target.import_rows([row("a", 1)]).status == "applied"
    deployment.execute(f"DROP TABLE Demo.{sql.name_staged(deployment.target.mapping, 1)}")
    with pytest.raises(TargetMismatchError, match="prepare"):
        target.import_rows([row("a", 2)])
    assert ask_variant(deployment, variant_of, Variant(commits_loads=True))["Status"] == "SUCCESS"
    assert recorded(deployment) == [("WebAnalytics", 0)]


def test_a_deployment_fails_by_name_where_no_table_is_loaded(deployment: Deployment, variant_of: VariantOf) -> None:
    neither = Variant(refuses_temporary_tables=True, refuses_permanent_tables=True)
    answer = ask_variant(deployment, variant_of, neither)
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith(
        "StagingError: Demo cannot load from S3 into a temporary table: Aurora said 1235"
    )
    assert "Into a permanent one: Aurora said 1235" in answer["Reason"]
    assert recorded(deployment) == []


def test_a_bucket_that_may_be_read_later_fails_no_deployment(deployment: Deployment) -> None:
    target = deployment.target

    class Elsewhere(S3Objects):
        def write(self, bucket: str, key: str, body: bytes) -> str:
            """Leave it elsewhere."""
            return super().write(bucket, f"elsewhere/{key}", body)

    landing = Landing(Elsewhere(), target.bucket)
    loaders = lambda: [deployment.loader]  # noqa: E731
    prepared = prepare_database(target.endpoint, target.administrator, loaders, target.mapping, landing, wait_seconds=0)
    assert (prepared.staging, recorded(deployment)) == (None, [])
