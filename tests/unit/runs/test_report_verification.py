import json
from datetime import UTC, datetime

import pytest
from jsonschema import Draft202012Validator

from dynaurora import keys
from dynaurora.runs.report_backfill import build_backfill_report
from dynaurora.runs.report_page import render_report
from dynaurora.runs.report_verification import NAMED_DIFFERENCES, build_verification_report, read_report_before
from tests.support.example import load_example
from tests.support.fakes import InMemoryObjects
from tests.support.run_states import BUCKET, EXECUTION, MEMORY, PACKAGE, RECONCILED, steps

SCHEMA = json.loads((PACKAGE / "verification_report.schema.json").read_text())
STARTED = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
MAPPING = load_example()
DIFFERENCE = {"target": "WebAnalytics", "key": {"page_id": {"S": "/a"}}, "verdict": "differing", "columns": ["hits"]}
FOUND = {"verification": {"counts": {"items": 3, "identical": 2, "differing": 1}, "unexplained": 1, "whole": True}}
REPAIR = {"verification": "v", "found": 1, "left_out": 0, "gap": None}
REPAIR |= {"keys": 1, "changed": 1, "refused": 0, "agrees": True}
GAP = {"from": "2026-11-23T08:15:00Z", "to": "2026-11-23T09:15:00Z"}


def report_of(found, before=None, via="scan"):
    report = build_verification_report(MAPPING, "verify-1", via, STARTED, found, before)
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(report)))
    assert "verify-1" in render_report(report)
    return report


def test_the_report_of_a_scan_has_what_was_found_and_no_run():
    missing = {"target": "WebAnalytics", "key": {"page_id": {"S": "/b"}}, "verdict": "missing"}
    report = report_of(FOUND | {"reasons": {"a (type)": 2}, "differences": [DIFFERENCE, missing]})
    assert (report["verification"], report["reasons"]) == (FOUND["verification"], {"a (type)": 2})
    assert (report["differences"], report["digest"]) == ([DIFFERENCE, missing], MAPPING.digest)
    assert (report["started_at"], report["execution"], report["repair"]) == ("2026-11-23T08:15:00Z", None, None)


def test_the_report_of_an_export_keeps_what_the_run_that_compared_it_has_reported():
    before = build_backfill_report(RECONCILED, EXECUTION, steps("Open run", "Report run"), [], MEMORY)
    report = report_of(FOUND, before, via="export")
    kept = ("execution", "options", "export", "totals", "phases", "cost")
    assert {name: report[name] for name in kept} == {name: before[name] for name in kept}
    assert report_of(FOUND, report, via="export")["totals"] == before["totals"]


def test_the_report_of_a_repair_says_what_was_mended():
    assert report_of(FOUND | {"repair": REPAIR}, via="keys")["repair"] == REPAIR


def test_the_report_of_a_gap_that_was_filled_has_verified_nothing():
    report = report_of({"repair": REPAIR | {"gap": GAP, "agrees": None, "found": None}}, via="export")
    assert (report["verification"], report["repair"]["gap"]) == (None, GAP)


def test_a_report_names_so_many_differences_and_no_more():
    assert len(report_of(FOUND | {"differences": [DIFFERENCE] * 1_000})["differences"]) == NAMED_DIFFERENCES


def test_the_schema_describes_every_part():
    assert report_of(FOUND).keys() == SCHEMA["properties"].keys() == {*SCHEMA["required"]}


@pytest.mark.parametrize(("body", "before"), [(None, None), (b"[]", None), (b'{"run": "r"}', {"run": "r"})])
def test_what_a_run_has_reported_before_is_read(body, before):
    store = InMemoryObjects()
    if body is not None:
        store.write(BUCKET, keys.report("web_analytics", "verify-1"), body)
    assert read_report_before(store, BUCKET, "web_analytics", "verify-1") == before
