"""A prepared target in the real database, and batches to import into it."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from dynaurora import aws, sql
from dynaurora.aurora import Aurora, Credentials, Endpoint, connect
from dynaurora.batches import Batch, BatchObject
from dynaurora.csv_batches import encode_row
from dynaurora.imports import ImportResult, import_batch
from dynaurora.ledger import IMPORTS
from dynaurora.mapping import Mapping, load_mapping
from dynaurora.migrations import prepare_target
from dynaurora.objects import S3Objects
from dynaurora.rows import Row
from local.stack import REGION, Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def row(key: str, version: int, hits: int | None = 1, *, deleted: bool = False) -> Row:
    """A row of web_analytics: what differs between the tests' rows is key, version and hits."""
    text = None if deleted or hits is None else str(hits)
    rest = (None,) * 5 if deleted else ("1700000000000", text, "start", "end", "NL")
    return Row(deleted, version, (key, "2026-11-23", *rest))


@dataclass
class Target:
    """One mapping's tables, the loader's way in, and a bucket for its batches."""

    mapping: Mapping
    endpoint: Endpoint
    loader: Credentials
    administrator: Credentials
    s3: "S3Client"
    bucket: str
    _written: int = field(default=0)

    def connect(self) -> Any:
        return connect(self.endpoint, self.loader, load_from_s3=True)

    def write(self, rows: Iterable[Row], count: int | None = None) -> Batch:
        """Write rows as a batch, as Firehose would."""
        return self.write_bytes(b"".join(map(encode_row, rows)), count)

    def write_bytes(self, body: bytes, count: int | None = None, key: str | None = None) -> Batch:
        self._written += 1
        key = key or f"processed/mapping={self.mapping.name}/{self._written}"
        etag = self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)["ETag"].strip('"')
        item = BatchObject(self.bucket, key, etag, len(body))
        return Batch(self.mapping.name, "stream", None, count, (item,))

    def import_batch(self, batch: Batch) -> ImportResult:
        with self.connect() as aurora:
            return import_batch(batch, self.mapping, aurora, S3Objects(), self.bucket)

    def import_rows(self, rows: Iterable[Row]) -> ImportResult:
        return self.import_batch(self.write(rows))

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with connect(self.endpoint, self.administrator) as aurora:
            return aurora.query(statement)

    def hits(self) -> dict[str, int | None]:
        """What people see: page → hits."""
        table = f"{sql.quote(self.mapping.database)}.{sql.quote(self.mapping.table)}"
        return dict(self.query(f"SELECT page_id, hits FROM {table}"))

    def ledger(self) -> dict[str, tuple[int, int]]:
        """batch id → rows staged, rows changed."""
        rows = self.query(f"SELECT batch_id, rows_staged, rows_changed FROM {self.mapping.database}.{IMPORTS}")
        return {batch_id: (staged, changed) for batch_id, staged, changed in rows}


TargetFor = Callable[[Mapping], Target]


@pytest.fixture
def target_for(stack: Stack, s3: "S3Client", bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TargetFor]:
    """Make the target of any mapping: empty tables in the one database that the loader may use."""
    for name, value in {
        "AWS_ENDPOINT_URL": stack.endpoint_url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws, "client", lambda service: boto3.client(service, config=aws.RETRIES))
    users = stack.mariadb.users
    endpoint = Endpoint(stack.gateway.host, stack.gateway.port, stack.certificates.ca_file.read_text())
    administrator = Credentials(users.administrator.username, users.administrator.password)
    loader = Credentials(users.loader.username, users.loader.password)

    def make(mapping: Mapping) -> Target:
        mapping = dataclasses.replace(mapping, database=stack.mariadb.database)
        with connect(endpoint, administrator) as database:
            empty(database, mapping)
            prepare_target(database, mapping)
        return Target(mapping, endpoint, loader, administrator, s3, bucket)

    return make


@pytest.fixture
def target(target_for: TargetFor) -> Target:
    return target_for(load_mapping("web_analytics"))


def empty(aurora: Aurora, mapping: Mapping) -> None:
    database = sql.quote(mapping.database)
    aurora.execute(f"DROP TABLE IF EXISTS {database}.{sql.quote(mapping.replica)}, {database}.{sql.quote(IMPORTS)}")
    aurora.execute(f"DROP TABLE IF EXISTS {database}._dynaurora_migrations")
