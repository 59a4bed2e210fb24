import json
import re

import pytest

from dynaurora.batches.batch import Batch
from dynaurora.errors import ChecksumMismatchError, DeadlockError, MalformedBatchError, remedy_for
from dynaurora.failures.failed_batches import (
    MAX_REASON,
    MAX_SUBJECT,
    batch_id_of,
    conversion_of,
    read_error,
    record_failed_batch,
)
from dynaurora.failures.notices import Notices
from tests.events import load_event
from tests.support.factories import CREATED_AT
from tests.support.fakes import InMemoryObjects

MALFORMED = {
    "Error": "MalformedBatchError",
    "Cause": json.dumps(
        {"errorMessage": str(MalformedBatchError("It is empty.")), "errorType": "MalformedBatchError", "stackTrace": []}
    ),
}


INVALID = r"invalid-[0-9a-f]{32}"
"""The id of what is no descriptor."""
NOTICE_SECONDS = 10**10
"""Longer than any clock has run: all that a test does is done in one interval."""


def failed_event(**changed):
    execution = {"id": "arn:execution:e-1", "name": "e-1", "started": "2026-11-23T08:15:00Z"}
    return load_event("import_batch_input") | {"error": MALFORMED, "execution": execution} | changed


def record(store, event):
    return record_failed_batch(event, store, "landing", Notices(store, "landing", "web_analytics", NOTICE_SECONDS))


def test_a_failed_batch_is_kept_with_reason_remedy_and_descriptor():
    store, event = InMemoryObjects(), failed_event()
    answer = record(store, event)
    batch_id = Batch.from_event(event).id
    assert answer["key"] == f"failed_batches/mapping=web_analytics/{batch_id}.json"
    kept = json.loads(store.objects["landing", answer["key"]])
    assert kept == {
        "batch_id": batch_id,
        "batch": event["batch"],
        "error": "MalformedBatchError",
        "reason": "It is empty.",
        "remedy": remedy_for("MalformedBatchError"),
        "attempts": 1,
        "first_failed_at": kept["last_failed_at"],
        "last_failed_at": kept["last_failed_at"],
        "execution": "arn:execution:e-1",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", kept["last_failed_at"])


def test_the_notice_says_what_why_and_what_next():
    answer = record(InMemoryObjects(), failed_event())
    assert answer["subject"] == f"dynaurora: batch {answer['batch_id'][:12]} failed: MalformedBatchError"
    next_steps = (
        remedy_for("MalformedBatchError"),
        f"dynaurora reprocess start web_analytics --prefix {answer['key']}",
    )
    runbook = "Runbook: docs/runbooks/failed-batches.md"
    for part in ("It is empty.", *next_steps, f"s3://landing/{answer['key']}", "arn:execution", runbook):
        assert answer["message"].count(part) == 1


def test_the_notice_of_a_batch_of_records_has_the_command_for_the_records():
    batch = failed_event()["batch"] | {"source": "reprocess"}
    answer = record(InMemoryObjects(), failed_event(batch=batch))
    assert "Then: dynaurora reprocess start web_analytics\n" in answer["message"]


def test_people_are_told_of_the_first_batch_that_a_cause_strikes():
    store, batch = InMemoryObjects(), failed_event()["batch"]
    other_objects = [item | {"key": "processed/another.csv"} for item in batch["objects"]]
    other = failed_event(batch=batch | {"objects": other_objects}, execution={"id": "arn:execution:e-2"})
    told = [record(store, event) for event in (failed_event(), other, failed_event())]
    assert [answer["notify"] for answer in told] == [True, False, True]  # the third is the first, recorded again
    assert told[0]["key"] != told[1]["key"]


def test_people_are_told_of_every_cause():
    store, deadlock = InMemoryObjects(), {"Error": "DeadlockError", "Cause": "x"}
    first, other = record(store, failed_event()), record(store, failed_event(error=deadlock))
    assert (first["notify"], other["notify"]) == (True, True)


def test_people_are_told_in_the_interval_of_the_failure():
    store = InMemoryObjects()
    failed_at = record(store, failed_event())["key"]
    ((_, notice),) = [place for place in store.objects if place[1] != failed_at]
    told = json.loads(store.read("landing", notice))
    assert (told["cause"], told["told_by"]) == ("MalformedBatchError", "arn:execution:e-1")
    assert told["at"] == json.loads(store.read("landing", failed_at))["last_failed_at"]


def test_a_batch_that_fails_again_counts_its_attempts_from_the_first():
    store = InMemoryObjects()
    key = record(store, failed_event())["key"]
    first = json.loads(store.objects["landing", key]) | {"first_failed_at": "2026-01-01T00:00:00Z"}
    store.write("landing", key, json.dumps(first).encode())
    again = failed_event(error={"Error": "DeadlockError", "Cause": "x"}, execution={"id": "arn:execution:e-2"})
    answer = record(store, again)
    kept = json.loads(store.objects["landing", key])
    assert answer["key"] == key
    assert (kept["attempts"], kept["first_failed_at"], kept["error"]) == (2, "2026-01-01T00:00:00Z", "DeadlockError")


def test_a_failure_that_is_recorded_again_because_the_answer_was_lost_is_one():
    store = InMemoryObjects()
    first, again = (record(store, failed_event()) for _ in range(2))
    assert first == again
    assert first["attempts"] == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"5", b"\xff", b"{", b"[" * 100_000, b"{}", b'{"attempts": null}', b'{"attempts": "x"}'],
    ids=lambda body: repr(body[:20]),
)
def test_a_batch_is_recorded_whatever_stands_in_its_place(body):
    store = InMemoryObjects()
    key = record(store, failed_event())["key"]
    store.write("landing", key, body)
    answer = record(store, failed_event())
    assert (answer["key"], answer["attempts"]) == (key, 1)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(failed_event(batch=None), id="no descriptor"),
        pytest.param(failed_event(batch={"mapping": "web_analytics"}), id="half a descriptor"),
        pytest.param(failed_event(batch="text"), id="descriptor is text"),
    ],
)
def test_what_is_no_descriptor_is_kept_under_a_name_of_what_it_is(event):
    store = InMemoryObjects()
    answer = record(store, event)
    again = record(store, event | {"execution": {"id": "arn:execution:e-9"}})
    assert re.fullmatch(INVALID, answer["batch_id"])
    assert (again["key"], again["attempts"]) == (answer["key"], 2)
    assert json.loads(store.objects["landing", answer["key"]])["batch"] == event["batch"]


def test_what_is_no_descriptor_has_an_id_of_its_own_fit_for_a_key_and_a_subject():
    found = {batch_id_of({"batch": batch}) for batch in (None, "", "a/b c", "größe", "line\nbreak", ["x"], {"a": 1})}
    assert len(found) == 7
    assert all(re.fullmatch(INVALID, batch_id) for batch_id in found)


def test_the_order_of_its_fields_does_not_make_another_batch():
    assert batch_id_of({"batch": {"a": 1, "b": 2}}) == batch_id_of({"batch": {"b": 2, "a": 1}})


@pytest.mark.parametrize("event", [{"batch": None}, {"batch": None, "execution": None}, {}])
def test_an_event_without_execution_is_kept_too(event):
    store = InMemoryObjects()
    answer = record(store, event)
    assert re.fullmatch(INVALID, answer["batch_id"])
    assert json.loads(store.objects["landing", answer["key"]])["execution"] is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(MALFORMED, ("MalformedBatchError", "It is empty."), id="one of ours"),
        pytest.param(
            {"Error": "DeadlockError", "Cause": json.dumps({"errorMessage": str(DeadlockError("Aurora said 1213."))})},
            ("DeadlockError", "Aurora said 1213."),
            id="a retryable one",
        ),
        pytest.param({"Error": "States.Timeout", "Cause": "too slow"}, ("States.Timeout", "too slow"), id="plain text"),
        pytest.param({"Error": "States.Timeout"}, ("States.Timeout", ""), id="no cause"),
        pytest.param({"Error": "E", "Cause": "[1]"}, ("E", "[1]"), id="JSON that is no error"),
        pytest.param({"Error": "E", "Cause": '{"x": 1}'}, ("E", '{"x": 1}'), id="JSON without a message"),
        pytest.param(None, ("Unknown", ""), id="nothing"),
        pytest.param("text", ("Unknown", ""), id="text"),
        pytest.param({"Error": "E", "Cause": "x" * 9999}, ("E", "x" * MAX_REASON), id="endless"),
    ],
)
def test_an_error_is_read_from_what_a_catch_recorded(error, expected):
    assert read_error(error) == expected


def test_a_subject_is_as_short_as_sns_takes_it():
    answer = record(InMemoryObjects(), failed_event(error={"Error": "E" * 200, "Cause": ""}))
    assert len(answer["subject"]) == MAX_SUBJECT


CHECKSUM = {
    "Error": "ChecksumMismatchError",
    "Cause": json.dumps({"errorMessage": str(ChecksumMismatchError("A file is another one."))}),
}


def failed_conversion(execution="arn:execution:c-1", **changed):
    """Return what is recorded where convert_export gave a planned batch up."""
    planned = {"number": 7, "items": 3, "files": [{"key": "exports/x.json.gz", "items": 3, "md5": "m"}]}
    asked = {
        "mapping": "web_analytics",
        "run": "r1",
        "export_second": CREATED_AT,
        "bucket": "landing",
        "export_bucket": "exports",
        "batch": planned,
    }
    return {"batch": asked | changed, "error": CHECKSUM, "execution": {"id": execution, "name": "c-1"}}


def test_a_batch_that_could_not_be_converted_is_kept_with_what_it_takes_to_convert_it():
    store, event = InMemoryObjects(), failed_conversion()
    answer = record(store, event)
    assert (answer["batch_id"], answer["key"]) == ("r1-000007", "failed_batches/mapping=web_analytics/r1-000007.json")
    kept = json.loads(store.objects["landing", answer["key"]])
    assert kept["conversion"] == event["batch"]
    assert kept["batch"] is None
    assert (kept["error"], kept["reason"]) == ("ChecksumMismatchError", "A file is another one.")
    assert "Batch r1-000007 was not applied" in answer["message"]


def test_a_conversion_that_fails_again_counts_its_attempts_whatever_execution_it_was():
    store = InMemoryObjects()
    record(store, failed_conversion())
    again = record(store, failed_conversion("arn:execution:c-9"))
    assert (again["batch_id"], again["attempts"]) == ("r1-000007", 2)


def test_conversions_of_other_runs_and_numbers_are_other_batches():
    planned = failed_conversion()["batch"]["batch"]
    events = [failed_conversion(), failed_conversion(run="r2"), failed_conversion(batch=planned | {"number": 8})]
    assert len({batch_id_of(event) for event in events}) == 3


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"run": None}, id="no run"),
        pytest.param({"run": 5}, id="run is a number"),
        pytest.param({"export_second": None}, id="no second"),
        pytest.param({"export_bucket": 5}, id="bucket is a number"),
        pytest.param({"batch": {"items": 3}}, id="no number"),
        pytest.param({"batch": {"number": "7"}}, id="number is text"),
        pytest.param({"batch": {"number": True}}, id="number is a boolean"),
        pytest.param({"batch": [7]}, id="batch is a list"),
    ],
)
def test_what_is_no_conversion_is_kept_as_it_is(changed):
    store, event = InMemoryObjects(), failed_conversion(**changed)
    answer = record(store, event)
    kept = json.loads(store.objects["landing", answer["key"]])
    assert re.fullmatch(INVALID, answer["batch_id"])
    assert kept["batch"] == event["batch"]
    assert "conversion" not in kept


def test_a_descriptor_is_no_conversion():
    event = failed_event(run="r1")
    assert conversion_of(event) is None
    assert batch_id_of(event) == Batch.from_event(event).id
