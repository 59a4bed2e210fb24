import json

import pytest

from dynaurora import keys
from dynaurora.dynamodb.changes import encode_change
from dynaurora.dynamodb.packs import decode_pack, encode_pack
from dynaurora.failures.archive_failures import DISCARDED, archive_failures, restore_failures
from dynaurora.failures.list_failures import BATCH, RECORDS, list_failures
from dynaurora.failures.refused_changes import is_settled, keep_refused
from tests.support.factories import stream_record
from tests.support.failed_objects import (
    BACKFILL_KEY,
    BAD,
    FIREHOSE_KEY,
    GOOD,
    MAPPING,
    PLACE,
    UNFORWARDED_KEY,
    failed,
    invocation,
    keys_of,
    put,
    read_failed,
)
from tests.support.fakes import InMemoryObjects


def kept(store):
    return {listed.key: listed for _, listed in list_failures(PLACE, store, prefix=None, parked=True)}


def archived(store):
    return {listed.key: listed for listed in store.list("landing", keys.archived_prefix(MAPPING))}


def archive(store, key, is_meant=lambda _: True, kind=RECORDS):
    return archive_failures(store, "landing", MAPPING, kind, kept(store)[key], DISCARDED, is_meant)


def restore(store, key, is_meant=lambda _: True, kind=RECORDS):
    return restore_failures(store, "landing", MAPPING, kind, archived(store)[key], is_meant)


def is_bad(record):
    return record.data == encode_change(BAD)


def test_one_of_an_objects_records_is_archived_and_brought_back():
    store = InMemoryObjects()
    put(store, BACKFILL_KEY, failed(GOOD), failed(BAD, reprocessed=2))
    assert archive(store, BACKFILL_KEY, is_bad) == 1
    assert [record.data for record in read_failed(store, BACKFILL_KEY)] == [encode_change(GOOD)]
    (key,) = archived(store)
    assert key.startswith(f"archived/mapping={MAPPING}/discarded/{BACKFILL_KEY}.")
    assert restore(store, key) == 1
    assert (archived(store), len(kept(store))) == ({}, 2)  # beside what is there by now
    (back,) = (each for each in kept(store) if each != BACKFILL_KEY)
    (record,) = read_failed(store, back)
    assert (record.data, record.reprocessed) == (encode_change(BAD), 2)


def test_a_whole_object_gets_its_key_back():
    store = InMemoryObjects()
    put(store, keys.parked(MAPPING, FIREHOSE_KEY), failed(BAD))
    before = dict(store.objects)
    assert archive(store, keys.parked(MAPPING, FIREHOSE_KEY)) == 1
    assert kept(store) == {}
    assert restore(store, *archived(store)) == 1
    assert store.objects == before


def test_a_pack_is_taken_apart_where_some_of_its_changes_are_meant():
    store = InMemoryObjects()
    put(store, FIREHOSE_KEY, failed(encode_pack("0" * 64, map(encode_change, (GOOD, BAD)))))
    assert archive(store, FIREHOSE_KEY, is_bad) == 1
    (left,) = read_failed(store, FIREHOSE_KEY)
    assert decode_pack(left.data).changes == (encode_change(GOOD),)


def test_a_discarded_change_of_the_stream_is_not_revived_by_a_repeated_delivery(refused_change):
    store = InMemoryObjects()
    keep_refused(store, "landing", MAPPING, [refused_change])
    key = keys.refused_change(MAPPING, refused_change.id)
    assert archive(store, key) == 1
    assert all(is_settled(MAPPING, listed) for listed in store.list("landing", key))
    keep_refused(store, "landing", MAPPING, [refused_change])
    assert kept(store) == {}
    restore(store, *archived(store))
    assert kept(store).keys() == {key}


@pytest.fixture
def refused_change():
    from dynaurora.failures.failed_records import FailedRecord
    from dynaurora.failures.refused_changes import RefusedChange, refused_id

    data = encode_change(BAD)
    return RefusedChange(refused_id("WebAnalytics", BAD, data), FailedRecord(data, "e", "m", 1, 1, "arn"))


def test_what_was_not_forwarded_leaves_the_others_under_the_failed_prefix():
    store = InMemoryObjects()
    put(store, UNFORWARDED_KEY, invocation(stream_record(), {"eventName": "another"}))
    first = []
    assert archive(store, UNFORWARDED_KEY, lambda record: not first and not first.append(record)) == 1
    (left,) = kept(store)
    assert left == keys.unforwarded_records(MAPPING, UNFORWARDED_KEY)
    assert len(read_failed(store, left)) == 1


def test_a_batch_is_archived_and_brought_back_as_it_was():
    store = InMemoryObjects()
    key = keys.failed_batch(MAPPING, "0f1e")
    put(store, key, json.dumps({"batch": {"mapping": MAPPING}}).encode())
    before = dict(store.objects)
    assert archive(store, key, kind=BATCH) == 1
    assert kept(store) == {}
    assert restore(store, *archived(store), kind=BATCH) == 1
    assert store.objects == before


def test_what_was_replaced_since_it_was_listed_is_left():
    store = InMemoryObjects()
    put(store, FIREHOSE_KEY, failed(BAD))
    listed = kept(store)[FIREHOSE_KEY]
    put(store, FIREHOSE_KEY, failed(GOOD))
    assert archive_failures(store, "landing", MAPPING, RECORDS, listed, DISCARDED, lambda _: True) == 0
    assert keys_of(store) == [FIREHOSE_KEY]
