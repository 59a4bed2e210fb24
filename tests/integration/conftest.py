"""The real database server and the emulator, once for a session, started when a test first asks for one of them.

stack      the running `local.stack.Stack`: both processes and the gateway, in a temporary directory; its database
           is another one where DYNAURORA_TEST_DATABASE names it (`served_database`)
server     its `DatabaseServer`: `connect()` is the administrator, past the gateway; `kill()`, `start()`, `users`
aurora     where clients connect, as an `Aurora`: `host`, `port`, `database`, `ca_file`, `loader`,
           `administrator` (each with `username` and `password`), and `connect(user=None, tls=True)`
s3         a boto3 client of the emulator's S3
bucket     the name of a new bucket, one for each test
staging    how `target_for` has batches staged: as a target is that was only prepared
target_for what makes the `Target` of a mapping: its tables in the real database, empty
target     the `Target` of web_analytics
"""

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pymysql
import pytest

from dynaurora.aurora.connection import Credentials, Endpoint, connect
from dynaurora.aurora.generations import activate
from dynaurora.aurora.migrations import prepare_target
from dynaurora.aurora.staging import Staging, make_tables, record_staging
from dynaurora.aws import sdk
from dynaurora.mappings.mapping import Mapping
from local.aurora.server import DatabaseServer, User
from local.stack import REGION, Stack
from tests.integration.served_database import find_served_database
from tests.integration.targets import Target, TargetFor, empty, in_database
from tests.support.example import load_example

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

collect_ignore = [] if os.environ.get("SAM") else ["sam"]
"""`make sam` asks for it: it needs a tool that takes long to install."""


@dataclass(frozen=True)
class Aurora:
    """What a client needs to know of the local Aurora."""

    host: str
    port: int
    database: str
    ca_file: Path
    loader: User
    administrator: User

    def connect(self, user: User | None = None, *, tls: bool = True, **options: Any) -> "pymysql.Connection[Any]":
        """Connect through the gateway, as the loader unless told, verifying the server unless told."""
        user = user or self.loader
        verified = {"ssl_ca": str(self.ca_file), "ssl_verify_cert": True, "ssl_verify_identity": True}
        settings = {"host": self.host, "port": self.port, "database": self.database, **(verified if tls else {})}
        return pymysql.connect(**(settings | {"user": user.username, "password": user.password} | options))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    if served := find_served_database():
        stack.server = served
    with stack:
        yield stack


@pytest.fixture(scope="session")
def server(stack: Stack) -> DatabaseServer:
    return stack.server


@pytest.fixture(scope="session")
def aurora(stack: Stack) -> Aurora:
    return Aurora(
        stack.gateway.host,
        stack.gateway.port,
        stack.server.database,
        stack.certificates.ca_file,
        stack.server.users.loader,
        stack.server.users.administrator,
    )


@pytest.fixture(scope="session")
def s3(stack: Stack) -> "S3Client":
    return boto3.client(
        "s3",
        endpoint_url=stack.endpoint_url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture
def bucket(s3: "S3Client") -> str:
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def staging() -> Staging | None:
    return None


CLIENT_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@cache
def make_client(service: str, *_: str | None) -> Any:
    """Return the one client of a service by the environment as it is: making one takes longer than most calls."""
    return boto3.client(service, config=sdk.RETRIES)


@pytest.fixture
def target_for(
    stack: Stack, s3: "S3Client", bucket: str, staging: Staging | None, monkeypatch: pytest.MonkeyPatch
) -> TargetFor:
    """Make the target of any mapping: empty tables in the one database that the loader may use."""
    for name, value in {
        "AWS_ENDPOINT_URL": stack.endpoint_url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sdk, "client", lambda service: make_client(service, *map(os.environ.get, CLIENT_VARIABLES)))
    users = stack.server.users
    endpoint = Endpoint(stack.gateway.host, stack.gateway.port, stack.certificates.ca_file.read_text())
    administrator = Credentials(users.administrator.username, users.administrator.password)
    loader = Credentials(users.loader.username, users.loader.password)

    def make(mapping: Mapping) -> Target:
        mapping = in_database(mapping, stack.server.database)
        with connect(endpoint, administrator) as database:
            empty(database, mapping)
            prepare_target(database, mapping)
            activate(database, mapping)
            for each in mapping.targets if staging else ():
                record_staging(database, each, make_tables(database, each, staging.tables))
        return Target(mapping, endpoint, loader, administrator, s3, bucket)

    return make


@pytest.fixture
def target(target_for: TargetFor) -> Target:
    return target_for(load_example())
