"""The commands of docs/, run as a reader would: in their order, in one shell, on a local AWS."""

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.conftest import LocalAws
from tests.reader import Reader

GOOD_PAYLOAD = json.dumps(
    {
        "Hits": 1,
        "device": {
            "make": "a",
            "platform": {"name": "b", "version": "c"},
            "location": {"latitude": "1", "longitude": "2", "country": "DE"},
        },
        "session": {"session_id": "s", "start_timestamp": "1", "stop_timestamp": "2"},
    }
)
KEY = ("page_id", "activity_dt")
GOOD = {"page_id": {"S": "good"}, "activity_dt": {"S": "now"}, "payload": {"S": GOOD_PAYLOAD}}
BAD = {"page_id": {"S": "bad"}, "activity_dt": {"S": "now"}, "payload": {"S": "{"}}


def set_faults(aws: LocalAws, **faults: int) -> None:
    """Ask the emulator to behave as AWS may."""
    request = urllib.request.Request(f"{aws.state.endpoint_url}/_dynaurora/faults", json.dumps(faults).encode())
    urllib.request.urlopen(request).close()


@contextmanager
def held_exports(aws: LocalAws) -> Iterator[None]:
    """Keep exports in progress, as those of AWS are for minutes: there is time to stop a run."""
    set_faults(aws, hold_exports=1)
    try:
        yield
    finally:
        set_faults(aws, hold_exports=0)


@pytest.fixture
def two_items(local_aws: LocalAws) -> None:
    """Leave in the table one good item and one that the mapping refuses."""
    dynamodb, table = local_aws.api.dynamodb, local_aws.deployment.table
    items = [item for page in dynamodb.get_paginator("scan").paginate(TableName=table) for item in page["Items"]]
    for start in range(0, len(items), 25):
        keys = ({name: item[name] for name in KEY} for item in items[start : start + 25])
        dynamodb.batch_write_item(RequestItems={table: [{"DeleteRequest": {"Key": key}} for key in keys]})
    for added in (GOOD, BAD):
        dynamodb.put_item(TableName=table, Item=added)


@pytest.mark.usefixtures("two_items")
def test_the_runbook_of_backfills(reader: Reader, local_aws: LocalAws) -> None:
    with reader.follow("docs/backfill.md") as walk:
        assert "1 record" in walk.through("Start and watch")
        with held_exports(local_aws):
            assert "STOPPED" in walk.through("Stop")
        assert "SUCCEEDED" in walk.through("Go on with a run")
        printed = walk.through("Read the report")
        assert json.JSONDecoder().raw_decode(printed)[0]["totals"]["rejected"] == 1
        assert "batch-000001.json" in printed
        assert "SUCCEEDED" in walk.through("Import an export that is there")
        leave_only_a_row_without_an_item(local_aws)
        assert "1 row in 1 batch" in walk.through("Remove rows whose items are gone")
    assert local_aws.query("SELECT page_id FROM Demo.WebAnalytics") == [("good",)]


def leave_only_a_row_without_an_item(aws: LocalAws) -> None:
    """Delete the item that is refused, and leave a row as one that was deleted while the stream was off does."""
    aws.api.dynamodb.delete_item(TableName=aws.deployment.table, Key={name: BAD[name] for name in KEY})
    time.sleep(1)  # an export shows the table just before a whole second
    aws.query(
        "INSERT INTO Demo.WebAnalytics__replica (page_id, activity_dt, _deleted, _version)"
        " VALUES ('left over', 'long ago', 0, 1)"
    )
