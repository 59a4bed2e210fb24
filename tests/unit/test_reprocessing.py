"""Failures taken up again: listed, mapped, settled, whatever wrote them and wherever the work was cut off."""

import base64
import copy
import dataclasses
import json
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import pytest

from dynaurora import failed_records, keys, reprocessing
from dynaurora.batches import Batch, BatchObject
from dynaurora.changes import Change, encode_change, from_stream_record
from dynaurora.errors import InvalidRunError, ThrottledError
from dynaurora.failed_batches import record_failed_batch
from dynaurora.failed_records import FailedRecord, decode_failed_record, encode_failed_record
from dynaurora.mapping import load_mapping
from dynaurora.notices import Notices
from dynaurora.reprocessing import Place, Remaker, Settler, Source, is_anything_failed, list_failures, plan_reprocess
from dynaurora.rows import RowMapper
from tests.unit.csv_reader import read_line
from tests.unit.factories import EXPIRED, click_change, click_item, column, make_mapping, stream_record
from tests.unit.failure_factories import CONVERSION
from tests.unit.fakes import WRITTEN_AT, InMemoryObjects, etag_of

MAPPING = "web_analytics"
PLACE = Place("landing", MAPPING, "web_analytics")
MAPPER = RowMapper(load_mapping(MAPPING))
RECORDS = keys.failed_records_prefix(MAPPING)
FIREHOSE_KEY = f"{RECORDS}processing-failed/2026/11/23/08/changes-1"
BACKFILL_KEY = keys.backfill_rejects(MAPPING, "r0", 1)
OVERSIZE_KEY = keys.oversize_record(MAPPING, "111")
UNFORWARDED_KEY = "aws/lambda/14e0db71/shardId-1/2026/11/23/2026-11-23T08.15.00-0f1e"
OTHER_UNFORWARDED_KEY = "aws/lambda/e71b2d9c/shardId-1/2026/10/02/2026-10-02T11.40.00-2c77"
"""Of the event source mapping that read the stream before it was switched off and on."""
ARN = "arn:aws:lambda:us-east-1:123456789012:function:dynaurora-convert-failures"
GOOD = click_change(version=7)
BAD = click_change({"Hits": "many"}, version=8, page_id="bad")


def failed(change=GOOD, **changed):
    """Return the failed record of a change, as its line."""
    data = change if isinstance(change, bytes) else encode_change(change)
    record = FailedRecord(data, "Lambda.FunctionError", "It failed.", 1, 1_700_000_000_000, "arn:transform")
    return encode_failed_record(dataclasses.replace(record, **changed))


def invocation(*records, as_text=True, **changed):
    """Return the record of an invocation that the event source mapping gave up on."""
    payload = {"Records": list(records)}
    context = {"requestContext": {"functionArn": "arn:forward", "condition": "RetryAttemptsExhausted"}}
    return json.dumps(context | {"payload": json.dumps(payload) if as_text else payload} | changed).encode()


def put(store, key, *lines):
    body = b"".join(lines)
    store.write("landing", key, body)
    return Source(key, etag_of(body), len(body))


def remake(store, *sources, run="r1", max_attempts=5, ignore_expiries=False, mapper=MAPPER):
    remaker = Remaker(mapper, store, "landing", run, max_attempts, ignore_expiries, ARN)
    return remaker.remake(1, list(sources))


def batch_of(remade):
    """The batch, as the importer reads it."""
    return Batch.from_event({"batch": json.loads(json.dumps(remade.batch))})


def entry_of(remade, *sources):
    return {
        "number": 1,
        "kind": "records",
        "objects": list(map(dataclasses.asdict, sources)),
        **dataclasses.asdict(remade),
    }


IMPORTED = {"batch_id": "0f1e", "status": "applied", "rows_staged": 1, "rows_changed": 1}


def settle(store, entry, claimant="r1-1", **ending):
    notices = Notices(store, "landing", MAPPING, 3600)
    return Settler(store, "landing", 5, notices, claimant).settle({**entry, **ending})


def read_rows(store, remade):
    """The rows of a batch, as values of their columns."""
    (item,) = remade.batch["objects"]
    lines = store.read("landing", item["key"]).splitlines()
    return [read_line(line + b"\n") for line in lines]


def read_failed(store, key):
    return [decode_failed_record(line) for line in store.read("landing", key).splitlines()]


def keys_of(store):
    return sorted(key for _, key in store.objects)


# Listing


def test_everything_that_is_kept_as_failed_is_taken_up():
    store = InMemoryObjects()
    for key in (FIREHOSE_KEY, BACKFILL_KEY, OVERSIZE_KEY):
        put(store, key, failed())
    put(store, UNFORWARDED_KEY, invocation(stream_record()))
    put(store, keys.failed_batch(MAPPING, "0f1e"), json.dumps({"batch": {"mapping": MAPPING}}).encode())
    put(
        store,
        keys.failed_batch(MAPPING, "r0-000001"),
        json.dumps({"batch": None, "conversion": CONVERSION}).encode(),
    )
    put(store, OTHER_UNFORWARDED_KEY, invocation(stream_record()))
    put(store, keys.parked(MAPPING, FIREHOSE_KEY), failed())
    put(store, "processed/mapping=web_analytics/1", b"a batch")
    records, *batches = sorted(
        plan_reprocess(PLACE, store, prefix=None, parked=False), key=lambda entry: entry["kind"], reverse=True
    )
    kept = {FIREHOSE_KEY, BACKFILL_KEY, OVERSIZE_KEY, UNFORWARDED_KEY, OTHER_UNFORWARDED_KEY}
    assert {item["key"] for item in records["objects"]} == kept
    assert {entry["kind"]: entry.get("batch") or entry["conversion"] for entry in batches} == {
        "batch": {"mapping": MAPPING},
        "conversion": CONVERSION,
    }
    assert sorted(entry["number"] for entry in (records, *batches)) == [1, 2, 3]


def of_table(table, *records):
    """The record of an invocation, as it is of a table's stream."""
    stream = f"arn:aws:dynamodb:us-east-1:123456789012:table/{table}/stream/2026-11-23T08:15:00.000"
    return json.dumps(json.loads(invocation(*records)) | {"DDBStreamBatchInfo": {"streamArn": stream}}).encode()


def test_stream_records_of_other_stacks_tables_are_left_to_them():
    store = InMemoryObjects()
    own = [f"aws/lambda/{name}/shardId-1/2026/11/23/{number}" for name in ("mine", "mine-before") for number in (1, 2)]
    others = [f"aws/lambda/others/shardId-1/2026/11/23/{number}" for number in (1, 2)]
    unknown = ["aws/lambda/who/shardId-1/1", "aws/lambda/stray"]
    for key in own:
        put(store, key, of_table("web_analytics", stream_record()))
    for key in others:
        put(store, key, of_table("orders", stream_record()))
    for key in unknown:
        put(store, key, b"no invocation")
    reads = []
    store.read = lambda bucket, key, read=store.read: reads.append(key) or read(bucket, key)
    assert list_keys(store) == {*own, *unknown}
    assert sorted(reads) == sorted([own[0], own[2], others[0], *unknown]), "one of each is enough"
    assert list_keys(store, prefix=others[0]) == set()


def list_keys(store, **options):
    return {listed.key for _, listed in list_failures(PLACE, store, **{"prefix": None, "parked": False} | options)}


def test_what_is_parked_is_taken_up_on_request_only():
    store = InMemoryObjects()
    parked = {keys.parked(MAPPING, FIREHOSE_KEY), keys.parked(MAPPING, keys.failed_batch(MAPPING, "0f1e"))}
    for key in (*parked, FIREHOSE_KEY):
        put(store, key, b"{}\n")
    assert list_keys(store) == {FIREHOSE_KEY}
    assert list_keys(store, parked=True) == {FIREHOSE_KEY, *parked}
    assert list_keys(store, prefix=keys.parked_prefix(MAPPING)) == parked


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        (f"{RECORDS}processing-failed/", {FIREHOSE_KEY}),
        (FIREHOSE_KEY, {FIREHOSE_KEY}),
        ("aws/", {UNFORWARDED_KEY}),
        ("failed_batches/", set()),
    ],
)
def test_a_prefix_bounds_what_is_taken_up(prefix, found):
    store = InMemoryObjects()
    for key in (FIREHOSE_KEY, OVERSIZE_KEY, UNFORWARDED_KEY):
        put(store, key, b"{}\n")
    assert list_keys(store, prefix=prefix) == found


def test_a_prefix_of_something_else_is_refused():
    with pytest.raises(InvalidRunError, match="No failures can be under 'reports/'"):
        list_keys(InMemoryObjects(), prefix="reports/")


# Batches that no import was started for

NOW = WRITTEN_AT + timedelta(hours=2)
"""When it is looked for them; the objects of these tests were written at WRITTEN_AT."""
LANDED_KEY = keys.processed_prefix(MAPPING) + "2026/11/23/08/changes-1"
YESTERDAYS_KEY = keys.processed_prefix(MAPPING) + "2026/11/22/23/changes-2"


@pytest.fixture
def at(monkeypatch):
    """Set the time."""

    def set_time(time):
        monkeypatch.setattr(reprocessing, "datetime", SimpleNamespace(now=lambda _: time))

    set_time(NOW)
    return set_time


@pytest.mark.parametrize(
    ("key", "anything"),
    [
        (FIREHOSE_KEY, True),
        (UNFORWARDED_KEY, True),
        (keys.failed_batch(MAPPING, "0f1e"), True),
        (LANDED_KEY, True),
        (keys.parked(MAPPING, FIREHOSE_KEY), False),
        (keys.processed_prefix("another") + "2026/11/23/08/changes-1", False),
        (None, False),
    ],
)
def test_a_look_sees_whatever_a_run_would_take_up(at, key, anything):
    store = InMemoryObjects()
    if key is not None:
        put(store, key, b"{}\n")
    assert is_anything_failed(PLACE, store) is anything
    assert bool(list(plan_reprocess(PLACE, store, prefix=None, parked=False))) is anything


def list_unstarted(store, prefix=None):
    return [listed.key for listed in reprocessing.list_unstarted(PLACE, store, prefix)]


def test_a_batch_that_was_neither_imported_nor_failed_is_imported(at):
    store = InMemoryObjects()
    source = put(store, LANDED_KEY, b"row\n")
    (entry,) = plan_reprocess(PLACE, store, prefix=None, parked=False)
    assert (entry["kind"], entry["objects"]) == ("unstarted", [dataclasses.asdict(source)])
    batch = Batch.from_event(json.loads(json.dumps(entry)))
    item = BatchObject("landing", LANDED_KEY, source.etag, source.size)
    assert batch == Batch(MAPPING, "stream", None, None, (item,)), "the ledger knows it by the same id"
    assert settle(store, entry, imported=IMPORTED)["batches_imported"] == 1
    assert settle(store, entry, error=FAILED)["batches_failed"] == 1
    assert keys_of(store) == [LANDED_KEY]


def test_a_batch_that_is_imported_or_kept_as_failed_is_not_started(at):
    store = InMemoryObjects()
    for number, park in enumerate((False, True)):
        source = put(store, f"{LANDED_KEY}-{number}", b"row\n")
        batch = Batch(MAPPING, "stream", None, None, (BatchObject("landing", source.key, source.etag, source.size),))
        failed_key = keys.failed_batch(MAPPING, batch.id)
        put(store, keys.parked(MAPPING, failed_key) if park else failed_key, b"{}")
    put(store, LANDED_KEY, b"row\n")
    store.tag("landing", LANDED_KEY, {"dynaurora": "imported", "of": "somebody"})
    assert list_unstarted(store) == []


def test_a_batch_is_not_started_while_its_event_may_still_come(at):
    store = InMemoryObjects()
    put(store, LANDED_KEY, b"row\n")
    at(WRITTEN_AT + reprocessing.OVERDUE)
    assert list_unstarted(store) == []
    assert list_unstarted(store, keys.processed_prefix(MAPPING)) == [LANDED_KEY], "unless that is asked for"


def test_it_is_looked_for_old_ones_on_request_only(at, monkeypatch):
    store = InMemoryObjects()
    put(store, YESTERDAYS_KEY, b"row\n")
    put(store, LANDED_KEY, b"row\n")
    assert list_unstarted(store) == [YESTERDAYS_KEY, LANDED_KEY]
    at(NOW + timedelta(days=3))
    assert list_unstarted(store) == [LANDED_KEY]
    assert list_unstarted(store, keys.processed_prefix(MAPPING)) == [YESTERDAYS_KEY, LANDED_KEY]
    at(NOW)
    monkeypatch.setattr(reprocessing, "MOST_LOOKED_AT", 1)
    assert list_unstarted(store) == [LANDED_KEY]


@pytest.mark.parametrize("prefix", [LANDED_KEY, "processed/mapping=web_analytics/2026", "processed/", "p"])
def test_a_prefix_of_batches_takes_up_the_unstarted_ones(at, prefix):
    store = InMemoryObjects()
    put(store, LANDED_KEY, b"row\n")
    assert list_keys(store, prefix=prefix) == {LANDED_KEY}


def test_a_batch_that_is_gone_is_not_started(at):
    store = InMemoryObjects()
    put(store, LANDED_KEY, b"row\n")
    listed = list(store.list("landing", LANDED_KEY))
    store.list = lambda _, prefix, **__: listed if prefix == LANDED_KEY else []
    store.delete("landing", LANDED_KEY)
    assert list_unstarted(store, LANDED_KEY) == []


# Entries


def test_entries_are_bounded_by_objects_and_bytes(monkeypatch):
    store = InMemoryObjects()
    for number in range(7):
        put(store, f"{RECORDS}{number}", b"1234567890")
    monkeypatch.setattr(reprocessing, "MAX_ENTRY_OBJECTS", 3)
    assert [len(entry["objects"]) for entry in plan_reprocess(PLACE, store, prefix=None, parked=False)] == [3, 3, 1]
    monkeypatch.setattr(reprocessing, "MAX_ENTRY_BYTES", 20)
    assert [len(entry["objects"]) for entry in plan_reprocess(PLACE, store, prefix=None, parked=False)] == [2, 2, 2, 1]


def test_a_failed_batch_that_is_gone_since_it_was_listed_is_passed_over():
    @dataclass
    class Forgetful(InMemoryObjects):
        def read(self, bucket, key):
            self.objects.pop((bucket, key), None)
            return super().read(bucket, key)

    store = Forgetful()
    store.write("landing", keys.failed_batch(MAPPING, "0f1e"), b"{}")
    assert list(plan_reprocess(PLACE, store, prefix=None, parked=False)) == []


# Converting: whatever wrote the object


@pytest.mark.parametrize("key", [FIREHOSE_KEY, BACKFILL_KEY, OVERSIZE_KEY], ids=["firehose", "backfill", "oversize"])
def test_records_become_rows_of_their_own_version(key):
    store = InMemoryObjects()
    remade = remake(store, put(store, key, failed()))
    (row,) = read_rows(store, remade)
    assert row[1] == "7"
    batch = batch_of(remade)
    assert (batch.mapping, batch.source, batch.run, batch.rows, batch.rejected) == (MAPPING, "reprocess", "r1", 1, {})
    assert (remade.records, remade.parked, remade.ignored) == (1, 0, 0)
    assert remade.settlements == [{"key": key, "etag": etag_of(failed()), "remainder": None, "parked": None}]


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


def test_objects_that_are_gone_or_replaced_are_left_for_the_next_run():
    store = InMemoryObjects()
    gone, replaced, there = (put(store, f"{RECORDS}{name}", failed()) for name in ("gone", "replaced", "there"))
    store.delete("landing", gone.key)
    put(store, replaced.key, failed(BAD))
    remade = remake(store, gone, replaced, there)
    assert [settlement["key"] for settlement in remade.settlements] == [there.key]
    assert remade.records == 1


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


# Settling records


def test_an_object_whose_records_are_all_in_aurora_goes():
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, failed())
    settled = settle(store, entry_of(remake(store, source), source), imported=IMPORTED)
    assert ("landing", FIREHOSE_KEY) not in store.objects
    assert settled == {
        "kind": "records",
        "records": 1,
        "rows": 1,
        "rows_changed": 1,
        "rejected": {},
        "records_parked": 0,
        "batches_imported": 0,
        "batches_failed": 0,
        "batches_parked": 0,
        "notice": None,
    }


def test_what_is_refused_again_takes_the_objects_place_with_todays_reason():
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, failed(), failed(BAD, attempts=4, reprocessed=2))
    remade = remake(store, source)
    settle(store, entry_of(remade, source), imported=IMPORTED)
    (record,) = read_failed(store, FIREHOSE_KEY)
    assert record.data == encode_change(BAD)
    assert (record.attempts, record.reprocessed, record.error_code) == (5, 3, "dynaurora.Rejected")
    assert "payload.Hits" in record.error_message
    assert record.arrived_at_ms == 1_700_000_000_000 < record.failed_at_ms
    assert record.function_arn == ARN


def test_what_was_refused_of_an_invocation_goes_to_the_mappings_own_prefix():
    store = InMemoryObjects()
    source = put(
        store, UNFORWARDED_KEY, invocation(stream_record(), stream_record(item=click_item({"Hits": 1}, "bad")))
    )
    settle(store, entry_of(remake(store, source), source), imported=IMPORTED)
    assert ("landing", UNFORWARDED_KEY) not in store.objects
    (record,) = read_failed(store, keys.unforwarded_records(MAPPING, UNFORWARDED_KEY))
    assert (record.function_arn, record.reprocessed) == (ARN, 1)
    again = remake(store, put(store, FIREHOSE_KEY, encode_failed_record(record)))
    assert sum(again.batch["rejected"].values()) == 1


def test_a_record_is_parked_after_as_many_attempts_as_are_allowed():
    store = InMemoryObjects()
    put(store, FIREHOSE_KEY, failed(BAD))
    for failures in range(2, 6):  # the first one brought it here
        source = Source(FIREHOSE_KEY, store.tail("landing", FIREHOSE_KEY).etag, 1)
        settled = settle(store, entry_of(remake(store, source), source), imported=IMPORTED)
        assert settled["records_parked"] == (failures == 5)
    assert ("landing", FIREHOSE_KEY) not in store.objects
    (key,) = (key for key in keys_of(store) if key.startswith("parked/"))
    assert key.startswith(f"{keys.parked(MAPPING, FIREHOSE_KEY)}.")
    (record,) = read_failed(store, key)
    assert (record.failures, record.data) == (5, encode_change(BAD))
    assert settled["notice"]["subject"] == "dynaurora: 1 records parked"
    assert "dynaurora reprocess start web_analytics --include-parked" in settled["notice"]["message"]
    assert "Reason: payload (required)\n" in settled["notice"]["message"]
    assert settled["notice"]["message"].endswith("Runbook: docs/runbooks/failed-records.md")


def test_some_are_parked_and_some_kept():
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, failed(), failed(BAD, reprocessed=3), failed(BAD, reprocessed=1))
    settled = settle(store, entry_of(remake(store, source), source), imported=IMPORTED)
    (kept,) = read_failed(store, FIREHOSE_KEY)
    assert (kept.reprocessed, settled["records_parked"]) == (2, 1)


def test_what_is_parked_stays_parked_if_it_is_refused_on_request_and_goes_if_not():
    store, key = InMemoryObjects(), keys.parked(MAPPING, FIREHOSE_KEY)
    source = put(store, key, failed(), failed(BAD, reprocessed=7))
    settled = settle(store, entry_of(remake(store, source), source), imported=IMPORTED)
    (record,) = read_failed(store, key)
    assert (record.reprocessed, settled["records_parked"], settled["notice"]) == (8, 0, None)
    source = put(store, key, failed())
    settle(store, entry_of(remake(store, source), source), imported=IMPORTED)
    assert ("landing", key) not in store.objects


def test_people_are_told_of_parked_records_once_in_an_interval():
    store = InMemoryObjects()
    told = []
    for number in range(3):
        source = put(store, FIREHOSE_KEY, failed(BAD, reprocessed=3))
        settled = settle(store, entry_of(remake(store, source), source), f"r1-{number}", imported=IMPORTED)
        told.append(settled["notice"] is not None)
    assert told == [True, False, False]


def test_who_settles_again_tells_people_again_because_the_answer_was_lost():
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, failed(BAD, reprocessed=3))
    entry = entry_of(remake(store, source), source)
    first, again = (settle(store, entry, imported=IMPORTED) for _ in range(2))
    assert first == again


REFUSED_BY_AURORA = {
    "Error": "States.TaskFailed",
    "Cause": json.dumps({"Status": "FAILED", "Error": "TargetMismatchError", "Cause": "It has another column."}),
}


def test_a_failed_import_is_one_more_attempt_on_every_record():
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, failed(), failed(BAD), failed(click_change(version=9)))
    settled = settle(store, entry_of(remake(store, source), source), error=REFUSED_BY_AURORA)
    refused, *mapped = read_failed(store, FIREHOSE_KEY)
    assert (refused.data, refused.error_code, refused.reprocessed) == (encode_change(BAD), "dynaurora.Rejected", 1)
    assert [record.data for record in mapped] == [encode_change(GOOD), encode_change(click_change(version=9))]
    for record in mapped:
        assert (record.error_code, record.error_message) == ("Import.TargetMismatchError", "It has another column.")
        assert (record.attempts, record.reprocessed, record.function_arn) == (2, 1, "arn:transform")
        assert record.arrived_at_ms == 1_700_000_000_000 < record.failed_at_ms
    assert (settled["batches_failed"], settled["records_parked"], settled["rows"]) == (1, 0, 0)


def test_records_whose_import_fails_too_often_are_parked():
    store = InMemoryObjects()
    put(store, FIREHOSE_KEY, failed())
    for failures in range(2, 6):
        source = Source(FIREHOSE_KEY, store.tail("landing", FIREHOSE_KEY).etag, 1)
        settled = settle(store, entry_of(remake(store, source), source), error=REFUSED_BY_AURORA)
        assert settled["records_parked"] == (failures == 5)
    (key,) = (key for key in keys_of(store) if not key.startswith(("batches/", "notices/")))
    assert key.startswith(f"{keys.parked(MAPPING, FIREHOSE_KEY)}.")
    assert settled["notice"]["subject"] == "dynaurora: 1 records parked"
    assert "Reason: TargetMismatchError: It has another column.\n" in settled["notice"]["message"]
    source = Source(key, store.tail("landing", key).etag, 1)
    settled = settle(store, entry_of(remake(store, source), source), error=REFUSED_BY_AURORA)
    (record,) = read_failed(store, key)
    assert (record.failures, settled["records_parked"], settled["notice"]) == (6, 0, None)


def test_unforwarded_records_whose_import_failed_go_to_the_mappings_own_prefix():
    store = InMemoryObjects()
    source = put(store, UNFORWARDED_KEY, invocation(stream_record(), stream_record("REMOVE", sequence_number="222")))
    settle(store, entry_of(remake(store, source), source), error=REFUSED_BY_AURORA)
    assert ("landing", UNFORWARDED_KEY) not in store.objects
    place = keys.unforwarded_records(MAPPING, UNFORWARDED_KEY)
    assert [record.reprocessed for record in read_failed(store, place)] == [1, 1]
    again = remake(store, Source(place, store.tail("landing", place).etag, 1))
    assert [row[0] for row in read_rows(store, again)] == ["0", "1"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"Error": "States.Timeout"}, "Import.States.Timeout"),
        (
            {"Error": "StepFunctions.ExecutionLimitExceeded", "Cause": "Later."},
            "Import.StepFunctions.ExecutionLimitExceeded",
        ),
        ({"Error": "States.TaskFailed", "Cause": "{"}, "Import.States.TaskFailed"),
        ({"Error": "States.TaskFailed", "Cause": '{"Status": "ABORTED"}'}, "Import.States.TaskFailed"),
        ({"Error": "States.TaskFailed", "Cause": "[]"}, "Import.States.TaskFailed"),
        (None, "Import.Unknown"),
    ],
)
def test_an_import_that_failed_in_any_way_is_named(error, code):
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, failed())
    settle(store, entry_of(remake(store, source), source), error=error)
    (record,) = read_failed(store, FIREHOSE_KEY)
    assert record.error_code == code


def test_an_object_that_was_replaced_meanwhile_is_left_alone():
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, failed(), failed(BAD))
    entry = entry_of(remake(store, source), source)
    put(store, FIREHOSE_KEY, failed(GOOD))
    settle(store, entry, imported=IMPORTED)
    assert store.read("landing", FIREHOSE_KEY) == failed(GOOD)


def test_records_that_are_in_aurora_end_the_failure_of_their_batch():
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, failed())
    remade = remake(store, source)
    batch_id = batch_of(remade).id
    failed_key = keys.failed_batch(MAPPING, batch_id)
    put(store, failed_key, b"{}")
    put(store, keys.parked(MAPPING, failed_key), b"{}")
    settle(store, entry_of(remade, source), imported={**IMPORTED, "batch_id": batch_id})
    assert [key for key in keys_of(store) if batch_id in key] == []


def test_a_failed_batch_of_records_is_forgotten_and_its_records_are_mapped_anew():
    """It may be of an older mapping's making, with the versions that the rows of today's have."""
    store = InMemoryObjects()
    put(store, FIREHOSE_KEY, failed())
    batch = remake(store, Source(FIREHOSE_KEY, etag_of(failed()), 1)).batch
    source = failed_batch(store, batch)
    superseded, records = plan_reprocess(PLACE, store, prefix=None, parked=False)
    assert superseded == {"number": 1, "kind": "superseded", "objects": [dataclasses.asdict(source) | {"size": ANY}]}
    assert [item["key"] for item in records["objects"]] == [FIREHOSE_KEY]
    settled = settle(store, superseded)
    assert (settled["batches_failed"], settled["batches_imported"], settled["notice"]) == (0, 0, None)
    assert ("landing", source.key) not in store.objects
    settle(store, superseded)


def test_a_batch_of_records_that_has_failed_once_more_meanwhile_is_kept():
    store = InMemoryObjects()
    put(store, FIREHOSE_KEY, failed())
    batch = remake(store, Source(FIREHOSE_KEY, etag_of(failed()), 1)).batch
    source = failed_batch(store, batch)
    superseded, _ = plan_reprocess(PLACE, store, prefix=None, parked=False)
    failed_batch(store, batch, execution="arn:e-2")
    settle(store, superseded)
    assert json.loads(store.read("landing", source.key))["attempts"] == 2


# Cut off between any two steps


@dataclass
class Dying(InMemoryObjects):
    """Objects of a function that dies after so many changes."""

    left: int = 0

    def _die(self):
        if self.left == 0:
            raise ThrottledError("It died.")
        self.left -= 1

    def write(self, bucket, key, body):
        self._die()
        return super().write(bucket, key, body)

    def delete(self, bucket, key):
        self._die()
        super().delete(bucket, key)


def cut_off(store, work):
    """Yield the objects as `work` leaves them where it dies before any of its changes and is done again."""
    for left in range(20):
        dying = Dying(dict(store.objects), left=left)
        try:
            work(dying)
        except ThrottledError:
            done_again = InMemoryObjects(dict(dying.objects))
            work(done_again)
            yield done_again.objects
        else:
            return
    raise AssertionError("It makes more changes than this test foresees.")


def without_notices(objects):
    return {key: body for (_, key), body in objects.items() if not key.startswith(keys.NOTICES)}


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param({FIREHOSE_KEY: [failed()]}, id="all taken"),
        pytest.param({FIREHOSE_KEY: [failed(), failed(BAD)]}, id="some refused"),
        pytest.param({FIREHOSE_KEY: [failed(BAD, reprocessed=3), failed(BAD)]}, id="some parked"),
        pytest.param({FIREHOSE_KEY: [failed(BAD, reprocessed=3)]}, id="all parked"),
        pytest.param({UNFORWARDED_KEY: [invocation(stream_record(), {"dynamodb": 1})]}, id="unforwarded"),
        pytest.param({FIREHOSE_KEY: [failed(BAD)], BACKFILL_KEY: [failed()]}, id="two objects"),
    ],
)
@pytest.mark.parametrize("ending", [{"imported": IMPORTED}, {"error": REFUSED_BY_AURORA}], ids=["imported", "failed"])
def test_settling_that_is_cut_off_anywhere_ends_the_same(setting, ending, monkeypatch):
    for module in (failed_records, reprocessing):
        monkeypatch.setattr(module, "now_ms", lambda: 1_800_000_000_000)
    store = InMemoryObjects()
    sources = [put(store, key, *lines) for key, lines in setting.items()]
    entry = entry_of(remake(store, *sources), *sources)
    whole = copy.deepcopy(store)
    told = settle(whole, entry, **ending)
    tellings = list[dict[str, Any]]()
    ends = list(cut_off(store, lambda objects: tellings.append(settle(objects, entry, **ending))))
    assert ends
    assert all(without_notices(end) == without_notices(whole.objects) for end in ends)
    assert all(telling == told for telling in tellings)


def test_converting_that_is_cut_off_anywhere_makes_the_same_batch():
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, failed(), failed(BAD))
    whole = remake(store, source).batch
    made = []
    list(cut_off(store, lambda objects: made.append(remake(objects, source).batch)))
    assert made
    assert all(batch == whole for batch in made)


# Settling batches


def failed_batch(store, batch=None, attempts=1, error="MalformedBatchError", execution="arn:e-1"):
    """Record a batch as failed so many times; return its source."""
    batch = batch or {
        "mapping": MAPPING,
        "source": "stream",
        "objects": [{"bucket": "b", "key": "k", "etag": "e", "size": 1}],
    }
    notices = Notices(store, "landing", MAPPING, 3600)
    for earlier in reversed(range(attempts)):
        failed_execution = f"{execution}-before-{earlier}" if earlier else execution
        event = {"batch": batch, "error": {"Error": error, "Cause": "x"}, "execution": {"id": failed_execution}}
        key = record_failed_batch(event, store, "landing", notices)["key"]
    return Source(key, store.tail("landing", key).etag, 1)


def batch_entry(source, kind="batch", **more):
    needed = {"batch": {"mapping": MAPPING}} if kind == "batch" else {}
    return {"number": 1, "kind": kind, "objects": [dataclasses.asdict(source)], **needed, **more}


FAILED = {"Error": "States.TaskFailed", "Cause": "x"}


def test_the_record_of_a_batch_that_was_imported_goes():
    store = InMemoryObjects()
    source = failed_batch(store)
    settled = settle(store, batch_entry(source), imported=IMPORTED)
    assert ("landing", source.key) not in store.objects
    assert (settled["batches_imported"], settled["batches_failed"], settled["rows"]) == (1, 0, 1)


@pytest.mark.parametrize(("attempts", "parked"), [(1, False), (4, False), (5, True), (6, True)])
def test_a_batch_is_parked_after_as_many_attempts_as_are_allowed(attempts, parked):
    store = InMemoryObjects()
    source = failed_batch(store, attempts=attempts)
    settled = settle(store, batch_entry(source), error=FAILED)
    assert (("landing", source.key) in store.objects) == (not parked)
    assert (("landing", keys.parked(MAPPING, source.key)) in store.objects) == parked
    assert (settled["batches_failed"], settled["batches_parked"]) == (1, parked)
    assert (settled["notice"] is not None) == parked
    assert not parked or "Reason: States.TaskFailed: x\n" in settled["notice"]["message"]


def test_a_parked_batch_that_fails_on_request_stays_parked_with_all_its_attempts():
    store = InMemoryObjects()
    source = failed_batch(store, attempts=5)
    settle(store, batch_entry(source), error=FAILED)
    key = keys.parked(MAPPING, source.key)
    first = json.loads(store.read("landing", key))["first_failed_at"]
    failed_batch(store, execution="arn:e-2")
    settled = settle(store, batch_entry(Source(key, "e", 1)), error=FAILED)
    record = json.loads(store.read("landing", key))
    assert (record["attempts"], record["first_failed_at"], record["execution"]) == (6, first, "arn:e-2")
    assert ("landing", source.key) not in store.objects
    assert (settled["batches_parked"], settled["notice"]) == (0, None)


@pytest.mark.parametrize("body", [b"{}", b'{"attempts": "x"}', b'{"attempts": 1, "execution": 5}'])
def test_a_parked_batch_stays_parked_whatever_stands_in_its_place(body):
    store = InMemoryObjects()
    source = failed_batch(store, attempts=5)
    key = keys.parked(MAPPING, source.key)
    store.write("landing", key, body)
    settle(store, batch_entry(Source(key, "e", 1)), error=FAILED)
    assert json.loads(store.read("landing", key))["attempts"] >= 5
    assert ("landing", source.key) not in store.objects


def test_a_parked_batch_that_is_imported_on_request_goes():
    store = InMemoryObjects()
    source = failed_batch(store, attempts=5)
    settle(store, batch_entry(source), error=FAILED)
    key = keys.parked(MAPPING, source.key)
    settle(store, batch_entry(Source(key, "e", 1)), imported=IMPORTED)
    assert ("landing", key) not in store.objects


@pytest.mark.parametrize("attempts", [1, 5])
@pytest.mark.parametrize("parked_before", [False, True])
def test_settling_a_batch_that_is_cut_off_anywhere_ends_the_same(attempts, parked_before):
    store = InMemoryObjects()
    source = failed_batch(store, attempts=5)
    if parked_before:
        settle(store, batch_entry(source), error=FAILED)
        source = Source(keys.parked(MAPPING, source.key), "e", 1)
    else:
        store = InMemoryObjects()
    failed_batch(store, attempts=attempts, execution="arn:e-2")
    whole = copy.deepcopy(store)
    settle(whole, batch_entry(source), error=FAILED)
    ends = list(cut_off(store, lambda objects: settle(objects, batch_entry(source), error=FAILED)))
    assert len(ends) >= 2 * (attempts == 5 or parked_before)
    assert all(without_notices(end) == without_notices(whole.objects) for end in ends)


def test_a_batch_that_is_no_descriptor_is_recorded_once_and_parked_in_the_end():
    store = InMemoryObjects()
    for attempt in range(1, 6):
        source = failed_batch(store, batch="no descriptor", error="InvalidBatchError", execution=f"arn:e-{attempt}")
        assert keys_of(store).count(source.key) == 1
        settled = settle(store, batch_entry(source, batch="no descriptor"), error=FAILED)
    assert settled["batches_parked"] == 1
    assert [key for key in keys_of(store) if key.startswith("failed_batches/")] == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"text"', b"{}", b'{"conversion": 5, "attempts": 1}', b'{"conversion": {"run": "r0"}}'],
)
def test_a_record_that_nobody_can_read_is_parked_at_once(body):
    store = InMemoryObjects()
    key = keys.failed_batch(MAPPING, "by-hand")
    put(store, key, body)
    (entry,) = plan_reprocess(PLACE, store, prefix=None, parked=False)
    assert entry["kind"] == "batch"
    assert "batch" not in entry, "the state machine imports what has one"
    settled = settle(store, entry)
    assert settled["batches_parked"] == 1
    assert "Reason: the object is not the record of a failed batch\n" in settled["notice"]["message"]
    assert store.read("landing", keys.parked(MAPPING, key)) == body


def test_a_conversion_whose_batch_was_not_imported_leaves_its_failure_to_the_batch():
    store = InMemoryObjects()
    batch = {"mapping": MAPPING, "source": "backfill", "objects": [{"bucket": "b", "key": "c", "etag": "e", "size": 1}]}
    batch_source = failed_batch(store, batch)
    source = put(store, keys.failed_batch(MAPPING, "r0-000001"), json.dumps({"attempts": 4, "conversion": {}}).encode())
    settle(store, batch_entry(source, "conversion", conversion={}, batch=batch), error=FAILED)
    assert [key for key in keys_of(store) if key.startswith("failed_batches/")] == [batch_source.key]


def test_a_conversion_that_failed_again_is_kept():
    store = InMemoryObjects()
    source = put(store, keys.failed_batch(MAPPING, "r0-000001"), json.dumps({"attempts": 4, "conversion": {}}).encode())
    settled = settle(store, batch_entry(source, "conversion", conversion={}), error=FAILED)
    assert ("landing", source.key) in store.objects
    assert (settled["batches_failed"], settled["batches_parked"]) == (1, 0)
