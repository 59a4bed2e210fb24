import json
import re

import pytest

from dynaurora.batches import Batch
from dynaurora.errors import DeadlockError, MalformedBatchError, remedy_for
from dynaurora.failed_batches import MAX_REASON, MAX_SUBJECT, batch_id_of, read_error, record_failed_batch
from tests.events import load_event
from tests.unit.fakes import InMemoryObjects

MALFORMED = {
    "Error": "MalformedBatchError",
    "Cause": json.dumps(
        {"errorMessage": str(MalformedBatchError("It is empty.")), "errorType": "MalformedBatchError", "stackTrace": []}
    ),
}


def failed_event(**changed):
    execution = {"id": "arn:execution:e-1", "name": "e-1", "started": "2026-11-23T08:15:00Z"}
    return load_event("import_batch_input") | {"error": MALFORMED, "execution": execution} | changed


def record(store, event):
    return record_failed_batch(event, store, "landing", "web_analytics")


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
    for part in ("It is empty.", remedy_for("MalformedBatchError"), f"s3://landing/{answer['key']}", "arn:execution"):
        assert answer["message"].count(part) == 1


def test_a_batch_that_fails_again_counts_its_attempts_from_the_first():
    store = InMemoryObjects()
    key = record(store, failed_event())["key"]
    first = json.loads(store.objects["landing", key]) | {"first_failed_at": "2026-01-01T00:00:00Z"}
    store.write("landing", key, json.dumps(first).encode())
    answer = record(store, failed_event(error={"Error": "DeadlockError", "Cause": "x"}))
    kept = json.loads(store.objects["landing", key])
    assert answer["key"] == key
    assert (kept["attempts"], kept["first_failed_at"], kept["error"]) == (2, "2026-01-01T00:00:00Z", "DeadlockError")


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(failed_event(batch=None), id="no descriptor"),
        pytest.param(failed_event(batch={"mapping": "web_analytics"}), id="half a descriptor"),
        pytest.param(failed_event(batch="text"), id="descriptor is text"),
    ],
)
def test_what_is_no_descriptor_is_kept_under_the_executions_name(event):
    store = InMemoryObjects()
    answer = record(store, event)
    assert answer["batch_id"] == "invalid-e-1"
    assert json.loads(store.objects["landing", answer["key"]])["batch"] == event["batch"]


@pytest.mark.parametrize(
    ("name", "batch_id"),
    [("a/b c", "invalid-a_b_c"), ("größe", "invalid-gr__e"), (None, "invalid-unnamed"), ("", "invalid-unnamed")],
)
def test_an_id_is_fit_for_a_key_and_a_subject(name, batch_id):
    assert batch_id_of({"batch": None, "execution": {"name": name}}) == batch_id


def test_an_event_without_execution_is_kept_too():
    assert record(InMemoryObjects(), {"batch": None})["batch_id"] == "invalid-unnamed"


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
