import json

import pytest

from dynaurora.errors import RejectedChange
from dynaurora.failures.failed_records import read_change, read_named
from dynaurora.failures.list_failures import Place
from dynaurora.failures.lost_records import find_lost_records, join_stretches, list_losses
from dynaurora.mappings.readers import Reading, write_filled, write_reading
from tests.support.factories import stream_record
from tests.support.failed_objects import (
    IMPORTED,
    MAPPING,
    OTHER_UNFORWARDED_KEY,
    PLACE,
    RECORDS,
    UNFORWARDED_KEY,
    entry_of,
    failed,
    invocation,
    keys_of,
    put,
    remake,
    settle,
)
from tests.support.fakes import WRITTEN_AT, InMemoryObjects

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/web_analytics/stream/2026-11-01T00:00:00.000"
FIRST, LAST = "2026-11-23T06:00:00.250Z", "2026-11-23T06:04:00.500Z"
STRETCH = (1_795_413_600, 1_795_413_841)


def named(**changed):
    """Return the record of an invocation as a destination is told of it that is no bucket."""
    batch = {
        "shardId": "shardId-1",
        "startSequenceNumber": "800000000003126276362",
        "endSequenceNumber": "800000000003126276399",
        "approximateArrivalOfFirstRecord": FIRST,
        "approximateArrivalOfLastRecord": LAST,
        "batchSize": 3,
        "streamArn": ARN,
    }
    context = {"functionArn": "arn:forward", "condition": "RetryAttemptsExhausted"}
    return json.dumps({"requestContext": context, "DDBStreamBatchInfo": batch | changed}).encode()


def test_records_that_are_only_named_are_lost_from_when_the_first_came_to_when_the_last_did():
    store = InMemoryObjects()
    put(store, UNFORWARDED_KEY, named())
    put(store, OTHER_UNFORWARDED_KEY, invocation(stream_record(), DDBStreamBatchInfo={"streamArn": ARN}))
    put(store, f"{RECORDS}refused/1.json", failed())
    assert list_losses(PLACE, store, STRETCH[1] + 9) == [STRETCH]


def test_they_stay_lost_when_they_are_tried_again_and_parked_until_the_gap_is_filled():
    store = InMemoryObjects()
    for tries in range(1, 4):
        (source,) = (
            [put(store, UNFORWARDED_KEY, named())]
            if tries == 1
            else [put(store, key, store.read("landing", key)) for key in keys_of(store) if RECORDS in key]
        )
        remade = remake(store, source, max_attempts=3)
        assert remade.batch["rejected"] == {"record (lost)": 1}
        settle(store, entry_of(remade, source), imported=IMPORTED, max_attempts=3)
        assert not any(key.startswith("aws/") for key in keys_of(store))
        assert list_losses(PLACE, store, STRETCH[1]) == [STRETCH]
    assert any(key.startswith("parked/") for key in keys_of(store))
    write_filled(store, "landing", MAPPING, (STRETCH[0], STRETCH[1] - 1))
    assert list_losses(PLACE, store, STRETCH[1]) == [STRETCH]
    write_filled(store, "landing", MAPPING, STRETCH)
    assert list_losses(PLACE, store, STRETCH[1]) == []
    assert [lost.stretch for lost in find_lost_records(PLACE, store)] == [STRETCH]


def test_of_other_tables_and_readers_nothing_is_lost():
    store = InMemoryObjects()
    put(store, UNFORWARDED_KEY, named(streamArn=ARN.replace("web_analytics", "orders")))
    assert list_losses(PLACE, store, 0) == []
    put(store, UNFORWARDED_KEY, named())
    assert list_losses(Place("landing", MAPPING, "web_analytics", ("another",)), store, 0) == []


def test_what_the_health_function_noted_comes_first():
    store = InMemoryObjects()
    write_reading(store, "landing", MAPPING, Reading(losses=((10, 20),)))
    put(store, UNFORWARDED_KEY, named())
    assert list_losses(PLACE, store, 30) == [(10, 20), STRETCH]


@pytest.mark.parametrize("times", [{}, {"approximateArrivalOfFirstRecord": "soon"}])
def test_where_it_is_not_said_when_they_came_it_was_the_day_before(times):
    store = InMemoryObjects()
    put(store, UNFORWARDED_KEY, b'{"DDBStreamBatchInfo": %s}' % json.dumps({"streamArn": ARN, **times}).encode())
    written = int(WRITTEN_AT.timestamp())
    assert list_losses(PLACE, store, written) == [(written - 86400, written)]


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"DDBStreamBatchInfo": 1}', b"DDBStreamBatchInfo", b"[" * 10**5])
def test_what_names_no_records_is_not_lost(body):
    assert read_named(body) is None


def test_the_reason_says_how_many_and_when():
    with pytest.raises(RejectedChange) as refused:
        read_change(named(batchSize=True))
    assert "some records" in refused.value.reasons[0].message
    with pytest.raises(RejectedChange) as refused:
        read_change(named())
    (reason,) = refused.value.reasons
    told = "names 3 records of the stream that nobody has kept, of 2026-11-23T06:00:00Z to 2026-11-23T06:04:00Z"
    assert (reason.rule, reason.message) == ("lost", told)


def test_stretches_near_each_other_are_one():
    assert join_stretches([(5000, 5001), (0, 10), (900, 901), (8, 9)]) == [(0, 901), (5000, 5001)]
    assert join_stretches([]) == []
