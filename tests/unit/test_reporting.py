import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import dynaurora
from dynaurora import keys
from dynaurora.errors import REMEDIES_OF_AWS, DynauroraError, ObjectMissingError, remedy_for, subclasses
from dynaurora.failed_batches import MAX_SUBJECT, record_failed_batch
from dynaurora.notices import Notices
from dynaurora.reporting import (
    LAST_PHASE,
    MAX_FAILURES,
    NOT_MENDED_BY_REPEATING,
    PHASES,
    Memory,
    Step,
    build_report,
    find_failure,
    is_own,
    list_failures,
    measure_phases,
    name_run,
)
from tests.events import load_event
from tests.unit.factories import EXPORT_ARN, make_plan, make_totals, run_input, run_request
from tests.unit.failure_factories import CONVERSION
from tests.unit.fakes import InMemoryObjects

BUCKET = "landing"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:dynaurora-backfill-table:web_analytics-r1"
MEMORY = Memory(convert_mb=1769, import_mb=256)
STARTED = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
PACKAGE = Path(dynaurora.__file__).parent
MACHINES = ("backfill_table", "reprocess_failures")
STATES = {
    name: json.loads((PACKAGE.parent / f"statemachines/{name}.asl.json").read_text())["States"] for name in MACHINES
}
SCHEMA = json.loads((PACKAGE / "report.schema.json").read_text())


def steps(*names, seconds=10):
    """Return these states, entered one after the other, each so many seconds after the one before."""
    return [Step(name, STARTED + timedelta(seconds=seconds * number)) for number, name in enumerate(names)]


def caught(error, message="It happened."):
    """Return what a Catch records of one of our errors."""
    cause = {"errorMessage": f"{message} {remedy_for(error)}", "errorType": error, "stackTrace": []}
    return {"Error": error, "Cause": json.dumps(cause)}


def report_of(state, taken=(), failures=()):
    """Return the report of a run; whatever it is of, it is JSON and as its schema says."""
    report = build_report(state, EXECUTION, taken, list(failures), MEMORY)
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(report)))
    return report


OPENED = run_request().as_dict()
PLANNED = OPENED | {"plan": asdict(make_plan())}
RECONCILED = PLANNED | {"totals": asdict(make_totals())}


def test_every_state_before_the_report_is_in_a_phase():
    assert PHASES.keys() == set().union(*(states_before_the_report(STATES[machine]) for machine in MACHINES))


def states_before_the_report(states):
    """Return the states that work is done in: not those that report it, and not ends without a report."""
    reporting, pending = set(), ["Report run"]
    while pending:
        name = pending.pop()
        reporting.add(name)
        pending += [found for found in successors(states[name]) if found not in reporting]
    return {name for name, state in states.items() if state["Type"] not in ("Succeed", "Fail")} - reporting


def successors(state):
    """Yield where a state leads to."""
    for path in (state, *state.get("Catch", []), *state.get("Choices", [])):
        if "Next" in path:
            yield path["Next"]
    if "Default" in state:
        yield state["Default"]


def test_the_phases_of_a_run_are_in_the_order_in_which_it_comes_to_them():
    taken = steps(
        *("Open run", "Check readiness", "Ready to export?", "Wait for margin", "Check readiness", "Ready to export?"),
        *("Export given?", "Start export", "Describe export", "Export finished?", "Wait for export"),
        *("Describe export", "Export finished?", "Plan backfill", "Anything to import?", "Backfill batches"),
        *("Reconcile run", "Sweep wanted?", "Plan sweep", "Anything to sweep?", "Sweep batches", "Report run"),
    )
    phases = measure_phases(taken, taken[-1].entered_at + timedelta(seconds=4))
    assert list(phases.items()) == [
        ("checking", 50.0),
        ("waiting for margin", 10.0),
        ("exporting", 70.0),
        ("planning", 20.0),
        ("importing", 10.0),
        ("reconciling", 20.0),
        ("sweeping", 30.0),
        (LAST_PHASE, 4.0),
    ]


def test_a_run_without_history_has_no_phases():
    assert measure_phases([], STARTED) == {}
    report = report_of(OPENED)
    assert (report["phases"], report["seconds"]) == ([], 0)


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
        "options": OPENED["options"],
        "export": {
            "arn": EXPORT_ARN,
            "time": "2023-11-14T22:13:20Z",
            "items": 10,
            "billed_bytes": 1000,
            "files": 3,
            "files_empty": 1,
            "batches": 2,
        },
        "totals": asdict(make_totals()),
        "sweep": None,
        "failures": [],
        "failure": None,
        "warnings": [],
    }


def test_the_report_of_a_run_that_swept():
    sweep = {"bucket": BUCKET, "key": keys.sweep_plan("web_analytics", "r1"), "rows": 7, "batches": 1, "rows_before": 3}
    report = report_of(RECONCILED | {"sweep": sweep})
    assert (report["state"], report["sweep"]) == ("SUCCEEDED", sweep)


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


@pytest.mark.parametrize(
    ("state", "error"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"error": None}, None, id="null"),
        pytest.param({"error": caught("ThrottledError")}, "ThrottledError", id="a state's"),
        pytest.param({"unreconciled": caught("ReconciliationError")}, "ReconciliationError", id="the account's"),
        pytest.param(
            {"unreconciled": caught("ReconciliationError"), "error": caught("DeadlockError")},
            "DeadlockError",
            id="both: what came first",
        ),
        pytest.param({"unreported": caught("ThrottledError"), "unclosed": {"Error": "E"}}, None, id="only afterwards"),
        pytest.param({"error": "text"}, "Unknown", id="unreadable"),
    ],
)
def test_a_run_failed_for_what_came_first(state, error):
    failure = find_failure(OPENED | state, EXECUTION)
    assert (failure and failure["error"]) == error


def test_a_failure_says_what_why_and_what_next():
    failure = find_failure(OPENED | {"error": caught("ChecksumMismatchError", "A file is another one.")}, EXECUTION)
    assert failure["subject"] == "dynaurora: run r1 failed: ChecksumMismatchError"
    for part in ("Run r1 of web_analytics", "A file is another one.", remedy_for("ChecksumMismatchError"), EXECUTION):
        assert failure["message"].count(part) == 1
    assert "dynaurora backfill start web_analytics --run r1" in failure["message"]
    assert failure["message"].endswith("Runbook: docs/runbooks/backfill.md")


@pytest.mark.parametrize("error", sorted(NOT_MENDED_BY_REPEATING))
def test_the_same_run_is_not_proposed_where_it_would_fail_again(error):
    failure = find_failure(OPENED | {"error": caught(error)}, EXECUTION)
    assert f"Next: {failure['remedy']}\n" in failure["message"]
    assert "--run r1" not in failure["message"]


@pytest.mark.parametrize(
    ("error", "named"),
    [
        ("States.ExceedToleratedFailureThreshold", "BatchesFailedError"),
        ("States.Timeout", "StepFunctions.Timeout"),
        ("States.ItemReaderFailed", "StepFunctions.ItemReaderFailed"),
        ("States.ResultWriterFailed", "StepFunctions.ResultWriterFailed"),
        ("States.TaskFailed", "StepFunctions.TaskFailed"),
        ("DynamoDb.ExportNotFoundException", "DynamoDb.ExportNotFoundException"),
    ],
)
def test_a_run_fails_by_a_name_that_an_execution_may_fail_with(error, named):
    failure = find_failure(OPENED | {"error": {"Error": error, "Cause": "It is so."}}, EXECUTION)
    assert (failure["error"], failure["reason"]) == (named, "It is so.")
    assert f"Error: {named}\n" in failure["message"]


ERRORS = [cls.__name__ for cls in subclasses(DynauroraError)] + [*REMEDIES_OF_AWS, "States.Timeout", "Sandbox.Timedout"]


@pytest.mark.parametrize("error", ERRORS)
def test_the_next_step_after_a_run_is_no_batchs(error):
    assert "import the batch again" not in find_failure(OPENED | {"error": caught(error)}, EXECUTION)["message"]


@pytest.mark.parametrize("error", ["TargetMismatchError", "AccessDeniedError", "PrivilegeError", "States.Timeout"])
def test_a_run_is_started_again_once_its_cause_is_mended(error):
    failure = find_failure(OPENED | {"error": caught(error)}, EXECUTION)
    assert failure["remedy"].endswith(", then start the run again.")


@pytest.mark.parametrize("run", [None, "", 5, "line\nbreak", "x" * 500, "ü" * 50, {"a": 1}])
def test_a_subject_is_one_that_sns_takes_whatever_the_input(run):
    failure = find_failure({"run": run, "error": {"Error": "E" * 200}}, EXECUTION)
    assert re.fullmatch(r"dynaurora: run unnamed failed: [ -~]*", failure["subject"])
    assert len(failure["subject"]) <= MAX_SUBJECT


@pytest.mark.parametrize("run", ["r1", "20261123T081500Z", "A_b-c"])
def test_a_report_is_named_by_its_run(run):
    assert name_run({"run": run}, "execution") == run


@pytest.mark.parametrize("run", [None, "", "a/b", "../x", "ü", 5, ["r1"], "a" * 65])
def test_a_report_of_what_can_be_no_run_is_named_by_its_execution(run):
    assert name_run({"run": run}, "execution") == "execution"
    assert name_run({}, "execution") == "execution"


@pytest.mark.parametrize("error", ["RunConflictError", "InvalidRunError"])
def test_a_run_that_is_another_executions_keeps_its_report(error):
    assert not is_own(find_failure(OPENED | {"error": caught(error)}, EXECUTION))


def test_a_run_that_succeeded_or_failed_has_a_report():
    assert is_own(None)
    assert is_own(find_failure(OPENED | {"error": caught("NotReadyError")}, EXECUTION))


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
    failures = list_failures(store, BUCKET, "web_analytics", "r1", LONG_AGO)
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
    assert list_failures(store, BUCKET, "web_analytics", "r1", later) == []
    assert len(list_failures(store, BUCKET, "web_analytics", "r1", failed_at.replace("Z", ".999Z"))) == 1


@pytest.mark.parametrize("batch", [None, "text", [], {"mapping": "web_analytics"}, 5])
def test_what_was_kept_without_a_descriptor_is_of_no_run(batch):
    store = InMemoryObjects()
    keep(store, {"batch": batch, "execution": {"name": "e-1"}})
    kept = keep_failed(store, 1)
    assert [failure["key"] for failure in list_failures(store, BUCKET, "web_analytics", "r1", LONG_AGO)] == [kept]


@pytest.mark.parametrize(
    "body",
    [b"hello", b"\xff", b"", b"[]", b"5", b"null", b'"text"', b"{}", b'{"batch": {"run": "r1"}}', b'{"batch": []}'],
)
@pytest.mark.parametrize("key", ["a.txt", "zzz.json"])
def test_what_is_no_record_is_passed_over(body, key):
    store = InMemoryObjects()
    kept = keep_failed(store, 1)
    store.write(BUCKET, f"failed_batches/mapping=web_analytics/{key}", body)
    assert [failure["key"] for failure in list_failures(store, BUCKET, "web_analytics", "r1", LONG_AGO)] == [kept]


@pytest.mark.parametrize("lacking", ["batch_id", "error", "reason", "remedy", "last_failed_at", "batch"])
def test_a_record_that_lacks_something_is_passed_over(lacking):
    store = InMemoryObjects()
    key = keep_failed(store, 1)
    record = json.loads(store.read(BUCKET, key))
    del record[lacking]
    store.write(BUCKET, key, json.dumps(record).encode())
    assert list_failures(store, BUCKET, "web_analytics", "r1", LONG_AGO) == []


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
    assert list_failures(store, BUCKET, "web_analytics", "r1", started.isoformat()) == []
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
    assert len(list_failures(store, BUCKET, "web_analytics", "r1", LONG_AGO)) == MAX_FAILURES


class ClearedObjects(InMemoryObjects):
    """Objects that someone clears once they are listed."""

    def read(self, bucket, key):
        raise ObjectMissingError(f"s3://{bucket}/{key} does not exist.")


def test_a_failure_that_is_dealt_with_meanwhile_is_none():
    store = InMemoryObjects()
    keep_failed(store, 1)
    assert list_failures(ClearedObjects(store.objects), BUCKET, "web_analytics", "r1", LONG_AGO) == []


def test_the_schema_describes_every_part_of_a_report():
    assert report_of(RECONCILED).keys() == SCHEMA["properties"].keys() == set(SCHEMA["required"])
