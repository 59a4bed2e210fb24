"""The report of a run that was stopped: of what EventBridge tells, its plan and the ledger."""

import json
from dataclasses import asdict, replace

import pytest
from jsonschema import Draft202012Validator

from dynaurora.exports.reconcile_run import RunInTarget
from dynaurora.runs import report_stopped
from dynaurora.runs.close_run import read_ending
from dynaurora.runs.report_page import render_report
from dynaurora.runs.report_stopped import RunSoFar, build_stopped_report
from tests.support.example import load_example
from tests.support.factories import make_plan, make_totals, run_input
from tests.support.run_states import EXECUTION, OPENED, PACKAGE

TOTALS = make_totals(exported=10, imported=4, unaccounted=6, batches_imported=1, batches_failed=1)
PACE = {"since": "2026-11-23T08:15:00Z", "step_seconds": 1, "rows": [4]}
BACKFILL = "arn:aws:states:us-east-1:123456789012:stateMachine:dynaurora-backfill-table"
REPROCESS = BACKFILL.replace("backfill-table", "reprocess-failures")


class KnownRuns:
    """Runs of which the database has one."""

    def __init__(self, options, execution=EXECUTION):
        self.row = {"options": options, "execution": execution}

    def describe(self, mapping, run):
        assert (mapping, run[:1]) == ("web_analytics", "r")
        return [self.row]


@pytest.fixture
def stop(monkeypatch):
    """Build the report of a run that ended so, and check that it is as its schema says and has a page."""

    def build(plan=None, machine=BACKFILL, status="ABORTED", options=OPENED["options"], **runs):
        asked = []
        monkeypatch.setattr(report_stopped, "read_pace", lambda *_: PACE)
        monkeypatch.setattr(RunInTarget, "read_totals", lambda counted: asked.append(counted.kind) or TOTALS)
        detail = {
            "executionArn": EXECUTION,
            "stateMachineArn": machine,
            "status": status,
            "input": json.dumps(run_input()),
        }
        detail |= {"startDate": 1795421700000, "stopDate": 1795421760500}
        ending = replace(read_ending({"detail": detail}), plan=plan and asdict(plan))
        report = build_stopped_report(ending, detail, RunSoFar(None, load_example(), KnownRuns(options, **runs)))
        name = "reprocess_report" if machine == REPROCESS else "report"
        Draft202012Validator(json.loads((PACKAGE / f"{name}.schema.json").read_text())).validate(report)
        assert "Stopped" in render_report(report) or status == "TIMED_OUT"
        return report, asked

    return build


def test_a_backfill_has_its_plan_and_what_it_has_come_to(stop):
    report, (kind,) = stop(make_plan())
    assert (report["state"], report["seconds"], report["started_at"]) == ("STOPPED", 60.5, "2026-11-23T08:15:00Z")
    assert (report["totals"], kind) == (asdict(TOTALS) | {"pace": PACE}, "backfill")
    assert (report["export"]["items"], report["cost"], report["phases"]) == (10, None, [])
    assert report["failure"]["reason"] == "It was stopped."
    page = render_report(report)
    assert "It was stopped. 6 of 10 items are not imported." in page
    assert "dynaurora backfill start web_analytics --run r1" in page


def test_a_verification_is_told_as_one(stop):
    report, (kind,) = stop(make_plan(), options=OPENED["options"] | {"compare": True})
    assert kind == "verify"
    assert "dynaurora verify web_analytics --run r1" in render_report(report)


def test_a_run_that_was_not_planned_has_no_totals(stop):
    report, asked = stop()
    assert (report["totals"], report["export"], asked) == (None, None, [])


def test_options_are_those_of_this_execution(stop):
    assert stop()[0]["options"] == OPENED["options"]
    assert stop(execution="arn:of:another")[0]["options"] is None


def test_a_run_that_took_too_long_has_failed(stop):
    report, _ = stop(status="TIMED_OUT")
    assert (report["state"], report["failure"]["error"]) == ("FAILED", "StepFunctions.Timeout")


def test_a_reprocess_says_how_to_take_up_what_is_kept(stop):
    options = {"prefix": None, "include_parked": False, "max_concurrency": 2}
    report, _ = stop(machine=REPROCESS, options=options)
    assert (report["state"], report["totals"], report["options"]) == ("STOPPED", None, options)
    assert "dynaurora reprocess start web_analytics" in render_report(report)
