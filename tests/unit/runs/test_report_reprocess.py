import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest

import dynaurora
from backfill.runs.reports import describe_reprocess_report
from dynaurora import keys
from dynaurora.aws.executions import Step
from dynaurora.errors import FailuresNotSettledError
from dynaurora.runs.report_page import render_report
from dynaurora.runs.report_reprocess import COUNTS, report_reprocess
from tests.support.fakes import InMemoryObjects

SCHEMA = json.loads(Path(dynaurora.__file__).with_name("reprocess_report.schema.json").read_text("utf-8"))
RUN = "reprocess-20261123T081500Z"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:dynaurora-reprocess-failures:e-1"
STARTED = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
CAUGHT = {"Error": "AccessDeniedError", "Cause": json.dumps({"errorMessage": "PutObject was refused."})}
MANIFEST = f"reports/run={RUN}/map/0f1e/manifest.json"
DETAILS = {"Bucket": "landing", "Key": MANIFEST}


class History:
    """What the execution did, a second in each state."""

    def __init__(self, *states):
        self.states = states

    def steps(self, execution):
        assert execution == EXECUTION
        for number, state in enumerate(self.states):
            yield Step(state, STARTED + timedelta(seconds=number))


def settled(**changed):
    counts = dict.fromkeys(COUNTS, 0) | {"kind": "records", "rejected": {}, "notice": None}
    return counts | changed


def state_of(entries, **changed):
    state = {
        "mapping": "web_analytics",
        "run": RUN,
        "options": {"prefix": None, "include_parked": False, "max_concurrency": 2},
        "plan": {"bucket": "landing", "key": "failures.json", "entries": entries, "objects": entries + 1},
        **({"map": {"MapRunArn": "arn:map", "ResultWriterDetails": DETAILS}} if entries else {}),
    }
    return state | changed


def results(*succeeded, failed=()):
    """Return a store with what a result writer wrote, each status in files of one child."""
    store = InMemoryObjects()
    files = {"SUCCEEDED": [], "FAILED": [], "PENDING": []}
    stops = (STARTED + timedelta(seconds=2 * number) for number in range(len(succeeded)))
    children = [
        ("SUCCEEDED", {"Output": json.dumps(output), "StopDate": stop.isoformat().replace("+00:00", "Z")})
        for output, stop in zip(succeeded, stops, strict=True)
    ]
    for number, (status, child) in enumerate([*children, *(("FAILED", child) for child in failed)]):
        key = MANIFEST.replace("manifest", f"{status}_{number}")
        store.write("landing", key, json.dumps([child]).encode())
        files[status].append({"Key": key, "Size": 1})
    document = {"DestinationBucket": "landing", "MapRunArn": "arn:map", "ResultFiles": files}
    store.write("landing", MANIFEST, json.dumps(document).encode())
    return store


def report(state, store=None, *states):
    history = History(*(states or ["Open run"]))
    execution = {"id": EXECUTION, "started": STARTED.isoformat()}
    made, failure = report_reprocess(state, RUN, execution, store or InMemoryObjects(), history)
    if made is not None:
        jsonschema.validate(made, SCHEMA)
    return made, failure


def test_what_became_of_the_entries_is_summed_up():
    store = results(
        settled(records=5, rows=3, rows_changed=2, rejected={"payload (json)": 1, "a (type)": 1}, records_parked=1),
        settled(records=1, rejected={"a (type)": 1}, records_superseded=2),
        settled(kind="batch", rows=10, rows_changed=10, batches_imported=1),
        settled(kind="batch", batches_failed=1, batches_parked=1),
    )
    made, failure = report(state_of(4), store)
    assert failure is None
    assert made["totals"] == {
        "records": 6,
        "rows": 13,
        "rows_changed": 12,
        "records_parked": 1,
        "records_superseded": 2,
        "batches_imported": 1,
        "batches_failed": 1,
        "batches_parked": 1,
        "rejected": 3,
        "rejected_reasons": {"a (type)": 2, "payload (json)": 1},
        "entries": 4,
        "entries_failed": 0,
    }
    assert (made["state"], made["objects"], made["failure"]) == ("SUCCEEDED", 5, None)


def test_a_run_without_failures_has_done_nothing():
    made, failure = report(state_of(0))
    assert (failure, made["state"]) == (None, "SUCCEEDED")
    assert made["totals"] == dict.fromkeys((*COUNTS, "rejected", "entries", "entries_failed"), 0) | {
        "rejected_reasons": {}
    }


def test_entries_that_were_not_settled_fail_the_run_with_what_the_first_failed_for():
    child = {"Error": "FailuresNotSettledError", "Cause": CAUGHT["Cause"], "Status": "FAILED"}
    made, failure = report(state_of(3), results(settled(records=1), failed=[child, child]))
    assert (made["totals"]["entries_failed"], made["totals"]["records"]) == (2, 1)
    assert failure["error"] == FailuresNotSettledError.__name__
    assert failure["reason"] == "2 of 3 entries could not be settled, the first for: PutObject was refused."
    assert failure["remedy"] == FailuresNotSettledError.remedy
    assert "Then: dynaurora reprocess start web_analytics\n" in failure["message"]
    assert failure["message"].endswith("Runbook: docs/runbooks/failed-records.md")
    assert failure["subject"] == f"dynaurora: run {RUN} failed: FailuresNotSettledError"


def test_entries_that_nobody_knows_of_fail_the_run_too():
    _, failure = report(state_of(2), results(settled()))
    assert failure["reason"] == "1 of 2 entries could not be settled."


@pytest.mark.parametrize(
    "state", [state_of(2), {"mapping": "web_analytics", "run": None}], ids=["listed", "not opened"]
)
def test_a_run_that_was_stopped_by_an_error_is_reported_without_totals(state):
    state = {name: value for name, value in state.items() if name != "map"} | {"error": CAUGHT}
    made, failure = report(state)
    assert (made["state"], made["totals"]) == ("FAILED", None)
    assert made["failure"] == {name: failure[name] for name in ("error", "reason", "remedy")}
    assert (failure["error"], failure["reason"]) == ("AccessDeniedError", "PutObject was refused.")


def test_the_report_has_the_phases():
    made, _ = report(state_of(0), None, "Open run", "List failures", "Anything to reprocess?", "Report run")
    assert [phase["name"] for phase in made["phases"]] == ["checking", "listing", "reporting"]
    assert [phase["seconds"] for phase in made["phases"]][:2] == [1.0, 2.0]
    assert made["started_at"] == "2026-11-23T08:15:00Z"


def test_the_report_has_the_rows_of_each_step_of_time():
    store = results(settled(records=5, rows=3), settled(records=2, rows=0), settled(kind="batch", rows=10))
    made, _ = report(state_of(3), store)
    assert made["pace"] == {"since": "2026-11-23T08:15:00Z", "step_seconds": 1, "rows": [3, 0, 0, 0, 10]}


def test_the_report_names_keys_of_what_was_refused_again_and_what_imports_were_tried_again_for():
    store = results(settled(records=2, rejected={"a (type)": 1}))
    line = {"Reason": "a (type)", "Keys": {"page_id": {"S": "/a"}}}
    store.write("landing", keys.reprocess_refused("web_analytics", RUN, 1), json.dumps(line).encode())
    store.write("landing", keys.retry_note("web_analytics", RUN, "DeadlockError", "b1", 0), b"")
    made, _ = report(state_of(1), store)
    assert made["refused_examples"] == [{"reason": "a (type)", "keys": [{"page_id": {"S": "/a"}}]}]
    assert made["retry_causes"] == [{"error": "DeadlockError", "times": 1, "batches": 1}]


def test_the_report_names_the_batches_that_failed_again_and_no_others():
    store = results(settled(kind="batch", batches_failed=1))
    record = {"error": "RowCountError", "reason": "9 of 10.", "remedy": "Mend it."}
    for batch, hours in (("taken", 1), ("of-another", 1), ("before", -1)):
        failed_at = (STARTED + timedelta(hours=hours)).isoformat()
        document = record | {"batch_id": batch, "last_failed_at": failed_at, "batch": {"run": "r1"}}
        store.write("landing", keys.failed_batch("web_analytics", batch), json.dumps(document).encode())
        store.times["landing", keys.failed_batch("web_analytics", batch)] = STARTED + timedelta(hours=hours)
    taken = [{"key": keys.failed_batch("web_analytics", batch)} for batch in ("taken", "before")]
    entries = [{"kind": "batch", "objects": taken}, {"kind": "records", "objects": [{"key": "x"}]}]
    store.write("landing", "failures.json", json.dumps(entries).encode())
    made, _ = report(state_of(1), store)
    assert [(each["batch"], each["error"]) for each in made["failures"]] == [("taken", "RowCountError")]


def test_a_batch_that_was_parked_is_named_with_the_command_that_takes_it_up():
    store = results(settled(kind="batch", batches_parked=1))
    failed = keys.failed_batch("web_analytics", "taken")
    parked = keys.parked("web_analytics", failed)
    record = {"error": "RowCountError", "reason": "9 of 10.", "remedy": "Mend it.", "batch_id": "taken"}
    document = record | {"last_failed_at": (STARTED + timedelta(hours=1)).isoformat(), "batch": {"run": "r1"}}
    store.write("landing", parked, json.dumps(document).encode())
    store.times["landing", parked] = STARTED + timedelta(hours=1)
    entries = [{"kind": "batch", "objects": [{"key": failed}]}]
    store.write("landing", "failures.json", json.dumps(entries).encode())
    made, _ = report(state_of(1), store)
    (told,) = made["failures"]
    assert (told["key"], told["parked"]) == (parked, True)
    command = f"dynaurora reprocess start web_analytics --prefix {parked}"
    page = render_report(made)
    assert command in page
    assert "dynaurora reprocess start web_analytics</pre>" not in page
    assert f"then: {command}" in {value for _, value in describe_reprocess_report(made)}
