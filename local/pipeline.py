"""What is where in a deployed pipeline, counted: on its way, in Aurora, refused, parked.

Everything is a fact that can be read again: rows from the ledger, records and batches from the landing bucket,
executions from Step Functions. Nothing is estimated from time passed.
"""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.aurora import sql
from dynaurora.aurora.system_tables import IMPORTS
from dynaurora.dynamodb.changes import decode_change
from dynaurora.dynamodb.versions import SEQUENCE_RANGE
from dynaurora.errors import RejectedChange
from dynaurora.failures.failed_records import decode_failed_record, split_record
from dynaurora.mappings.reasons import count_reasons
from dynaurora.mappings.row_mapper import RowMapper

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from mypy_boto3_stepfunctions.literals import ExecutionStatusType

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping
    from local.api import Api
    from local.deployment import Deployment

ENDED_BADLY: Final[tuple[ExecutionStatusType, ...]] = ("FAILED", "TIMED_OUT", "ABORTED")


@dataclass(frozen=True)
class Imports:
    """What the ledger says of streamed batches."""

    batches: int
    rows_staged: int
    """Rows in these batches: each is one change, delivered."""
    last_finished_at: datetime | None
    """UTC, of the newest import."""


@dataclass
class Failures:
    """What is kept of changes that did not become rows; `Pipeline.read_failures` adds what is new."""

    rejected: set[tuple[str, int]] = field(default_factory=set)
    """Key and version of each change that its mapping refused: a change delivered twice is one."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Of these changes, the first one of each: they add up to them."""
    rejected_snapshots: set[tuple[str, int]] = field(default_factory=set)
    """The same of items that a backfill found in an export."""
    parked_rows: int = 0
    """Rows in streamed batches that Aurora did not take."""
    parked_batches: list[dict[str, Any]] = field(default_factory=list)
    """The records of these batches, and of those of backfills."""
    unforwarded: int = 0
    """Stream records that forward_changes could not send, given up on by the stream mapping."""
    seen: set[str] = field(default_factory=set)
    """Keys of the objects that have been counted."""

    @property
    def accounted(self) -> int:
        """Streamed changes that are accounted for without a row."""
        return len(self.rejected) + self.parked_rows + self.unforwarded


@dataclass(frozen=True)
class Pipeline:
    """One deployment, to be counted."""

    api: Api
    deployment: Deployment

    @cached_property
    def mapping(self) -> Mapping:
        """The mapping of the replicated table."""
        return self.deployment.mapping

    def read_imports(self, aurora: Aurora) -> Imports:
        """Return what the ledger says, as of now."""
        table = f"{sql.quote(self.mapping.database)}.{sql.quote(IMPORTS)}"
        ((batches, rows, last),) = aurora.query(
            f"SELECT COUNT(*), COALESCE(SUM(rows_staged), 0), MAX(finished_at) FROM {table}"  # noqa: S608  # our names
            " WHERE mapping = %s AND source = 'stream'",
            (self.mapping.name,),
        )
        return Imports(int(batches), int(rows), last)

    def read_failures(self, failures: Failures) -> None:
        """Add to `failures` what has been kept since it was last read."""
        for key in self._unseen(keys.failed_records_prefix(self.mapping.name), failures):
            for line in self._lines(key):
                for record in split_record(decode_failed_record(line)):
                    self._add_rejection(record.data, failures)
        for key in self._unseen(self._failed_batches, failures):
            record = json.loads(b"".join(self._lines(key)))
            failures.parked_batches.append(record)
            if _read_source(record) == "stream":
                failures.parked_rows += self._count_rows(record["batch"])
        for key in self._unseen(f"{keys.UNFORWARDED}/", failures):
            invocation = json.loads(b"".join(self._lines(key)))
            failures.unforwarded += int(invocation["DDBStreamBatchInfo"]["batchSize"])

    def count_objects(self, prefix: str) -> int:
        """Return how many objects of the landing bucket have keys with a prefix.

        An empty one is what a settled change has left behind, and does not count.
        """
        return sum(1 for _ in self._keys(prefix))

    def count_failed_batches(self, source: str) -> int:
        """Return how many batches of a source are kept as failed."""
        records = (json.loads(b"".join(self._lines(key))) for key in self._keys(self._failed_batches))
        return sum(_read_source(record) == source for record in records)

    def count_executions(self, *statuses: ExecutionStatusType) -> int:
        """Return how many imports have one of these statuses."""
        pages = self.api.stepfunctions.get_paginator("list_executions")
        return sum(
            len(page["executions"])
            for machine in self._machines
            for status in statuses
            for page in pages.paginate(stateMachineArn=machine, statusFilter=status)
        )

    def is_importing(self) -> bool:
        """Tell whether an import runs or waits for its next attempt."""
        running: Any = {"statusFilter": "RUNNING", "maxResults": 1}
        listed = self.api.stepfunctions.list_executions
        return any(listed(stateMachineArn=machine, **running)["executions"] for machine in self._machines)

    def count_items(self) -> int:
        """Return how many items the table has, by counting them."""
        paginator = self.api.dynamodb.get_paginator("scan")
        return sum(page["Count"] for page in paginator.paginate(TableName=self.deployment.table, Select="COUNT"))

    def scan_items(self) -> Iterator[dict[str, Any]]:
        """Yield the table's items in DynamoDB's typed form, by consistent reads.

        A page is read while the one before is worked on.
        """
        paginator = self.api.scanned_dynamodb.get_paginator("scan")
        pages = iter(paginator.paginate(TableName=self.deployment.table, ConsistentRead=True))
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(next, pages, None)
            while page := coming.result():
                coming = reader.submit(next, pages, None)
                yield from page["Items"]

    @property
    def _machines(self) -> tuple[str, str]:
        """The state machines that import; what the first hands over is in the second before it has ended."""
        return self.deployment.import_streamed_batch_arn, self.deployment.import_batch_arn

    @property
    def _failed_batches(self) -> str:
        return keys.failed_batches_prefix(self.mapping.name)

    @cached_property
    def _mapper(self) -> RowMapper:
        return RowMapper(self.mapping)

    def _add_rejection(self, data: bytes, failures: Failures) -> None:
        """Count a refused change once, with the reasons that the mapping gives for it now."""
        try:
            change = decode_change(data)
        except RejectedChange as error:
            identity, reasons = (data.decode("utf-8", "replace"), 0), error.reasons
        else:
            identity, reasons = (json.dumps(change.key(sorted(change.keys))), change.version), ()
            if is_snapshot(change.version):
                failures.rejected_snapshots.add(identity)
                return
            try:
                self._mapper.row(change)
            except RejectedChange as error:
                reasons = error.reasons
        if identity not in failures.rejected:
            failures.rejected.add(identity)
            failures.reasons.update(count_reasons(reasons[:1]) or {"the transformation failed": 1})

    def _count_rows(self, batch: dict[str, Any]) -> int:
        """Return the rows in a batch's objects: its newlines, for those within a field are escaped as letters."""
        bodies = (self.api.s3.get_object(Bucket=item["bucket"], Key=item["key"])["Body"] for item in batch["objects"])
        return sum(chunk.count(b"\n") for body in bodies for chunk in body.iter_chunks())

    def _unseen(self, prefix: str, failures: Failures) -> Iterator[str]:
        for key in self._keys(prefix):
            if key not in failures.seen:
                yield key
                failures.seen.add(key)

    def _keys(self, prefix: str) -> Iterator[str]:
        paginator = self.api.s3.get_paginator("list_objects_v2")
        for page in paginator.paginate(Bucket=self.deployment.bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                if entry["Size"]:
                    yield entry["Key"]

    def _lines(self, key: str) -> Iterator[bytes]:
        body = self.api.s3.get_object(Bucket=self.deployment.bucket, Key=key)["Body"]
        yield from body.iter_lines()


def _read_source(record: dict[str, Any]) -> str | None:
    """Return where a failed batch came from; None where it could not even be converted."""
    source: str | None = (record.get("batch") or {}).get("source")
    return source


def is_snapshot(version: int) -> bool:
    """Tell whether a version is of an export's item: only these have no place within their second."""
    return version % SEQUENCE_RANGE == 0
