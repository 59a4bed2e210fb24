"""Failures taken up again: listed, mapped, settled, whatever wrote them and wherever the work was cut off."""

import copy
import dataclasses
import json
from typing import Any
from unittest.mock import ANY

import pytest

from dynaurora import keys
from dynaurora.dynamodb.changes import encode_change
from dynaurora.failures import failed_records
from dynaurora.failures.failed_batches import record_failed_batch
from dynaurora.failures.failed_records import encode_failed_record
from dynaurora.failures.list_failures import FailedObject, plan_reprocess
from dynaurora.failures.notices import Notices
from tests.support import failure_factories
from tests.support.factories import click_change, click_item, stream_record
from tests.support.failed_objects import (
    ARN,
    BACKFILL_KEY,
    BAD,
    FAILED,
    FIREHOSE_KEY,
    GOOD,
    IMPORTED,
    MAPPING,
    PLACE,
    UNFORWARDED_KEY,
    batch_of,
    cut_off,
    entry_of,
    failed,
    invocation,
    keys_of,
    put,
    read_failed,
    read_rows,
    remake,
    settle,
)
from tests.support.failure_factories import CONVERSION
from tests.support.fakes import InMemoryObjects, etag_of

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
        "records_superseded": 0,
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
        source = FailedObject(FIREHOSE_KEY, store.tail("landing", FIREHOSE_KEY).etag, 1)
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
        source = FailedObject(FIREHOSE_KEY, store.tail("landing", FIREHOSE_KEY).etag, 1)
        settled = settle(store, entry_of(remake(store, source), source), error=REFUSED_BY_AURORA)
        assert settled["records_parked"] == (failures == 5)
    (key,) = (key for key in keys_of(store) if not key.startswith(("batches/", "notices/")))
    assert key.startswith(f"{keys.parked(MAPPING, FIREHOSE_KEY)}.")
    assert settled["notice"]["subject"] == "dynaurora: 1 records parked"
    assert "Reason: TargetMismatchError: It has another column.\n" in settled["notice"]["message"]
    source = FailedObject(key, store.tail("landing", key).etag, 1)
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
    again = remake(store, FailedObject(place, store.tail("landing", place).etag, 1))
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
    batch = remake(store, FailedObject(FIREHOSE_KEY, etag_of(failed()), 1)).batch
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
    batch = remake(store, FailedObject(FIREHOSE_KEY, etag_of(failed()), 1)).batch
    source = failed_batch(store, batch)
    superseded, _ = plan_reprocess(PLACE, store, prefix=None, parked=False)
    failed_batch(store, batch, execution="arn:e-2")
    settle(store, superseded)
    assert json.loads(store.read("landing", source.key))["attempts"] == 2


# Cut off between any two steps


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
    monkeypatch.setattr(failed_records, "now_ms", lambda: 1_800_000_000_000)
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
    return FailedObject(key, store.tail("landing", key).etag, 1)


def batch_entry(source, kind="batch", **more):
    needed = {"batch": {"mapping": MAPPING}} if kind == "batch" else {}
    return {"number": 1, "kind": kind, "objects": [dataclasses.asdict(source)], **needed, **more}


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
    settled = settle(store, batch_entry(FailedObject(key, "e", 1)), error=FAILED)
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
    settle(store, batch_entry(FailedObject(key, "e", 1)), error=FAILED)
    assert json.loads(store.read("landing", key))["attempts"] >= 5
    assert ("landing", source.key) not in store.objects


def test_a_parked_batch_that_is_imported_on_request_goes():
    store = InMemoryObjects()
    source = failed_batch(store, attempts=5)
    settle(store, batch_entry(source), error=FAILED)
    key = keys.parked(MAPPING, source.key)
    settle(store, batch_entry(FailedObject(key, "e", 1)), imported=IMPORTED)
    assert ("landing", key) not in store.objects


@pytest.mark.parametrize("attempts", [1, 5])
@pytest.mark.parametrize("parked_before", [False, True])
def test_settling_a_batch_that_is_cut_off_anywhere_ends_the_same(attempts, parked_before):
    store = InMemoryObjects()
    source = failed_batch(store, attempts=5)
    if parked_before:
        settle(store, batch_entry(source), error=FAILED)
        source = FailedObject(keys.parked(MAPPING, source.key), "e", 1)
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


CONVERTED = {
    "mapping": MAPPING,
    "source": "backfill",
    "run": "r1",
    "objects": [{"bucket": "landing", "key": keys.backfill_batch(MAPPING, "r1", 2), "etag": "e", "size": 1}],
}


def failed_conversion(store, attempts=1):
    """Record a planned batch as not converted so many times; return its source."""
    return failed_batch(store, CONVERSION, attempts, "ChecksumMismatchError", execution="arn:import-1")


def convert(store):
    """Write the descriptor of the batch that was converted."""
    put(
        store, keys.backfill_descriptor(MAPPING, "r1", 2), json.dumps({"fingerprint": "f", "batch": CONVERTED}).encode()
    )


def import_failed(execution="arn:import-2"):
    """What the Catch of a state that ran an import recorded."""
    cause = {"ExecutionArn": execution, "Status": "FAILED", "Error": "MalformedBatchError", "Cause": "A line."}
    return {"Error": "States.TaskFailed", "Cause": json.dumps(cause)}


@pytest.mark.parametrize("is_parked", [False, True])
def test_a_conversion_whose_batch_was_not_imported_leaves_its_failure_to_the_batch(is_parked):
    store = InMemoryObjects()
    source = failed_conversion(store)
    if is_parked:
        source = put(store, keys.parked(MAPPING, source.key), store.read("landing", source.key))
        store.delete("landing", source.key.removeprefix(keys.parked_prefix(MAPPING)))
    convert(store)
    batch_source = failed_batch(store, CONVERTED, execution="arn:import-2")
    settled = settle(store, batch_entry(source, "conversion", batch=CONVERSION), error=import_failed())
    assert [key for key in keys_of(store) if "failed_batches/" in key] == [batch_source.key]
    assert (settled["batches_failed"], settled["batches_parked"]) == (1, 0)


def not_converted(store):
    """It failed again as it did before."""


def converted_once_before(store):
    """It was converted before, by another mapping, and that batch has failed too."""
    convert(store)
    failed_batch(store, CONVERTED, execution="arn:import-0")


@pytest.mark.parametrize("happened", [not_converted, converted_once_before, convert])
@pytest.mark.parametrize("error", [FAILED, import_failed()], ids=["not started", "import failed"])
def test_a_conversion_that_failed_again_is_kept(happened, error):
    store = InMemoryObjects()
    source = failed_conversion(store, attempts=4)
    happened(store)
    settled = settle(store, batch_entry(source, "conversion", batch=CONVERSION), error=error)
    assert ("landing", source.key) in store.objects
    assert (settled["batches_failed"], settled["batches_parked"]) == (1, 0)


def test_a_conversion_is_parked_after_as_many_attempts_as_are_allowed_with_the_reason_of_the_last():
    store = InMemoryObjects()
    source = failed_conversion(store, attempts=5)
    settled = settle(store, batch_entry(source, "conversion", batch=CONVERSION), error=import_failed())
    assert [key for key in keys_of(store) if "failed_batches/" in key] == [keys.parked(MAPPING, source.key)]
    assert settled["batches_parked"] == 1
    assert "Reason: MalformedBatchError: A line.\n" in settled["notice"]["message"]


def test_a_conversion_that_an_earlier_release_recorded_is_taken_up_by_the_import():
    store = InMemoryObjects()
    record = json.loads(failure_factories.failed_batch(batch_id="r1-000002", batch=None, conversion=CONVERSION))
    source = put(store, keys.failed_batch(MAPPING, "r1-000002"), json.dumps(record).encode())
    (entry,) = plan_reprocess(PLACE, store, prefix=None, parked=False)
    assert entry == batch_entry(source, "conversion", batch=CONVERSION)
    settle(store, entry, imported=IMPORTED)
    assert ("landing", source.key) not in store.objects
