"""A landing bucket in which things have failed, to vary in a test."""

import json
from typing import Any

from backfill.failures.reader import FailureReader
from backfill.failures.verdicts import Judge
from dynaurora import keys
from dynaurora.dynamodb.changes import encode_change
from dynaurora.failures.failed_records import FailedRecord, encode_failed_record
from dynaurora.failures.list_failures import Place
from dynaurora.mappings.row_mapper import RowMapper
from tests.support.example import load_example
from tests.support.factories import click, click_change, stream_record
from tests.support.fakes import InMemoryObjects

BUCKET, MAPPING = "landing", "web_analytics"
PLACE = Place(BUCKET, MAPPING, "web_analytics")
SEEN_MS = 1_795_421_700_000
"""2026-11-23 08:15:00 UTC."""
FAILED = keys.failed_records_prefix(MAPPING)
FIREHOSE_KEY = f"{FAILED}processing-failed/2026/11/23/08/changes"
OVERSIZE_KEY = keys.oversize_record(MAPPING, "111")
BACKFILL_KEY = keys.backfill_rejects(MAPPING, "r1", 1)
UNFORWARDED_KEY = f"{keys.unforwarded_prefix()}uuid/shard-1/2026/11/23/object"
LANDED_KEY = f"{keys.processed_prefix(MAPPING)}2026/11/23/08/changes"
BATCH_ID = "0123456789abcdef0123456789abcdef01234567"
BATCH_KEY = keys.failed_batch(MAPPING, BATCH_ID)
CONVERSION_KEY = keys.failed_batch(MAPPING, "r1-000002")

CONVERSION = {
    "mapping": MAPPING,
    "run": "r1",
    "export_second": 1_700_000_000,
    "bucket": "landing",
    "export_bucket": "landing",
    "batch": {"number": 2, "items": 0, "files": []},
}
"""What convert_export was asked with."""

GOOD = encode_change(click_change())
BAD = encode_change(click_change(click(Hits="secret"), page_id="about"))
"""Its hits are no number."""


def failed_record(data: bytes = BAD, seen_ms: int = SEEN_MS, **changed: Any) -> FailedRecord:
    """Return a record as Firehose keeps it."""
    fields: dict[str, Any] = {
        "error_code": "Lambda.FunctionError",
        "error_message": "The function returned an error.",
        "attempts": 4,
        "function_arn": "arn:f",
    }
    return FailedRecord(data, failed_at_ms=seen_ms, **fields | changed)


def failed_lines(*records: FailedRecord) -> bytes:
    """Return an object of the failed prefix."""
    return b"".join(map(encode_failed_record, records))


def failed_batch(**changed: Any) -> bytes:
    """Return the record of a batch that Aurora did not take."""
    record = {
        "batch_id": BATCH_ID,
        "batch": {
            "mapping": MAPPING,
            "source": "stream",
            "run": None,
            "rows": 7,
            "objects": [{"bucket": BUCKET, "key": "processed/a.csv", "etag": "e", "size": 1}],
        },
        "error": "DatabaseError",
        "reason": "Aurora said 1366: Incorrect integer value: 'secret' for column 'hits' at row 1.",
        "remedy": "Look the error number up.",
        "attempts": 2,
        "first_failed_at": "2026-11-23T07:00:00Z",
        "last_failed_at": "2026-11-23T08:00:00Z",
        "execution": "arn:execution",
    }
    return json.dumps(record | changed).encode()


def make_store(**objects: bytes) -> InMemoryObjects:
    """Return a bucket with a failure of every kind, or with these objects by the names of their keys' constants."""
    found = objects or {
        "FIREHOSE_KEY": failed_lines(failed_record(), failed_record(GOOD, SEEN_MS + 1000)),
        "OVERSIZE_KEY": failed_lines(failed_record(GOOD, SEEN_MS - 3_600_000, attempts=1)),
        "BACKFILL_KEY": failed_lines(failed_record(seen_ms=SEEN_MS - 7_200_000, error_code="dynaurora.Rejected")),
        "UNFORWARDED_KEY": json.dumps({"payload": json.dumps({"Records": [stream_record()]})}).encode(),
        "BATCH_KEY": failed_batch(),
        "CONVERSION_KEY": failed_batch(batch_id="r1-000002", batch=None, conversion=CONVERSION),
    }
    return InMemoryObjects({(BUCKET, globals()[name]): body for name, body in found.items()})


def make_reader(store: InMemoryObjects | None = None, *, judging: bool = True) -> FailureReader:
    """Return what reads the failures of a bucket."""
    judge = Judge(RowMapper(load_example(MAPPING))) if judging else None
    return FailureReader(PLACE, make_store() if store is None else store, judge)
