"""What release 0.1 left on its way and in the bucket is read for good, also beside what is written now."""

import base64
import json

from dynaurora import keys
from dynaurora.batches.batch import Batch
from dynaurora.dynamodb.changes import decode_change, encode_change, from_stream_record
from dynaurora.dynamodb.packs import decode_pack, encode_pack, is_pack
from dynaurora.failures.failed_records import (
    FailedRecord,
    decode_failed_record,
    encode_failed_record,
    read_change,
    split_record,
)
from dynaurora.failures.refused_changes import refused_id
from dynaurora.mappings.csv_format import encode_row, row_label
from tests.recorded import load_recorded, read_recorded
from tests.support.csv_reader import read_line
from tests.support.failed_objects import (
    FIREHOSE_KEY,
    IMPORTED,
    MAPPER,
    MAPPING,
    UNFORWARDED_KEY,
    entry_of,
    keys_of,
    put,
    read_failed,
    read_rows,
    remake,
    settle,
)
from tests.support.fakes import InMemoryObjects, etag_of
from tests.support.transforming import CLICKS, make_transformer, read_refused

CHANGES = read_recorded("changes.jsonl").splitlines()
GOOD, REFUSED = CHANGES[:3], CHANGES[3:]
PROCESSED = read_recorded("processed.csv").splitlines(keepends=True)


def fields_of(row):
    """Return the fields of a row, whichever release has escaped them."""
    return read_line(row)


def test_changes_are_single_ones_without_a_stamp():
    assert [decode_pack(data).changes for data in CHANGES] == [(data,) for data in CHANGES]
    assert not any(map(is_pack, CHANGES))
    assert [encode_change(decode_change(data)) for data in CHANGES] == CHANGES


def test_firehose_gets_the_rows_that_it_got_labelled():
    event, answered = load_recorded("firehose_event.json"), load_recorded("firehose_answer.json")["records"]
    store = InMemoryObjects()
    result = make_transformer(store=store).transform(event["records"])
    label = row_label(CLICKS)
    for record, before in zip(result.records, answered, strict=True):
        assert record["recordId"] == before["recordId"]
        row = base64.b64decode(record["data"])
        if before["result"] == "Ok":
            assert record["result"] == "Ok"
            assert row.startswith(label)
            assert fields_of(row.removeprefix(label)) == fields_of(base64.b64decode(before["data"]))
        else:
            assert (before["result"], record["result"]) == ("ProcessingFailed", "Dropped")
    assert sorted(record.data for record in read_refused(store).values()) == sorted(REFUSED)


def test_rows_are_those_of_the_same_changes_now_and_one_holds_a_raw_0x1a():
    assert [fields_of(row) for row in PROCESSED] == [
        fields_of(encode_row(MAPPER.row(decode_change(data)))) for data in GOOD
    ]
    assert sum(row.count(b"\x1a") for row in PROCESSED) == 1
    assert not any(row.startswith(b"\x1a") for row in PROCESSED)


def test_a_batch_is_described_by_its_objects():
    batch = Batch.from_event(load_recorded("batch.json"))
    (item,) = batch.objects
    body = read_recorded("processed.csv")
    assert (batch.source, batch.rows, item.etag, item.size) == ("stream", None, etag_of(body), len(body))


def test_what_firehose_kept_is_mapped_again_and_what_is_refused_keeps_its_place():
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, read_recorded("processing_failed.jsonl"), read_recorded("reprocessed.jsonl"))
    remade = remake(store, source)
    assert read_rows(store, remade) == [fields_of(row) for row in PROCESSED]
    assert remade.records == 6
    settle(store, entry_of(remade, source), imported=IMPORTED)
    kept = read_failed(store, FIREHOSE_KEY)
    assert [(record.data, record.reprocessed, record.attempts) for record in kept] == [
        (REFUSED[0], 1, 2),
        (REFUSED[1], 1, 2),
        (REFUSED[0], 2, 3),
    ]
    assert kept[0].arrived_at_ms == 1_795_421_680_003


def test_what_the_stream_gave_up_on_is_mapped():
    store = InMemoryObjects()
    source = put(store, UNFORWARDED_KEY, read_recorded("unforwarded.json"))
    remade = remake(store, source)
    assert read_rows(store, remade) == [fields_of(row) for row in PROCESSED]
    settle(store, entry_of(remade, source), imported=IMPORTED)
    kept = read_failed(store, keys.unforwarded_records(MAPPING, UNFORWARDED_KEY))
    assert [encode_change(read_change(record.data)) for record in kept] == REFUSED


def test_a_record_that_cannot_be_forwarded_stays_one():
    record = decode_failed_record(read_recorded("unforwardable.jsonl"))
    assert (record.error_code, split_record(record)) == ("dynaurora.Unforwardable", [record])
    store = InMemoryObjects()
    source = put(store, keys.unforwardable_records(MAPPING, "0f1e"), read_recorded("unforwardable.jsonl"))
    remade = remake(store, source)
    assert (remade.records, remade.batch["rejected"]) == (1, {"record (record)": 1})


def test_an_object_of_single_changes_and_packs_is_read_whole():
    """As Firehose writes one while a release takes over: envelopes of both in one object."""
    old = read_recorded("processing_failed.jsonl")
    pack = encode_pack(CLICKS.digest, (encode_change(from_stream_record(record)) for record in stream_records()))
    new = encode_failed_record(FailedRecord(pack, "Lambda.FunctionError", "It failed.", 4, 1_795_421_700_000, "arn:f"))
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, new, old, new)
    remade = remake(store, source)
    assert read_rows(store, remade) == [fields_of(row) for row in PROCESSED] * 3
    assert remade.records == 5 * 3
    settle(store, entry_of(remade, source), imported=IMPORTED)
    assert [record.data for record in read_failed(store, FIREHOSE_KEY)] == REFUSED
    singles = {keys.refused_change(MAPPING, refused_id(CLICKS.table, decode_change(data), data)) for data in REFUSED}
    assert singles | {FIREHOSE_KEY} < set(keys_of(store))


def stream_records():
    """Return the stream records that everything here was made of."""
    return json.loads(load_recorded("unforwarded.json")["payload"])["Records"]


def test_packs_and_single_changes_are_answered_in_one_invocation():
    event = load_recorded("firehose_event.json")
    pack = encode_pack(CLICKS.digest, GOOD)
    mixed = [event["records"][0], {"recordId": "new", "data": base64.b64encode(pack).decode()}, event["records"][2]]
    result = make_transformer().transform(mixed)
    rows = [line for record in result.records for line in base64.b64decode(record["data"]).splitlines(keepends=True)]
    label = row_label(CLICKS)
    expected = [PROCESSED[0], *PROCESSED, PROCESSED[2]]
    assert [fields_of(row.removeprefix(label)) for row in rows] == [fields_of(row) for row in expected]
