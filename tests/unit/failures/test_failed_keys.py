import json
import tracemalloc

import pytest

from dynaurora import keys
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.dynamodb.changes import Change
from dynaurora.failures.failed_keys import FailedKeys, read_fields
from dynaurora.failures.newest_entries import NewestEntries
from dynaurora.mappings.csv_format import encode_row, escape, row_label
from tests.support.factories import click_change
from tests.support.failed_objects import BACKFILL_KEY, BAD, FIREHOSE_KEY, GOOD, MAPPER, MAPPING, PLACE, failed, put
from tests.support.fakes import InMemoryObjects, etag_of
from tests.support.registries import make_registry

TYPES = {"page_id": "S", "activity_dt": "S"}


@pytest.fixture
def store():
    return InMemoryObjects()


def make_failed_keys(store):
    return FailedKeys(PLACE, store, make_registry(store=store, bucket="landing"), TYPES)


def key(page_id, activity_dt=GOOD.keys["activity_dt"]["S"]):
    return {"page_id": {"S": page_id}, "activity_dt": {"S": activity_dt}}


def put_batch(store, lines, digest=None, source="backfill", object_key="batches/run=web_analytics-r1/batch-000001.csv"):
    body = b"".join(lines)
    store.write("landing", object_key, body)
    item = BatchObject("landing", object_key, etag_of(body), len(body))
    batch = Batch(MAPPING, source, "r1", len(lines), (item,), digest=digest)
    put(
        store,
        keys.failed_batch(MAPPING, batch.id),
        json.dumps({"batch_id": batch.id, "batch": batch.as_dict()}).encode(),
    )
    return batch


def test_records_tell_their_keys_and_versions_parked_ones_too(store):
    put(store, FIREHOSE_KEY, failed(GOOD), failed(BAD))
    put(store, keys.parked(MAPPING, BACKFILL_KEY), failed(click_change(version=9, page_id="parked")))
    found = list(make_failed_keys(store).read())
    assert [(each.key["page_id"]["S"], each.version) for each in found] == [
        (GOOD.keys["page_id"]["S"], 7),
        ("bad", 8),
        ("parked", 9),
    ]
    assert all(each.is_record for each in found)


def test_each_key_is_told_once_with_its_newest_change(store):
    for number, version in enumerate((5, 9, 7)):
        put(store, keys.backfill_rejects(MAPPING, f"r{number}", 1), failed(click_change(version=version, page_id="a")))
    (found,) = make_failed_keys(store).read_newest()
    assert (found.version, found.object_key) == (9, keys.backfill_rejects(MAPPING, "r1", 1))


@pytest.mark.parametrize("label", [b"", row_label(MAPPER.mapping)])
def test_rows_of_batches_that_aurora_did_not_take_tell_theirs(store, label):
    put_batch(store, [label + encode_row(MAPPER.row(click_change(version=11, page_id="a,\\b\n")))])
    gone = Change(12, 12, key("gone"), None)
    put_batch(store, [label + encode_row(MAPPER.row(gone))], object_key="batches/run=web_analytics-r1/batch-000002.csv")
    found = sorted(make_failed_keys(store).read(), key=lambda each: each.version)
    assert [(each.key, each.version) for each in found] == [(key("a,\\b\n"), 11), (key("gone"), 12)]
    assert not any(each.is_record for each in found)


def test_a_batch_of_records_is_told_by_its_records_alone(store):
    put_batch(store, [encode_row(MAPPER.row(GOOD))], source="reprocess")
    assert list(make_failed_keys(store).read()) == []


def test_what_nobody_can_tell_the_key_of_is_counted(store):
    put(store, FIREHOSE_KEY, failed(b"no change"), failed(Change(1, 1, {"id": {"S": "another"}}, None)))
    put(store, keys.failed_batch(MAPPING, "r0-000001"), json.dumps({"batch": None, "conversion": {}}).encode())
    batch = put_batch(store, [b"\x1aOther.0123456789abcdef,0,1,a,b\n"])
    failed_keys = make_failed_keys(store)
    assert list(failed_keys.read()) == []
    assert failed_keys.unknown == {"records": 2, "batch": 2}
    store.delete("landing", batch.objects[0].key)
    assert list(failed_keys.read()) == []


@pytest.mark.parametrize("fields", [["0", "7", "a,b", "\\", "tab\there\n\0\x1a", ""], [""], ["\\,", ",\\"]])
def test_fields_are_read_as_they_were_written(fields):
    assert read_fields(",".join(map(escape, fields))) == fields


def test_memory_does_not_grow_with_the_keys():
    tracemalloc.start()
    with NewestEntries() as entries:
        for number in range(20_000):
            entries.put(f"key {number % 10_000}", number, ["x" * 200])
        assert len(entries) == 10_000
        assert min(version for version, _ in entries) == 10_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000
