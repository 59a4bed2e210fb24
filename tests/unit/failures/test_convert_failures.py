import base64
import io
import json

import pytest

from dynaurora import keys
from dynaurora.dynamodb.changes import Change, encode_change, from_stream_record
from dynaurora.failures.refused_examples import read_refused_again
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.observability import logger
from tests.support.factories import EXPIRED, click_change, click_item, column, make_mapping, stream_record
from tests.support.failed_objects import (
    BACKFILL_KEY,
    BAD,
    FIREHOSE_KEY,
    GOOD,
    IMPORTED,
    MAPPING,
    OVERSIZE_KEY,
    RECORDS,
    UNFORWARDED_KEY,
    batch_of,
    cut_off,
    entry_of,
    failed,
    invocation,
    put,
    read_failed,
    read_rows,
    remake,
    settle,
)
from tests.support.fakes import InMemoryObjects, etag_of


@pytest.mark.parametrize("key", [FIREHOSE_KEY, BACKFILL_KEY, OVERSIZE_KEY], ids=["firehose", "backfill", "oversize"])
def test_records_become_rows_of_their_own_version(key):
    store = InMemoryObjects()
    remade = remake(store, put(store, key, failed()))
    (row,) = read_rows(store, remade)
    assert row[1] == "7"
    batch = batch_of(remade)
    assert (batch.mapping, batch.source, batch.run, batch.rows, batch.rejected) == (MAPPING, "reprocess", "r1", 1, {})
    assert (remade.records, remade.parked, remade.ignored) == (1, 0, 0)
    written = {"remainder": None, "parked": None, "refused": None}
    assert remade.settlements == [{"key": key, "etag": etag_of(failed())} | written]


RAW = base64.b64encode(encode_change(GOOD)).decode()


@pytest.mark.parametrize(
    "envelope",
    [
        {"attemptsMade": 4, "arrivalTimestamp": 1, "attemptEndingTimestamp": 2, "errorCode": "e", "rawData": RAW},
        {"attemptsMade": "4", "arrivalTimestamp": "1", "attemptEndingTimestamp": "2", "errorCode": "e", "rawData": RAW},
        {"AttemptsMade": 4, "ArrivalTimestamp": 1, "ErrorMessage": "e", "RawData": RAW, "LambdaArn": "arn"},
        {"attemptsmade": "4", "rawdata": RAW},
        {"rawData": RAW},
        {"rawData": RAW, "attemptsMade": None, "errorMessage": None, "somethingNew": [1]},
    ],
)
def test_an_envelope_is_read_however_it_is_spelt(envelope):
    store = InMemoryObjects()
    remade = remake(store, put(store, FIREHOSE_KEY, json.dumps(envelope).encode() + b"\n"))
    assert (remade.records, remade.batch["rows"], remade.batch["rejected"]) == (1, 1, {})


def test_records_that_failed_with_their_whole_invocation_are_mapped_one_by_one():
    store = InMemoryObjects()
    lines = [
        failed(click_change(version=n, page_id=f"p{n}"), error_code="Lambda.InvokeAPIAccessDenied") for n in (1, 2)
    ]
    remade = remake(store, put(store, FIREHOSE_KEY, *lines, failed(BAD)))
    assert [row[1] for row in read_rows(store, remade)] == ["1", "2"]
    assert sum(remade.batch["rejected"].values()) == 1


@pytest.mark.parametrize("as_text", [True, False], ids=["payload is text", "payload is an object"])
def test_unforwarded_records_are_mapped_from_the_invocation_itself(as_text):
    store = InMemoryObjects()
    records = [stream_record(), stream_record("REMOVE", click_item(page_id="gone"), "222")]
    remade = remake(store, put(store, UNFORWARDED_KEY, invocation(*records, as_text=as_text)))
    rows = read_rows(store, remade)
    assert [row[0] for row in rows] == ["0", "1"]
    assert [row[1] for row in rows] == [str(from_stream_record(record).version) for record in records]


def test_deletes_by_time_to_live_are_ignored_as_when_they_are_forwarded():
    store = InMemoryObjects()
    expiry = stream_record("REMOVE") | {"userIdentity": EXPIRED}
    source = put(store, UNFORWARDED_KEY, invocation(expiry, stream_record()))
    replicated = remake(store, source)
    assert (replicated.batch["rows"], replicated.ignored) == (2, 0)
    ignoring = remake(store, source, ignore_expiries=True)
    assert (ignoring.records, ignoring.batch["rows"], ignoring.ignored) == (2, 1, 1)


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"{}", b'{"payload": 1}', b'{"payload": "{"}', b'{"payload": {"Records": 1}}', b"\xff"],
)
def test_what_is_no_invocation_is_kept_as_a_record_that_is_refused(body):
    store = InMemoryObjects()
    source = put(store, UNFORWARDED_KEY, body)
    remade = remake(store, source)
    assert (remade.records, remade.batch["rows"], sum(remade.batch["rejected"].values())) == (1, 0, 1)
    settle(store, entry_of(remade, source), imported=IMPORTED)
    (record,) = read_failed(store, keys.unforwarded_records(MAPPING, UNFORWARDED_KEY))
    assert record.data == body


@pytest.mark.parametrize("line", [b"no JSON\n", b"[1]\n", b'{"rawData": "%"}\n', b"\xff\xfe\n", b'{"a": 1}\n'])
def test_a_line_that_is_no_record_is_kept_whole_beside_those_that_are(line):
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, failed(), line, b"\n", failed(click_change(version=9, page_id="p2")))
    remade = remake(store, source)
    assert (remade.records, remade.batch["rows"]) == (3, 2)
    settle(store, entry_of(remade, source), imported=IMPORTED)
    (record,) = read_failed(store, FIREHOSE_KEY)
    assert (record.data, record.reprocessed) == (line.strip(), 1)


def test_the_same_failures_make_the_same_batch_in_every_run():
    store = InMemoryObjects()
    sources = [put(store, FIREHOSE_KEY, failed()), put(store, BACKFILL_KEY, failed(BAD))]
    first, again = (batch_of(remake(store, *sources, run=run)) for run in ("r1", "r2"))
    assert first.id == again.id
    changed = put(store, FIREHOSE_KEY, failed(), failed(click_change(version=9)))
    assert batch_of(remake(store, changed, sources[1])).id != first.id


def test_a_mapping_that_was_mended_takes_what_it_refused():
    buggy, mended = (RowMapper(make_mapping(column("note", kind))) for kind in ("VARCHAR(3)", "VARCHAR(30)"))
    item = {"id": {"S": "a"}, "note": {"S": "too long"}}
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, failed(Change(3, 0, {"id": item["id"]}, item)))
    refused, taken = remake(store, source, mapper=buggy), remake(store, source, mapper=mended)
    assert (refused.batch["rows"], refused.batch["rejected"]) == (0, {"note (length)": 1})
    assert (taken.batch["rows"], taken.batch["rejected"]) == (1, {})
    assert refused.batch["objects"] != taken.batch["objects"]


def test_objects_that_are_gone_or_replaced_are_left_for_the_next_run_and_named_in_the_log(monkeypatch):
    monkeypatch.setattr(logger.registered_handler, "stream", io.StringIO())
    store = InMemoryObjects()
    gone, replaced, there = (put(store, f"{RECORDS}{name}", failed()) for name in ("gone", "replaced", "there"))
    store.delete("landing", gone.key)
    put(store, replaced.key, failed(BAD))
    remade = remake(store, gone, replaced, there)
    assert [settlement["key"] for settlement in remade.settlements] == [there.key]
    assert remade.records == 1
    lines = map(json.loads, logger.registered_handler.stream.getvalue().splitlines())
    assert [(line["message"], line["object"]) for line in lines] == [
        ("A failed object was left out", gone.key),
        ("A failed object was left out", replaced.key),
    ]


def test_what_is_put_aside_is_named_by_the_objects_place_in_its_entry():
    store = InMemoryObjects()
    first, second = (put(store, f"{RECORDS}{name}", failed(BAD)) for name in ("a", "b"))
    (before,) = (entry["remainder"] for entry in remake(store, first, second).settlements[1:])
    store.delete("landing", first.key)
    (after,) = (entry["remainder"] for entry in remake(store, first, second).settlements)
    assert before == after == keys.remainder(MAPPING, "r1", 1, 2)


def test_nothing_is_changed_until_it_is_settled():
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, failed(), failed(BAD))
    before = store.objects["landing", FIREHOSE_KEY]
    remake(store, source)
    assert store.objects["landing", FIREHOSE_KEY] == before


def test_converting_that_is_cut_off_anywhere_makes_the_same_batch():
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, failed(), failed(BAD))
    whole = remake(store, source).batch
    made = []
    list(cut_off(store, lambda objects: made.append(remake(objects, source).batch)))
    assert made
    assert all(batch == whole for batch in made)


def test_a_record_whose_keys_name_another_item_is_refused_again_however_it_is_kept():
    store = InMemoryObjects()
    record = stream_record()
    record["dynamodb"]["Keys"]["page_id"] = {"S": "another"}
    change = Change(7, 0, GOOD.keys | {"page_id": {"S": "another"}}, GOOD.new_image)
    for key, body in ((UNFORWARDED_KEY, invocation(record)), (FIREHOSE_KEY, failed(change))):
        remade = remake(store, put(store, key, body))
        assert remade.batch["rejected"] == {"page_id (key)": 1}
        assert read_rows(store, remade) == []


def test_keys_and_reasons_of_what_is_refused_again_are_kept_for_the_report_and_nothing_else_of_it():
    store = InMemoryObjects()
    remake(store, put(store, FIREHOSE_KEY, failed(BAD), failed(GOOD), failed(b"no change")))
    key = keys.reprocess_refused(MAPPING, "r1", 1)
    assert json.loads(store.read("landing", key)) == {"Keys": BAD.keys, "Reason": "payload (required)"}
    (example,) = read_refused_again(store, "landing", MAPPING, "r1")
    assert example == {"reason": "payload (required)", "keys": [BAD.keys]}


def test_where_nothing_is_refused_again_no_examples_are_kept():
    store = InMemoryObjects()
    remake(store, put(store, FIREHOSE_KEY, failed(GOOD)))
    assert read_refused_again(store, "landing", MAPPING, "r1") == []
