"""How long after it was written a change is readable in the database, without a buffer, at a hundred changes a second.

The real templates are deployed to the local AWS, with BufferSeconds and TransformBufferSeconds 0; the clock runs from
PutItem's answer until a poll of the view sees the row. Beside it, on the same changes at the same time, a consumer that
somebody writes by hand: it polls the stream as often as Lambda does, and writes what it reads to a table of its own.
Local services answer sooner than AWS's, and whatever else the machine does is in the figures: its load is told.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import boto3

from backfill.project import load_example
from benchmarks.database import measure_on_engines
from benchmarks.imports import guarded_insert
from benchmarks.items import CLICKS, draw_items
from benchmarks.naive import consume
from benchmarks.results import Result, is_quick, print_results
from dynaurora.aurora.connection import Credentials, Endpoint, connect
from dynaurora.aurora.sql import quote
from local import deployment
from local.api import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Api
from local.deployment import Database
from local.stack import REGION, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.aurora.connection import Aurora
    from local.aurora.engine import Engine
    from local.deployment import Deployment

RATE: Final = 100
"""Changes a second."""
SECONDS: Final = 2 if is_quick() else 5
"""For which they are written; there are two engines, and a minute for both."""
MOST_SECONDS: Final = 5.0
WARM: Final = 5
"""Changes before the others, which have functions started and connections opened."""
POLL_SECONDS: Final = 0.02
STREAM_SECONDS: Final = 0.25
"""How often Lambda polls a shard (AWS Lambda Developer Guide, "Polling and batching streams")."""
PATIENCE_SECONDS: Final = 30.0
"""After the last change, for those that are not seen yet."""
POLL_VARIABLE: Final = "DYNAURORA_STREAM_POLL_SECONDS"
"""By which the local Lambda does so, too."""
COPY: Final = "by_hand"
"""The consumer's table."""


@dataclass
class Watch:
    """When changes were seen in a table, by their keys."""

    table: str
    column: str
    """That has the key."""
    seen: dict[str, float] = field(default_factory=dict)

    def look(self, aurora: Aurora, written: dict[str, float]) -> bool:
        """Note what has come since, and tell whether all is there that was written."""
        if waiting := written.keys() - self.seen.keys():
            rows = aurora.query(f"SELECT {self.column} FROM {self.table} WHERE {self.column} >= %s", (min(waiting),))
            now = time.perf_counter()
            self.seen |= {key: now for (key,) in rows if key in waiting}
        return self.seen.keys() >= written.keys()

    def latencies(self, written: dict[str, float]) -> list[float]:
        """Return the seconds of each change, the shortest first; what was never seen takes for ever."""
        return sorted(max(0.0, self.seen.get(key, float("inf")) - at) for key, at in written.items())


@dataclass
class Deployed:
    """What the benchmark works on."""

    stack: Stack
    api: Api
    database: Database
    deployment: Deployment

    @contextmanager
    def connect(self) -> Iterator[Aurora]:
        """Open a connection whose every question sees what has been committed by then."""
        with connect(self.database.endpoint, self.database.administrator) as aurora:
            aurora.execute("SET SESSION autocommit = 1")
            yield aurora


def measure() -> list[Result]:
    """Measure on each engine."""
    return measure_on_engines("written to readable", measure_on)


def measure_on(engine: Engine) -> list[Result]:
    """Measure on one."""
    with deploy(engine) as deployed:
        ours, by_hand = run(deployed)
    load = os.getloadavg()[0]
    middle, most = find_percentiles(ours)
    path = f"written to readable, BufferSeconds 0, {RATE} changes a second, {engine.title}"
    beat = "a consumer by hand: p50 {:.2f} s, p99 {:.2f} s".format(*find_percentiles(by_hand))
    measured = f"p50 {middle:.2f} s, p99 {most:.2f} s of {len(ours):,}; load {load:.1f} on {os.cpu_count()} processors"
    return [Result(path, beat, f"p99 ≤ {MOST_SECONDS:g} s", measured, most <= MOST_SECONDS)]


def find_percentiles(latencies: list[float]) -> tuple[float, float]:
    """Return the median of sorted figures, and what 99 of 100 are not above."""
    return latencies[len(latencies) // 2], latencies[-(-99 * len(latencies) // 100) - 1]


@contextmanager
def deploy(engine: Engine) -> Iterator[Deployed]:
    """Deploy the example to a local AWS of its own, without buffers."""
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="dynaurora-bench-"))
        with patch.dict(os.environ, {POLL_VARIABLE: str(STREAM_SECONDS)}):
            aws = stack.enter_context(Stack(Path(directory), engine=engine))
        user, api = aws.server.users.administrator, Api(aws.endpoint_url, REGION)
        endpoint = Endpoint(aws.gateway.host, aws.gateway.port, aws.certificates.ca_file.read_text("ascii"))
        database = Database(endpoint, administrator=Credentials(user.username, user.password))
        with patch.object(deployment, "BUFFER_SECONDS", "0"):
            found = deployment.deploy(api, database, load_example(), report=lambda _: None)
        yield Deployed(aws, api, database, found)


def run(deployed: Deployed) -> tuple[list[float], list[float]]:
    """Write, and return how long each change took to be readable: in the view, and in the consumer's table."""
    mapping, stop = deployed.deployment.mapping, Event()
    view, replica, copy = (
        f"{quote(mapping.database)}.{quote(name)}" for name in (mapping.table, mapping.replica, COPY)
    )
    statement = guarded_insert(mapping).replace(replica, copy)
    watches = [Watch(table, quote(mapping.key_columns[0].name)) for table in (view, copy)]
    with deployed.connect() as aurora:
        aurora.execute(f"CREATE TABLE {copy} LIKE {replica}")
        consumer = Thread(target=consume_stream, args=(deployed, statement, stop), daemon=True)
        consumer.start()
        try:
            watch(deployed, aurora, watches, "/a", WARM)
            written = watch(deployed, aurora, watches, "/b", RATE * SECONDS)
        finally:
            stop.set()
            consumer.join()
    ours, by_hand = (each.latencies(written) for each in watches)
    return ours, by_hand


def watch(deployed: Deployed, aurora: Aurora, watches: list[Watch], prefix: str, count: int) -> dict[str, float]:
    """Write so many changes, and look until all are seen or it takes too long; return when each was written."""
    written: dict[str, float] = {}
    writer = Thread(target=write, args=(deployed, prefix, count, written), daemon=True)
    writer.start()
    ends = time.monotonic() + count / RATE + PATIENCE_SECONDS
    while time.monotonic() < ends:
        is_writing, known = writer.is_alive(), dict(written)
        are_there = [each.look(aurora, known) for each in watches]
        if all(are_there) and not is_writing:
            break
        time.sleep(POLL_SECONDS)
    writer.join()
    return written


def write(deployed: Deployed, prefix: str, count: int, written: dict[str, float]) -> None:
    """Write so many clicks of keys of their own at RATE, and note when each was."""
    dynamodb, table = deployed.api.dynamodb, deployed.deployment.table
    began = time.perf_counter()
    for number, item in enumerate(draw_items(CLICKS.name, count, 0)):
        time.sleep(max(0.0, began + number / RATE - time.perf_counter()))
        key = f"{prefix}/{number:06}"
        dynamodb.put_item(TableName=table, Item={**item, "page_id": {"S": key}})
        written[key] = time.perf_counter()


def consume_stream(deployed: Deployed, statement: str, stop: Event) -> None:
    """Read the table's stream, and write its changes by a statement, until it is told to stop."""
    keys: Any = {"aws_access_key_id": ACCESS_KEY_ID, "aws_secret_access_key": SECRET_ACCESS_KEY}
    streams = boto3.client("dynamodbstreams", endpoint_url=deployed.api.endpoint_url, region_name=REGION, **keys)
    arn = deployed.api.dynamodb.describe_table(TableName=deployed.deployment.table)["Table"]["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    with deployed.connect() as aurora, aurora._connection.cursor() as cursor:
        while not stop.wait(STREAM_SECONDS):
            answer = streams.get_records(ShardIterator=iterator)
            iterator = answer["NextShardIterator"]
            records = [to_lambda(record) for record in answer["Records"]]
            if records:
                consume(records, cursor, statement)


def to_lambda(record: Any) -> dict[str, Any]:
    """Return a record as Lambda hands it over, whose time is a number."""
    change = record["dynamodb"]
    return {
        "eventName": record["eventName"],
        "dynamodb": {**change, "ApproximateCreationDateTime": change["ApproximateCreationDateTime"].timestamp()},
    }


if __name__ == "__main__":
    print_results(measure)
