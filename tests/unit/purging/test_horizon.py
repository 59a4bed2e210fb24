"""How old that is at most which may still be brought."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from dynaurora import keys
from dynaurora.batches.batch import IMPORTED
from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.dynamodb.versions import make_version
from dynaurora.failures.failed_records import FailedRecord, encode_failed_record
from dynaurora.failures.list_failures import Place
from dynaurora.purging.horizon import TRANSIT, Hold, delete_archived, find_horizon
from tests.support.factories import make_plan
from tests.support.fakes import InMemoryObjects

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAYS = 40
KEPT_FROM = NOW - timedelta(days=DAYS)
BEFORE = int(KEPT_FROM.timestamp())
OLD = BEFORE - 1000
"""The second of something that is older than what is kept anyway."""
PLACE = Place("landing", "things", "Things")


@pytest.fixture
def store() -> InMemoryObjects:
    return InMemoryObjects(written_at=NOW)


def find(store: InMemoryObjects, *runs: tuple) -> tuple[int, list[Hold]]:
    horizon = find_horizon(PLACE, store, runs, DAYS, NOW)
    return horizon.floor, [*horizon.holds]


def write_change(second: int) -> bytes:
    return encode_change(Change(make_version(second, 7), second * 1000, {"pk": {"S": "a"}}, {"pk": {"S": "a"}}))


def keep(store: InMemoryObjects, key: str, *data: bytes) -> None:
    body = b"".join(encode_failed_record(FailedRecord(each, "Refused", "", 1, 0, "")) for each in data)
    store.write("landing", key, body)


def land(store: InMemoryObjects, name: str, at: datetime, *, imported: bool) -> str:
    key = f"processed/mapping=things/{name}"
    store.write_tagged("landing", key, b"", IMPORTED if imported else {})
    store.times["landing", key] = at
    return key


def test_without_anything_that_waits_it_is_so_many_days_ago(store: InMemoryObjects) -> None:
    land(store, "new", NOW, imported=False)
    assert find(store) == (BEFORE, [])
    assert find_horizon(PLACE, store, (), DAYS, NOW).imports_before == KEPT_FROM


def test_a_batch_that_waits_holds_it_two_days_before_it_landed(store: InMemoryObjects) -> None:
    landed = KEPT_FROM + TRANSIT - timedelta(seconds=10)
    key = land(store, "waits", landed, imported=False)
    land(store, "is in", KEPT_FROM + timedelta(seconds=1), imported=True)
    assert find(store) == (BEFORE - 10, [Hold(BEFORE - 10, "waiting", key)])


def test_the_ledger_is_kept_as_long_as_an_object_is_there(store: InMemoryObjects) -> None:
    landed = KEPT_FROM - timedelta(days=3)
    land(store, "not expired", landed, imported=True)
    horizon = find_horizon(PLACE, store, (), DAYS, NOW)
    assert (horizon.floor, horizon.imports_before) == (BEFORE, landed)


@pytest.mark.parametrize("parked", [False, True])
def test_a_kept_record_holds_it_at_its_change_however_late_it_was_written(store: InMemoryObjects, parked: bool) -> None:
    key = f"{keys.failed_records_prefix('things')}processing-failed/1"
    key = keys.parked("things", key) if parked else key
    keep(store, key, write_change(BEFORE + 5), write_change(OLD), b"no change at all")
    assert find(store) == (OLD, [Hold(OLD, "failed record", key)])


def test_what_is_archived_holds_it_until_it_is_deleted(store: InMemoryObjects) -> None:
    key = f"{keys.archived_prefix('things', 'discarded')}{keys.failed_records_prefix('things')}1.0123456789ab"
    keep(store, key, write_change(OLD))
    assert find(store) == (OLD, [Hold(OLD, "failed record", key)])
    assert delete_archived(PLACE, store, NOW) == 0
    store.times["landing", key] = KEPT_FROM - timedelta(seconds=1)
    assert delete_archived(PLACE, store, KEPT_FROM) == 1
    assert find(store) == (BEFORE, [])


def test_what_will_be_read_again_holds_nothing(store: InMemoryObjects) -> None:
    refused = {"Target": "", "Keys": {"pk": "a"}, "Version": str(make_version(OLD, 0)), "Error": 1406}
    keep(store, keys.refused_rows("things", "part"), json.dumps({"Refused": refused}).encode())
    assert find(store) == (BEFORE, [])


def test_a_change_that_was_not_forwarded_holds_it(store: InMemoryObjects) -> None:
    record = {"dynamodb": {"ApproximateCreationDateTime": OLD, "SequenceNumber": "1" * 21, "Keys": {"pk": {"S": "a"}}}}
    record |= {"eventName": "REMOVE"}
    key = f"{keys.unforwarded_of('reader')}shard/1"
    source = {"streamArn": "arn:aws:dynamodb:us-east-1:1:table/Things/stream/1"}
    body = {"payload": {"Records": [record]}, "DDBStreamBatchInfo": source}
    store.write("landing", key, json.dumps(body).encode())
    assert find(store) == (OLD, [Hold(OLD, "failed record", key)])


def write_failed_batch(store: InMemoryObjects, source: str, *lines: bytes) -> str:
    etag = store.write("landing", "batches/run=things-r1/batch-000001.csv", b"".join(lines))
    item = {"bucket": "landing", "key": "batches/run=things-r1/batch-000001.csv", "etag": etag, "size": 9}
    batch = {"mapping": "things", "source": source, "run": "r1", "rows": None, "objects": [item]}
    key = keys.failed_batch("things", "id")
    store.write("landing", key, json.dumps({"batch": batch}).encode())
    return key


def test_a_failed_batch_holds_it_at_its_oldest_row(store: InMemoryObjects) -> None:
    lines = [f"0,{make_version(second, 0)},a\n".encode() for second in (BEFORE + 1, OLD)]
    key = write_failed_batch(store, "sweep", lines[0], b"\x1aThings.0123456789abcdef," + lines[1])
    assert find(store) == (OLD, [Hold(OLD, "failed batch", key)])


def test_a_failed_batch_of_records_is_made_of_them_again(store: InMemoryObjects) -> None:
    write_failed_batch(store, "reprocess", f"0,{make_version(OLD, 0)},a\n".encode())
    assert find(store) == (BEFORE, [])


def test_a_batch_that_could_not_be_converted_holds_it_a_day_before_its_export(store: InMemoryObjects) -> None:
    asked = {"mapping": "things", "run": "r1", "export_second": OLD, "bucket": "b", "export_bucket": "b"}
    conversion = asked | {"batch": {"number": 1, "items": 1, "files": []}}
    key = keys.failed_batch("things", "id")
    store.write("landing", key, json.dumps({"batch": None, "conversion": conversion}).encode())
    second = OLD - 120 - 86400
    assert find(store) == (second, [Hold(second, "failed batch", key)])


def test_a_record_that_is_none_holds_nothing(store: InMemoryObjects) -> None:
    store.write("landing", keys.failed_batch("things", "id"), b"{")
    assert find(store) == (BEFORE, [])


def make_run(kind: str = "backfill", **options: str) -> tuple:
    return "r1", kind, (NOW - timedelta(days=1)).replace(tzinfo=None), options


def test_a_run_under_way_holds_it_at_its_export(store: InMemoryObjects) -> None:
    plan = make_plan(export_second=OLD)
    store.write("landing", keys.planned("things", "r1"), json.dumps(asdict(plan)).encode())
    second = OLD - 120 - 86400
    assert find(store, make_run()) == (second, [Hold(second, "run", "r1")])
    assert find(store, make_run("verify")) == (second, [Hold(second, "run", "r1")])


def test_a_run_of_a_given_export_holds_all_until_it_is_planned(store: InMemoryObjects) -> None:
    assert find(store, make_run(export_arn="arn:of-some-year")) == (0, [Hold(0, "run", "r1")])
    assert find(store, make_run(), make_run("reprocess")) == (BEFORE, [])


def test_the_ledger_of_a_run_under_way_is_kept(store: InMemoryObjects) -> None:
    began = KEPT_FROM - timedelta(days=5)
    run = ("r1", "backfill", began.replace(tzinfo=None), {})
    assert find_horizon(PLACE, store, [run], DAYS, NOW).imports_before == began
