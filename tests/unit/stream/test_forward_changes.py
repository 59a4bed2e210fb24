import json
from collections import deque
from itertools import pairwise
from unittest.mock import DEFAULT, patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.dynamodb.changes import decode_change, encode_change, from_stream_record
from dynaurora.dynamodb.packs import (
    HEADER_BYTES,
    MAX_CHANGE_BYTES,
    MAX_PACK_BYTES,
    MAX_RECORD_BYTES,
    decode_pack,
    encode_pack,
)
from dynaurora.errors import RejectedChange
from dynaurora.failures.failed_records import decode_failed_record, read_change
from dynaurora.stream.forward_changes import (
    CALL_ATTEMPTS,
    FIRST_CALL_PAUSE_SECONDS,
    LONGEST_CALL_PAUSE_SECONDS,
    MAX_CALL_BYTES,
    MAX_CALL_RECORDS,
    Entry,
    Forwarder,
    backoff,
    split_calls,
    write_json,
)
from tests.support.factories import CREATED_AT, EXPIRED, click_item, stream_record
from tests.support.fakes import THROTTLED, InMemoryObjects, InMemoryStream, Pauses

ITEMS = st.dictionaries(st.text(), st.dictionaries(st.text(), st.lists(st.text()), max_size=3), max_size=3)


DIGEST = "0123456789abcdef" * 4


def make_forwarder(stream, **options):
    defaults = {
        "mapping": "web_analytics",
        "digest": DIGEST,
        "store": InMemoryObjects(),
        "landing_bucket": "landing",
        "ignore_expiries": False,
        "function_arn": "arn:forward",
        "pause": Pauses(),
    }
    return Forwarder(stream=stream, **defaults | options)


def records_of(count):
    return [stream_record(sequence_number=str(10**21 + number)) for number in range(count)]


def data_of(record):
    return encode_change(from_stream_record(record))


def number_of(record):
    return record["dynamodb"]["SequenceNumber"]


def large_record(number, size=MAX_PACK_BYTES):
    """Return a record whose change leaves no room in its pack for another one."""
    return stream_record(item=click_item("x" * size), sequence_number=str(10**21 + number))


def pack_of(*records):
    return encode_pack(DIGEST, map(data_of, records))


def changes_in(packs):
    return [change for data in packs for change in decode_pack(data).changes]


def test_changes_are_sent_in_their_order_in_one_pack_with_the_mappings_digest():
    records, stream = records_of(3), InMemoryStream()
    result = make_forwarder(stream).forward(records)
    assert stream.taken == [pack_of(*records)]
    assert (result.forwarded, result.packs, result.failed) == (3, 1, [])
    assert decode_pack(stream.taken[0]).digest == DIGEST


def test_many_changes_are_sent_in_few_packs_in_their_order():
    records, stream = records_of(500), InMemoryStream()
    result = make_forwarder(stream).forward(records)
    assert changes_in(stream.taken) == [data_of(record) for record in records]
    assert (result.forwarded, result.packs) == (500, len(stream.taken))
    assert all(len(data) <= MAX_PACK_BYTES for data in stream.taken)
    assert len(stream.taken) <= sum(map(len, stream.taken)) // (MAX_PACK_BYTES - 1000) + 1


def kept_in(store):
    """Return the failed records that were set aside, which are in one object."""
    ((key, body),) = store.objects.items()
    assert key[1].startswith("transformation_failed_data_backup/mapping=web_analytics/unforwardable/")
    return [decode_failed_record(line) for line in body.splitlines()]


def test_a_change_that_cannot_be_written_is_set_aside_whole_and_holds_up_no_other():
    attribute = {"S": "x"}
    for _ in range(5000):
        attribute = {"L": [attribute, 1, {}]}
    records = [stream_record(item=click_item() | {"deep": attribute}), *records_of(1)]
    store = InMemoryObjects()
    result = make_forwarder(InMemoryStream(), store=store).forward(records)
    assert (result.forwarded, result.failed, result.unforwardable) == (1, [], 1)
    assert result.unforwardable_reasons == ["item: is nested too deep (depth)."]
    (kept,) = kept_in(store)
    assert (kept.error_code, kept.function_arn) == ("dynaurora.Unforwardable", "arn:forward")
    assert kept.error_message == "item: is nested too deep (depth)."
    assert kept.data.count(b'{"L":[') == 5000
    assert kept.data.endswith(b"}}")
    with pytest.raises(RejectedChange):
        read_change(kept.data)


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(), st.lists, max_leaves=9) | ITEMS)
def test_json_is_written_as_json_writes_it_however_it_is_nested(document):
    with patch("dynaurora.stream.forward_changes.json.dumps", wraps=json.dumps) as dumps:
        dumps.side_effect = [RecursionError, *[DEFAULT] * 1000]
        assert json.loads(write_json(document)) == document


@pytest.mark.parametrize("view", ["KEYS_ONLY", "OLD_IMAGE"])
def test_a_stream_without_new_images_stands_for_none_of_its_records_and_is_told_of(view):
    records = [stream_record(item=click_item(page_id=f"p{number}")) for number in range(3)]
    for record in records:
        del record["dynamodb"]["NewImage"]
        record["dynamodb"]["StreamViewType"] = view
    store = InMemoryObjects()
    result = make_forwarder(InMemoryStream(), store=store).forward([*records, stream_record("REMOVE")])
    assert (result.forwarded, result.failed, result.unforwardable) == (1, [], 3)
    (reason,) = result.unforwardable_reasons
    assert f"view type is {view}" in reason
    assert "start a backfill" in reason
    assert [json.loads(kept.data) for kept in kept_in(store)] == records


def test_no_records_make_no_call():
    stream = InMemoryStream()
    assert make_forwarder(stream).forward([]).forwarded == 0
    assert stream.calls == []


def test_only_the_refused_packs_are_sent_again():
    records = [large_record(number) for number in range(4)]
    packs = [pack_of(record) for record in records]
    pauses = Pauses()
    stream = InMemoryStream(deque([{packs[1], packs[3]}, {packs[3]}]))
    result = make_forwarder(stream, pause=pauses).forward(records)
    assert stream.calls == [packs, [packs[1], packs[3]], [packs[3]]]
    assert (result.forwarded, result.packs, result.failed) == (4, 4, [])
    assert len(pauses.seconds) == 2


def test_all_changes_of_a_pack_that_is_refused_to_the_end_are_named_and_nothing_else():
    first, second = [large_record(1)], [*records_of(3), large_record(4, MAX_PACK_BYTES // 2)]
    third = [large_record(5)]
    pauses = Pauses()
    stream = InMemoryStream(always={pack_of(*second)})
    result = make_forwarder(stream, pause=pauses).forward([*first, *second, *third])
    assert (result.forwarded, result.packs) == (2, 2)
    assert result.failed == [number_of(record) for record in second]
    assert result.reasons == ["Firehose answered ServiceUnavailableException."]
    assert (len(stream.calls), len(pauses.seconds)) == (CALL_ATTEMPTS, CALL_ATTEMPTS - 1)


def test_what_was_not_sent_is_packed_otherwise_when_it_is_delivered_again():
    records = [*records_of(3), large_record(3), *records_of(2)]
    stream = InMemoryStream(always={pack_of(records[3])})
    assert make_forwarder(stream).forward(records).failed == [number_of(records[3])]
    again = InMemoryStream()
    assert make_forwarder(again).forward(records[3:]).failed == []  # Lambda delivers from the first that is named
    assert {*changes_in(stream.taken), *changes_in(again.taken)} == {data_of(record) for record in records}


def test_a_throttled_call_is_made_again_whole():
    records = records_of(2)
    stream = InMemoryStream(deque([THROTTLED]))
    assert make_forwarder(stream).forward(records).forwarded == 2
    assert stream.calls[0] == stream.calls[1]


def test_a_stream_that_stays_throttled_fails_its_batch_and_the_next_is_tried():
    fitting = MAX_CALL_BYTES // Entry((), pack_of(large_record(0))).encoded_bytes
    records = [large_record(number) for number in range(fitting + 1)]
    stream = InMemoryStream(deque([THROTTLED] * CALL_ATTEMPTS))
    result = make_forwarder(stream).forward(records)
    assert result.failed == [number_of(record) for record in records[:fitting]]
    assert changes_in(stream.taken) == [data_of(records[-1])]
    assert len(result.reasons) == 1


@pytest.mark.parametrize("attempt", range(1, 12))
def test_pauses_grow_with_full_jitter_up_to_a_cap(attempt):
    longest = min(LONGEST_CALL_PAUSE_SECONDS, FIRST_CALL_PAUSE_SECONDS * 2**attempt)
    pauses = [backoff(attempt) for _ in range(200)]
    assert all(0 <= pause <= longest for pause in pauses)
    assert max(pauses) > longest / 2 > min(pauses)


def test_a_record_that_is_none_is_set_aside_alone():
    records = records_of(2)
    del records[0]["dynamodb"]["NewImage"]
    stream, store = InMemoryStream(), InMemoryObjects()
    result = make_forwarder(stream, store=store).forward(records)
    assert (result.failed, result.unforwardable) == ([], 1)
    assert stream.taken == [pack_of(records[1])]
    assert [json.loads(kept.data) for kept in kept_in(store)] == [records[0]]


def test_a_record_without_a_number_is_set_aside_too():
    store = InMemoryObjects()
    result = make_forwarder(InMemoryStream(), store=store).forward([{"eventName": "INSERT"}])
    assert (result.failed, result.unforwardable, len(kept_in(store))) == ([], 1, 1)


def test_what_is_delivered_again_is_set_aside_once():
    store = InMemoryObjects()
    records = [{"eventName": "INSERT"}, stream_record(), {"eventName": "MODIFY"}]
    for _ in range(2):
        make_forwarder(InMemoryStream(), store=store).forward(records)
    assert len(kept_in(store)) == 2


def stamped(second, number, page_id="home", name="MODIFY"):
    return stream_record(name, click_item(page_id=page_id), str(10**21 + number), CREATED_AT + second)


@pytest.mark.parametrize(
    ("records", "reversed_numbers"),
    [
        pytest.param([stamped(5, 1), stamped(5, 2), stamped(6, 3)], [], id="forward"),
        pytest.param([stamped(5, 1), stamped(4, 2)], [2], id="back"),
        pytest.param([stamped(5, 1), stamped(4, 2, name="REMOVE")], [2], id="a delete that goes back"),
        pytest.param([stamped(5.9, 1), stamped(5.1, 2)], [], id="within the second, which a version begins with"),
        pytest.param([stamped(5, 1), stamped(4, 2, "other")], [], id="another item"),
        pytest.param([stamped(5, 1), stamped(4, 2), stamped(4, 3), stamped(5, 4)], [2, 3], id="until it has caught up"),
        pytest.param([stamped(4, 1), stamped(5, 2), stamped(4, 1)], [], id="delivered again"),
    ],
)
def test_a_stamp_that_goes_back_is_noticed_and_its_change_forwarded_all_the_same(records, reversed_numbers):
    result = make_forwarder(InMemoryStream()).forward(records)
    assert result.reversed_stamps == [str(10**21 + number) for number in reversed_numbers]
    assert (result.forwarded, result.failed) == (len(records), [])


@pytest.mark.parametrize(("ignore", "sent", "ignored"), [(False, 2, 0), (True, 1, 1)], ids=["replicate", "ignore"])
def test_expiries_are_replicated_or_ignored(ignore, sent, ignored):
    deleted = stream_record("REMOVE")
    stream = InMemoryStream()
    result = make_forwarder(stream, ignore_expiries=ignore).forward([deleted, deleted | {"userIdentity": EXPIRED}])
    assert (len(changes_in(stream.taken)), result.forwarded, result.expiries_ignored) == (sent, sent, ignored)


def oversize(letter, spare):
    """Return a record whose change, in its pack, has `spare` bytes fewer than Firehose takes, in letters of UTF-8."""
    item = click_item("")
    empty = HEADER_BYTES + 1 + len(data_of(stream_record(item=item)))
    letters, rest = divmod(MAX_RECORD_BYTES - empty - spare, len(letter.encode()))
    return stream_record(item=click_item(letter * letters + "x" * rest))


@pytest.mark.parametrize("letter", ["x", "😀"])
def test_a_change_that_just_fits_is_sent(letter):
    record, stream, store = oversize(letter, 0), InMemoryStream(), InMemoryObjects()
    assert make_forwarder(stream, store=store).forward([record]).forwarded == 1
    assert len(stream.taken[0]) == MAX_RECORD_BYTES
    assert store.objects == {}


@pytest.mark.parametrize("letter", ["x", "😀"])
def test_a_change_too_large_for_firehose_is_kept_whole_under_the_failed_prefix(letter):
    record, stream, store = oversize(letter, -1), InMemoryStream(), InMemoryObjects()
    result = make_forwarder(stream, store=store).forward([record])
    assert (result.oversize, result.forwarded, result.failed, stream.calls) == (1, 0, [], [])
    key = f"transformation_failed_data_backup/mapping=web_analytics/oversize/{number_of(record)}.json"
    kept = decode_failed_record(store.objects["landing", key])
    assert decode_change(kept.data) == from_stream_record(record)
    assert kept.error_code == "dynaurora.RecordTooLarge"
    assert kept.error_message == f"The change has {MAX_CHANGE_BYTES + 1} bytes, and Firehose takes {MAX_CHANGE_BYTES}"
    assert kept.function_arn == "arn:forward"


SIZES = st.lists(st.integers(0, MAX_RECORD_BYTES), max_size=30) | st.lists(st.just(10), min_size=490, max_size=1100)


@given(SIZES)
def test_calls_keep_order_and_limits(sizes):
    blob = bytes(MAX_RECORD_BYTES)
    entries = [Entry((str(number),), memoryview(blob)[:size]) for number, size in enumerate(sizes)]
    batches = list(split_calls(entries))
    assert [entry for batch in batches for entry in batch] == entries
    assert all(batch for batch in batches)
    assert all(len(batch) <= MAX_CALL_RECORDS for batch in batches)
    assert all(sum(entry.encoded_bytes for entry in batch) <= MAX_CALL_BYTES for batch in batches)


@given(SIZES)
def test_no_call_is_made_too_many(sizes):
    blob = bytes(MAX_RECORD_BYTES)
    batches = list(split_calls(Entry(("1",), memoryview(blob)[:size]) for size in sizes))
    for batch, following in pairwise(batches):
        size = sum(entry.encoded_bytes for entry in batch) + following[0].encoded_bytes
        assert len(batch) == MAX_CALL_RECORDS or size > MAX_CALL_BYTES


def test_an_entrys_size_is_that_of_its_base64():
    assert Entry(("1",), b"x" * 3000).encoded_bytes >= 4000 + len('{"Data":""},')


def test_a_batch_stays_well_under_four_mebibytes():
    assert MAX_CALL_BYTES <= 4 * 1024 * 1024 // 2
