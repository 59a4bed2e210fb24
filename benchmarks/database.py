"""A real database server behind the local Aurora's gateway, and batches to import into it, for benchmarks."""

from __future__ import annotations

import os
import random
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from backfill.project import load_example
from benchmarks.results import Result
from dynaurora.aurora.connection import Aurora, Credentials, Endpoint, connect
from dynaurora.aurora.generations import activate
from dynaurora.aurora.migrations import prepare_target
from dynaurora.aurora.sql import quote
from dynaurora.aurora.system_tables import GENERATIONS, IMPORTS, MIGRATIONS_TABLE, RUNS
from dynaurora.aws import sdk
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import BACKFILL, Batch, BatchObject
from dynaurora.batches.import_batch import ImportResult, import_batch
from dynaurora.dynamodb.versions import make_version
from dynaurora.failures.refused_rows import RefusedRows
from dynaurora.mappings.csv_format import encode_row, row_label
from dynaurora.mappings.field_widths import FieldWidths
from dynaurora.mappings.rows import Row
from local.aurora.engine import DatabaseServerError
from local.aurora.engines import ENGINES, find_engine
from local.stack import REGION, Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from dynaurora.mappings.mapping import Mapping
    from local.aurora.engine import Engine

BUCKET = "landing"
BUFFER_POOL = 2 * 1024**3
"""Bytes: holds the tables of every benchmark, as the one of an Aurora instance holds what is written at the moment."""
LOG_BYTES = 1024**3
"""Of InnoDB's redo log, which Aurora does not have: at its default size MariaDB waits for it every few batches."""
SLOTS = 5
"""Imports that there may be at once, as a platform has them by default."""
LOG_SIZES = {"mariadb": "innodb_log_file_size", "mysql": "innodb_redo_log_capacity"}
"""What sets it, by engine."""


@dataclass
class Database:
    """One mapping's tables, the way in as the loader, and a bucket for batches."""

    mapping: Mapping
    endpoint: Endpoint
    loader: Credentials
    administrator: Credentials
    process: int
    """The server's process id."""
    _written: Iterator[int] = field(default_factory=lambda: count(1))

    def connect(self) -> AbstractContextManager[Aurora]:
        """Open the loader's connection, as import_batch does."""
        return connect(self.endpoint, self.loader, load_from_s3=True)

    def execute(self, *statements: str) -> None:
        """Run statements as the administrator."""
        with connect(self.endpoint, self.administrator) as aurora:
            for statement in statements:
                aurora.execute(statement)

    def empty(self) -> None:
        """Make the mapping's tables anew, without a row."""
        tables = (self.mapping.replica, IMPORTS, RUNS, GENERATIONS, MIGRATIONS_TABLE)
        names = ", ".join(f"{quote(self.mapping.database)}.{quote(table)}" for table in tables)
        with connect(self.endpoint, self.administrator) as aurora:
            aurora.execute(f"DROP TABLE IF EXISTS {names}")
            prepare_target(aurora, self.mapping)
            activate(aurora, self.mapping)

    def redo_bytes(self) -> int:
        """Return how much InnoDB has ever written to its redo log."""
        with connect(self.endpoint, self.administrator) as aurora:
            ((_, written),) = aurora.query("SHOW GLOBAL STATUS LIKE 'Innodb_os_log_written'")
        return int(written)

    def write(self, rows: Iterable[Row]) -> Batch:
        """Write rows as a batch that says once which mapping wrote them all."""
        return self._write(list(map(encode_row, rows)), self.mapping.digest)

    def write_converted(self, rows: Iterable[Row]) -> Batch:
        """Write rows as a converted export's batch has them: in the order of their bytes, their widths told."""
        ordered = sorted(rows, key=encode_row)
        widths = FieldWidths(self.mapping)
        widths.see_rows(ordered)
        batch = self.write(ordered)
        objects = tuple(replace(item, widths=widths.take(len(ordered))) for item in batch.objects)
        return replace(batch, source=BACKFILL, run="r1", objects=objects)

    def write_labelled(self, rows: Iterable[Row]) -> Batch:
        """Write rows as a batch of the stream, each of which says which mapping wrote it."""
        label = row_label(self.mapping)
        return self._write([label + encode_row(row) for row in rows], None)

    def _write(self, lines: list[bytes], digest: str | None) -> Batch:
        body = b"".join(lines)
        key = f"processed/mapping={self.mapping.name}/{next(self._written)}"
        item = BatchObject(BUCKET, key, S3Objects().write(BUCKET, key, body), len(body))
        return Batch(self.mapping.name, "stream", None, len(lines), (item,), digest=digest)

    def import_batch(self, batch: Batch) -> ImportResult:
        """Import a batch as the function does: over a connection of its own."""
        with self.connect() as aurora:
            store = S3Objects()
            keep = RefusedRows(store, BUCKET, "benchmark")
            return import_batch(batch, self.mapping, aurora, store, BUCKET, keep, slots=SLOTS)


def measure_on_engines(what: str, measure_on: Callable[[Engine], list[Result]]) -> list[Result]:
    """Measure something on every engine; one that cannot be had here is left out, by name."""
    results: list[Result] = []
    for engine in ENGINES.values():
        try:
            engine.find_programs()
        except DatabaseServerError as error:
            results.append(Result(f"{what} on {engine.title}", "–", "–", f"left out: {error}", True))
            continue
        results += measure_on(engine)
    return results


@contextmanager
def local_database(engine: Engine | None = None) -> Iterator[Database]:
    """Start a server, the gateway and the emulator's S3 in a temporary directory, with the tables of web_analytics.

    The server's engine is the one by default unless told.
    """
    engine = engine or find_engine()
    with (
        tempfile.TemporaryDirectory(prefix="dynaurora-bench-") as directory,
        Stack(Path(directory), engine=engine) as stack,
    ):
        os.environ |= {
            "AWS_ENDPOINT_URL": stack.endpoint_url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        sdk.forget_clients()  # of another server's
        sdk.client("s3").create_bucket(Bucket=BUCKET)
        users = stack.server.users
        database = Database(
            mapping=replace(load_example(), database=stack.server.database),
            endpoint=Endpoint(stack.gateway.host, stack.gateway.port, stack.certificates.ca_file.read_text()),
            loader=Credentials(users.loader.username, users.loader.password),
            administrator=Credentials(users.administrator.username, users.administrator.password),
            process=stack.server.identity.pid if stack.server.identity else 0,
        )
        database.execute(
            f"SET GLOBAL innodb_buffer_pool_size = {BUFFER_POOL}",
            f"SET GLOBAL {LOG_SIZES[engine.name]} = {LOG_BYTES}",
        )
        database.empty()
        yield database


def make_rows(numbers: Iterable[int], version: int) -> Iterator[Row]:
    """Yield a row of web_analytics for each number, in the order given: its key is the number's, and stays so."""
    full_version = make_version(1_763_900_000 + version, 10**20)
    for number in numbers:
        key = f"/articles/{number}/how-to-count", f"2026-{number % 12 + 1:02}-{number % 28 + 1:02}T08:15:00.000Z"
        times = f"2026-11-23T{number % 24:02}:00:00Z", f"2026-11-23T{number % 24:02}:10:00Z"
        country = ("DE", "US", "IN", "BR")[number % 4]
        yield Row(False, full_version, (*key, str(1_763_900_000_000 + number), str(number % 10_000), *times, country))


def shuffled(numbers: Iterable[int], seed: int = 0) -> list[int]:
    """Return numbers in an order that has nothing to do with their keys', as DynamoDB exports and streams items."""
    mixed = list(numbers)
    random.Random(seed).shuffle(mixed)  # noqa: S311 (an order, no secret)
    return mixed
