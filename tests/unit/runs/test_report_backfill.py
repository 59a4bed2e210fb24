import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import pytest
from jsonschema import Draft202012Validator

from dynaurora import keys
from dynaurora.errors import ObjectMissingError, remedy_for
from dynaurora.failures.failed_batches import record_failed_batch
from dynaurora.failures.notices import Notices
from dynaurora.runs.phases import LAST_PHASE
from dynaurora.runs.report_backfill import MAX_FAILURES, build_backfill_report, list_failed_batches
from tests.events import load_event
from tests.support.factories import EXPORT_ARN, make_plan, make_totals, run_input, run_request
from tests.support.failure_factories import CONVERSION
from tests.support.fakes import InMemoryObjects
from tests.support.run_states import BUCKET, EXECUTION, MEMORY, OPENED, PACKAGE, PLANNED, RECONCILED, caught, steps

SCHEMA = json.loads((PACKAGE / "report.schema.json").read_text())


def report_of(state, taken=(), failures=()):
    """Return the report of a run; whatever it is of, it is JSON and as its schema says."""
    report = build_backfill_report(state, EXECUTION, taken, list(failures), MEMORY)
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(report)))
    return report


def test_the_report_of_a_run_that_succeeded():
    taken = steps("Open run", "Plan backfill", "Backfill batches", "Reconcile run", "Report run")
    report = report_of(RECONCILED, taken)
    assert report["started_at"] == "2026-11-23T08:15:00Z"
    assert [phase["name"] for phase in report["phases"]] == [
        "checking",
        "planning",
        "importing",
        "reconciling",
        LAST_PHASE,
    ]
    assert report["cost"]["total_usd"] > 0
    unmeasured = ("started_at", "ended_at", "seconds", "phases", "cost")
    assert {name: value for name, value in report.items() if name not in unmeasured} == {
        "run": "r1",
        "mapping": "web_analytics",
        "execution": EXECUTION,
        "state": "SUCCEEDED",
        "digest": OPENED["digest"],
        "generation": 1,
        "options": OPENED["options"],
        "export": {
            "arn": EXPORT_ARN,
            "time": "2023-11-14T22:13:20Z",
            "window_from": None,
            "items": 10,
            "billed_bytes": 1000,
            "files": 3,
            "files_empty": 1,
            "batches": 2,
        },
        "totals": asdict(make_totals()),
        "sweep": None,
        "verification": None,
        "ignored": None,
        "failures": [],
        "failure": None,
        "refused_examples": [],
        "retry_causes": [],
        "warnings": [],
    }


def test_the_report_of_a_run_of_an_earlier_export_says_what_stays_older():
    older = {"tombstones": 3, "not_imported": 20, "changed_since": 400}
    totals = asdict(make_totals(older_rows=older, complete=False))
    state = RECONCILED | {"generation": 2, "readiness": {"complete_from": 1_700_000_240.0}, "totals": totals}
    report = report_of(state)
    assert (report["totals"]["older_rows"], report["totals"]["complete"]) == (older, False)
    (warning,) = report["warnings"]
    assert "of before 2023-11-14T22:17:20Z, from when on one brings every row to generation 2" in warning
    assert "420 rows stay as an older one wrote them. A backfill without --export-arn brings" in warning
    assert report_of(state | {"totals": totals | {"complete": True}})["warnings"] == []


def test_the_report_of_a_run_that_the_release_before_began_names_no_mapping():
    before = {name: value for name, value in RECONCILED.items() if name not in {"digest", "generation"}}
    report = report_of(before)
    assert (report["state"], report["digest"], report["generation"]) == ("SUCCEEDED", None, None)


def test_the_report_names_what_no_column_takes():
    found = {"name": "phone", "items": 3, "type": "VARCHAR(16)", "values_seen": 2, "keys": [{"id": {"S": "a"}}]}
    ignored = {"attributes": [found], "others": 0, "exact": True}
    report = build_backfill_report(RECONCILED, EXECUTION, (), [], MEMORY, ignored)
    Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(report)))
    assert report["ignored"] == ignored


def test_the_report_of_a_run_that_swept():
    sweep = {"bucket": BUCKET, "key": keys.sweep_plan("web_analytics", "r1"), "rows": 7, "batches": 1, "rows_before": 3}
    report = report_of(RECONCILED | {"sweep": sweep})
    assert (report["state"], report["sweep"]) == ("SUCCEEDED", sweep)


def test_the_report_of_a_run_that_was_judged_has_what_was_found():
    found = {"counts": {"items": 3, "identical": 2, "missing": 1}, "unexplained": 1, "whole": True}
    report = report_of(RECONCILED | {"judged": {"done": True, "verification": found}})
    assert (report["state"], report["verification"]) == ("SUCCEEDED", found)


def test_the_report_of_a_run_has_its_plans_warnings():
    assert report_of(OPENED | {"plan": asdict(make_plan(warnings=["It is old."]))})["warnings"] == ["It is old."]


def test_the_report_of_a_run_that_failed_before_it_had_a_plan():
    report = report_of(OPENED | {"error": caught("NotReadyError", "Its stream is off.")}, steps("Open run"))
    assert report["state"] == "FAILED"
    assert report["failure"] == {
        "error": "NotReadyError",
        "reason": "Its stream is off.",
        "remedy": remedy_for("NotReadyError"),
    }
    assert (report["export"], report["totals"], report["sweep"]) == (None, None, None)


@pytest.mark.parametrize(
    "changed", [{}, {"sweep": True}, {"run": 5}, {"run": None}, {"run": []}, {"mapping": {}}, {"run": "a\nb"}]
)
def test_the_report_of_a_run_that_was_not_opened(changed):
    report = report_of(run_input(**changed) | {"error": caught("PrivilegeError")}, steps("Open run"))
    assert (report["state"], report["options"], report["failure"]["error"]) == ("FAILED", None, "PrivilegeError")
    assert (report["export"], report["totals"], report["sweep"]) == (None, None, None)


def test_the_report_of_a_run_of_which_batches_failed():
    totals = make_totals(imported=4, unaccounted=6, batches_imported=1, batches_failed=1)
    failure = {"batch": "r1-000002", "error": "E", "reason": "", "remedy": "Mend it.", "key": "failed_batches/x"}
    exceeded = {"Error": "States.ExceedToleratedFailureThreshold", "Cause": "1 of 2 failed"}
    report = report_of(PLANNED | {"totals": asdict(totals), "error": exceeded}, failures=[failure])
    assert (report["state"], report["failures"], report["totals"]) == ("FAILED", [failure], asdict(totals))
    assert report["failure"]["error"] == "BatchesFailedError"
    assert "start the run again" in report["failure"]["remedy"]


LONG_AGO = "2020-01-01T00:00:00.123Z"


def keep_failed(store, number, run="r1", *, converted=True):
    """Record a failed batch of a run, as record_failed_batch does; return its key."""
    if converted:
        event = load_event("import_batch_input")
        event["batch"] |= {"run": run, "source": "backfill"}
        event["batch"]["objects"][0]["key"] = f"batches/run=web_analytics-{run}/batch-{number:06}.csv"
    else:
        event = {"batch": CONVERSION | {"run": run, "batch": {"number": number, "items": 1, "files": []}}}
    event |= {"error": caught("RowCountError", f"Number {number}."), "execution": {"id": "arn:child", "name": "c"}}
    return keep(store, event)["key"]


def keep(store, event):
    """Record what failed, as record_failed_batch does."""
    return record_failed_batch(event, store, BUCKET, Notices(store, BUCKET, "web_analytics", 3600))


def test_failures_are_those_of_this_run_only():
    store = InMemoryObjects()
    imported, converted = keep_failed(store, 1), keep_failed(store, 2, converted=False)
    for other in ("r2", "r10", None):
        keep_failed(store, 3, other)
    keep_failed(store, 4, "r2", converted=False)
    failures = list_failed_batches(store, BUCKET, "web_analytics", "r1", LONG_AGO)
    assert {failure["key"]: failure["reason"] for failure in failures} == {
        imported: "Number 1.",
        converted: "Number 2.",
    }
    assert {failure["error"] for failure in failures} == {"RowCountError"}
    assert "r1-000002" in {failure["batch"] for failure in failures}
    assert report_of(RECONCILED, failures=failures)["failures"] == failures


def test_what_failed_in_an_earlier_execution_was_tried_again():
    store = InMemoryObjects()
    key = keep_failed(store, 1)
    failed_at = json.loads(store.read(BUCKET, key))["last_failed_at"]
    store.written_at = datetime.fromisoformat(failed_at)
    later = (datetime.fromisoformat(failed_at) + timedelta(seconds=1)).isoformat()
    assert list_failed_batches(store, BUCKET, "web_analytics", "r1", later) == []
    assert len(list_failed_batches(store, BUCKET, "web_analytics", "r1", failed_at.replace("Z", ".999Z"))) == 1


@pytest.mark.parametrize("batch", [None, "text", [], {"mapping": "web_analytics"}, 5])
def test_what_was_kept_without_a_descriptor_is_of_no_run(batch):
    store = InMemoryObjects()
    keep(store, {"batch": batch, "execution": {"name": "e-1"}})
    kept = keep_failed(store, 1)
    assert [failure["key"] for failure in list_failed_batches(store, BUCKET, "web_analytics", "r1", LONG_AGO)] == [kept]


@pytest.mark.parametrize(
    "body",
    [b"hello", b"\xff", b"", b"[]", b"5", b"null", b'"text"', b"{}", b'{"batch": {"run": "r1"}}', b'{"batch": []}'],
)
@pytest.mark.parametrize("key", ["a.txt", "zzz.json"])
def test_what_is_no_record_is_passed_over(body, key):
    store = InMemoryObjects()
    kept = keep_failed(store, 1)
    store.write(BUCKET, f"failed_batches/mapping=web_analytics/{key}", body)
    assert [failure["key"] for failure in list_failed_batches(store, BUCKET, "web_analytics", "r1", LONG_AGO)] == [kept]


@pytest.mark.parametrize("lacking", ["batch_id", "error", "reason", "remedy", "last_failed_at", "batch"])
def test_a_record_that_lacks_something_is_passed_over(lacking):
    store = InMemoryObjects()
    key = keep_failed(store, 1)
    record = json.loads(store.read(BUCKET, key))
    del record[lacking]
    store.write(BUCKET, key, json.dumps(record).encode())
    assert list_failed_batches(store, BUCKET, "web_analytics", "r1", LONG_AGO) == []


@dataclass
class CountedObjects(InMemoryObjects):
    """Objects that count how often they are read."""

    reads: int = 0

    def read(self, bucket, key):
        self.reads += 1
        return super().read(bucket, key)


def test_what_failed_before_the_execution_is_not_even_read():
    store = CountedObjects()
    for number in range(5):
        keep_failed(store, number, run="r0")
    store.reads = 0
    started = store.written_at + timedelta(seconds=1)
    assert list_failed_batches(store, BUCKET, "web_analytics", "r1", started.isoformat()) == []
    assert store.reads == 0


@pytest.mark.parametrize(
    ("wanted", "batches", "swept", "busy"),
    [
        pytest.param(4, 100, None, 4, id="more batches than places"),
        pytest.param(1000, 2, None, 2, id="more places than batches"),
        pytest.param(1000, 2, 9, 9, id="more batches of the sweep"),
        pytest.param(4, 0, 9, 4, id="only batches of the sweep"),
    ],
)
def test_no_more_batches_cost_than_there_are(wanted, batches, swept, busy):
    plan = {"plan": asdict(make_plan(batches=batches))}
    sweep = {"sweep": {"bucket": BUCKET, "key": "k", "rows": 1, "batches": swept, "rows_before": 0}} if swept else {}
    taken = steps("Backfill batches", "Reconcile run", "Report run")
    state = run_request(max_concurrency=wanted).as_dict() | plan | sweep
    lines = {line["what"]: line["quantity"] for line in report_of(state, taken)["cost"]["lines"]}
    assert lines["Lambda compute"] == pytest.approx(10 * busy * MEMORY.convert_mb / 1024)


def test_so_many_failures_are_named():
    store = InMemoryObjects()
    for number in range(MAX_FAILURES + 5):
        keep_failed(store, number, converted=False)
    assert len(list_failed_batches(store, BUCKET, "web_analytics", "r1", LONG_AGO)) == MAX_FAILURES


class ClearedObjects(InMemoryObjects):
    """Objects that someone clears once they are listed."""

    def read(self, bucket, key):
        raise ObjectMissingError(f"s3://{bucket}/{key} does not exist.")


def test_a_failure_that_is_dealt_with_meanwhile_is_none():
    store = InMemoryObjects()
    keep_failed(store, 1)
    assert list_failed_batches(ClearedObjects(store.objects), BUCKET, "web_analytics", "r1", LONG_AGO) == []


def test_the_schema_describes_every_part_of_a_report():
    assert report_of(RECONCILED).keys() == SCHEMA["properties"].keys() == set(SCHEMA["required"])
