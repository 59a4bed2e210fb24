"""What a change costs the functions of the stream, beside a consumer of it that somebody writes by hand.

CPU time of forward_changes, the SDK's call of Firehose included but for the socket, of transform_changes and of
import_batch, each without its runtime; the database's own is in neither. The consumer writes each invocation's records
straight into the database. A batch has the changes of a minute at 100 a second.
"""

from __future__ import annotations

import json
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.httpsession import URLLib3Session

from benchmarks.database import local_database
from benchmarks.imports import guarded_insert
from benchmarks.items import CLICKS, draw_items
from benchmarks.measure_figures import RECORDS, to_stream_record
from benchmarks.naive import consume
from benchmarks.results import Result, is_quick, print_results
from benchmarks.sink import TakingStream
from benchmarks.timing import interleave
from benchmarks.transform_changes import make_records, make_transformer
from dynaurora.aws.delivery_stream import FirehoseStream
from dynaurora.dynamodb.changes import from_stream_record
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.stream.forward_changes import Forwarder

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.database import Database
    from dynaurora.stream.forward_changes import DeliveryStream

CHANGES = 6000
MOST_MICROSECONDS = 20


class Body:
    """The body of an answer, as botocore reads it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self, **_: Any) -> list[bytes]:
        """Return it in one piece."""
        return [self._data]


def answer(_session: URLLib3Session, request: Any) -> AWSResponse:
    """Answer a call of Firehose: all is taken."""
    taken = [{"RecordId": "x" * 200}] * request.body.count(b'"Data"')
    body = json.dumps({"FailedPutCount": 0, "RequestResponses": taken}).encode()
    return AWSResponse(request.url, 200, HTTPHeaders(), Body(body))


def forward(records: list[dict[str, Any]], stream: DeliveryStream) -> None:
    """Forward the records of one invocation."""
    store = cast("Any", None)
    Forwarder(CLICKS.name, CLICKS.digest, stream, store, "landing", ignore_expiries=False, function_arn="").forward(
        records
    )


def forward_all(records: list[list[dict[str, Any]]]) -> None:
    """Forward the records of several invocations by the SDK, which is answered before it opens a socket."""
    with patch.object(URLLib3Session, "send", answer):
        for some in records:
            forward(some, FirehoseStream("changes"))


def make_ways(database: Database, records: list[list[dict[str, Any]]]) -> dict[str, Callable[[], Callable[[], object]]]:
    """Return what is timed: the functions one by one, and the consumer."""
    stream, transformer, mapper = TakingStream(), make_transformer(), RowMapper(database.mapping)
    for some in records:
        forward(some, stream)
    packs = make_records(stream.taken)
    changes = [from_stream_record(record) for some in records for record in some]
    statement = guarded_insert(database.mapping)

    def prepare_import() -> Callable[[], object]:
        database.empty()
        batch = database.write_labelled(map(mapper.row, changes))
        return lambda: database.import_batch(batch)

    def prepare_consumer() -> Callable[[], object]:
        database.empty()
        return lambda: consume_all(database, records, statement)

    return {
        "forward_changes": lambda: partial(forward_all, records),
        "transform_changes": lambda: partial(transformer.transform, packs),
        "import_batch": prepare_import,
        "consumer": prepare_consumer,
    }


def consume_all(database: Database, records: list[list[dict[str, Any]]], statement: str) -> None:
    """Consume the records of several invocations, over the connection that a function keeps."""
    with database.connect() as aurora:
        for some in records:
            with aurora.transaction(), aurora._connection.cursor() as cursor:
                consume(some, cursor, statement)


def measure() -> list[Result]:
    """Measure all of them."""
    changes, rounds = (1000, 2) if is_quick() else (CHANGES, 9)
    clicks = draw_items(CLICKS.name, changes, 0)
    all_records = list(map(to_stream_record, clicks, range(len(clicks))))
    records = [all_records[start : start + RECORDS] for start in range(0, len(all_records), RECORDS)]
    with local_database() as database:
        ways = make_ways(database, records)
        seconds = interleave(ways, rounds, cpu=time.process_time)["cpu"]
    taken = {name: median(values) / len(all_records) * 1e6 for name, values in seconds.items()}
    consumer = taken.pop("consumer")
    ours = sum(taken.values())
    parts = ", ".join(f"{name} {value:.1f}" for name, value in taken.items())
    measured = f"{ours:.1f} µs ({parts}), {ours / consumer:.1f} × its {consumer:.1f} µs"
    path = "CPU time of the stream's functions for a change"
    return [Result(path, "a consumer of 30 lines", f"≤ {MOST_MICROSECONDS} µs", measured, ours <= MOST_MICROSECONDS)]


if __name__ == "__main__":
    print_results(measure)
