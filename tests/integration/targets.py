"""A prepared target in the real database, and batches to import into it."""

import dataclasses
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dynaurora.aurora import sql
from dynaurora.aurora.connection import Aurora, Credentials, Endpoint, connect
from dynaurora.aurora.fills import FILLS
from dynaurora.aurora.migrations import (
    FLOORS,
    GENERATIONS,
    IMPORTS,
    MIGRATIONS_TABLE,
    PURGES,
    RUNS,
    TARGETS,
    VERIFICATIONS,
)
from dynaurora.aurora.owners import OWNERS
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.batches.import_batch import ImportResult, import_batch
from dynaurora.failures.refused_rows import RefusedRows
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.mapping import Mapping, build_mapping
from dynaurora.mappings.rows import Row

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


SYSTEM_TABLES = (IMPORTS, RUNS, TARGETS, GENERATIONS, FILLS, VERIFICATIONS, FLOORS, OWNERS, PURGES)


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
    slots: int = 0
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

    def import_batch(self, batch: Batch, retries: int = 0) -> ImportResult:
        with self.connect() as aurora:
            return import_batch(
                batch, self.mapping, aurora, S3Objects(), self.bucket, self.keep_refused, retries, self.slots
            )

    @property
    def keep_refused(self) -> RefusedRows:
        return RefusedRows(S3Objects(), self.bucket, "arn:import_batch")

    def import_rows(self, rows: Iterable[Row]) -> ImportResult:
        return self.import_batch(self.write(rows))

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with connect(self.endpoint, self.administrator) as aurora:
            return aurora.query(statement)

    def execute(self, statement: str) -> None:
        """Change something as the administrator, and commit it."""
        with connect(self.endpoint, self.administrator) as aurora, aurora.transaction():
            aurora.execute(statement)

    def hits(self) -> dict[str, int | None]:
        """What people see: page → hits."""
        table = f"{sql.quote(self.mapping.database)}.{sql.quote(self.mapping.table)}"
        return dict(self.query(f"SELECT page_id, hits FROM {table}"))

    def ledger(self) -> dict[str, tuple[int, int]]:
        """batch id → rows staged, rows changed."""
        rows = self.query(f"SELECT batch_id, rows_staged, rows_changed FROM {self.mapping.database}.{IMPORTS}")
        return {batch_id: (staged, changed) for batch_id, staged, changed in rows}


TargetFor = Callable[[Mapping], Target]


def in_database(mapping: Mapping, database: str) -> Mapping:
    """Return a mapping whose targets are in a database."""
    if not mapping.routes:
        return dataclasses.replace(mapping, database=database)
    document = json.loads(mapping.text)
    targets = [target | {"database": database} for target in document["targets"]]
    return build_mapping(mapping.name, document | {"targets": targets})


def empty(aurora: Aurora, mapping: Mapping) -> None:
    """Drop a mapping's replicas, and forget all that is known of imports and runs.

    System tables that are all there stay: making them takes most of a test's time.
    """
    names = _quote_all(mapping, SYSTEM_TABLES)
    there = {name for (name,) in aurora.query(f"SHOW TABLES FROM {sql.quote(mapping.database)} LIKE '\\\\_dynaurora%'")}
    if not there >= {*SYSTEM_TABLES, MIGRATIONS_TABLE}:
        drop_all(aurora, mapping)
        return
    with aurora.transaction():
        for name in names:
            aurora.execute(f"DELETE FROM {name}")
    _drop_replicas(aurora, mapping)


def drop_all(aurora: Aurora, mapping: Mapping) -> None:
    """Drop a mapping's replicas and the system tables: what a database is without that was never deployed to."""
    _drop_replicas(aurora, mapping)
    aurora.execute(f"DROP TABLE IF EXISTS {', '.join(_quote_all(mapping, (*SYSTEM_TABLES, MIGRATIONS_TABLE)))}")


def _drop_replicas(aurora: Aurora, mapping: Mapping) -> None:
    replicas = [target.replica for target in mapping.targets]
    aurora.execute(f"DROP TABLE IF EXISTS {', '.join(_quote_all(mapping, replicas))}")


def _quote_all(mapping: Mapping, tables: Iterable[str]) -> list[str]:
    return [f"{sql.quote(mapping.database)}.{sql.quote(table)}" for table in tables]
