import json
import time
from dataclasses import replace

import pytest
from rich.console import Console

from backfill.kinds import BACKFILL, REPROCESS
from backfill.runs.describe import count_steps, describe_state, describe_view, summarize_view
from backfill.runs.executions import Export, Retrying
from backfill.runs.progress import Batches, Rows
from backfill.runs.reports import describe_report
from backfill.runs.run_view import Failure
from backfill.runs.screens import JsonScreen, LineScreen, render_view
from dynaurora.runs.costs import Usage, estimate_cost
from dynaurora.runs.phases import LAST_PHASE, PHASES
from tests.support.backfill_factories import PLAN, RUN, after, make_view

IMPORTING = {
    "plan": PLAN,
    "batches": Batches(12, 3, 1, 2),
    "rows": Rows(29_990, 10, 4),
    "rows_per_second": 1234.5,
    "seconds_left": 120,
    "retries": 2,
    "retrying": (Retrying("DeadlockError", 3, 1),),
}
REPORT = {
    "run": RUN,
    "mapping": "web_analytics",
    "execution": "arn:execution",
    "state": "FAILED",
    "started_at": "2026-11-23T08:15:00Z",
    "ended_at": "2026-11-23T08:17:00Z",
    "seconds": 120.0,
    "digest": "0123456789abcdef" * 4,
    "generation": 2,
    "options": None,
    "export": {
        "arn": "arn:export",
        "time": "2026-11-23T08:14:00Z",
        "items": 1000,
        "billed_bytes": 1536,
        "files": 4,
        "files_empty": 1,
        "batches": 2,
    },
    "totals": {
        "exported": 1000,
        "imported": 480,
        "already_newer": 11,
        "rejected": 9,
        "rejected_reasons": {"type payload": 7, "required Hits": 2},
        "unaccounted": 500,
        "batches_planned": 2,
        "batches_imported": 1,
        "batches_failed": 1,
        "older_rows": {"tombstones": 1, "not_imported": 2000, "changed_since": 0},
        "complete": True,
    },
    "sweep": {"bucket": "landing", "key": "sweep.json", "rows": 7, "batches": 1},
    "failures": [
        {"batch": "b-2", "error": "RowCountError", "reason": "499 rows", "remedy": "Again.", "key": "failed/b-2.json"}
    ],
    "failure": {"error": "States.ExceedToleratedFailureThreshold", "reason": "1 of 2", "remedy": "Mend it."},
    "phases": [{"name": "checking", "seconds": 1.5}, {"name": "importing", "seconds": 118.5}],
    "cost": estimate_cost(None, Usage(0, 1, 0, 118.5, 2, 1024, 512)),
    "warnings": ["The export is 2 days old."],
}


def as_text(pairs):
    return "\n".join(f"{name}: {value}" if name else f"  {value}" for name, value in pairs)


def test_a_running_run_shows_its_progress():
    text = as_text(describe_view(make_view(**IMPORTING)))
    for line in (
        f"run: {RUN} of web_analytics (stack clicks)",
        "state: importing, running for 1 min 15 s",
        "exported: 120,000 items in 14 files (2 empty)",
        "batches: 3 of 12 imported, 2 running, 1 failed",
        "rows: 29,990 imported, 10 already newer, 4 rejected",
        "speed: 1,234 rows/s",
        "time left: 2 min 0 s",
        "retries: 2",
        "retrying now: 1 batch after DeadlockError, 3 times",
    ):
        assert line in text


def test_what_is_not_known_is_said_to_be():
    text = as_text(describe_view(make_view(batches=Batches(12))))
    assert "speed: unknown" in text
    assert "time left: unknown" in text


def test_batches_that_were_stopped_are_told_from_those_that_failed():
    text = as_text(describe_view(make_view(state="STOPPED", batches=Batches(12, 3, stopped=2))))
    assert "batches: 3 of 12 imported, 0 running, 0 failed, 2 stopped" in text


def test_notes_are_shown():
    assert "note: It is down." in as_text(describe_view(make_view(notes=("It is down.",))))


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"state": "SUCCEEDED", "phase": "done"}, "SUCCEEDED after 1 min 0 s"),
        ({"state": "FAILED", "phase": "done"}, "FAILED after 1 min 0 s"),
        ({"state": "STOPPED", "phase": "exporting"}, "STOPPED after 1 min 0 s while exporting"),
    ],
)
def test_the_state_of_a_run_that_has_ended(changed, text):
    assert describe_state(make_view(ended_at=after(60), **changed)) == text


def test_a_failure_without_a_report_has_its_next_step():
    view = make_view(state="FAILED", phase="done", failure=Failure("NotReadyError", "It is off.", "Switch it on."))
    assert "failure: NotReadyError: It is off.\n  Switch it on." in as_text(describe_view(view))


def test_a_report_is_shown_whole():
    text = as_text(describe_report(REPORT))
    for line in (
        "exported: 1,000 items as of 2026-11-23T08:14:00Z",
        "  4 files (1 empty), 1.5 KiB billed",
        "batches: 2 planned, 1 imported, 1 failed",
        "imported: 480 rows",
        "already newer: 11 rows",
        "rejected: 9 records",
        "  7 type payload",
        "unaccounted: 500 items",
        "mapping: 0123456789abcdef, generation 2",
        "older mapping: 0 rows changed since the export",
        "  2,000 rows of items that are gone, rejected or in failed batches",
        "  1 tombstone",
        "swept: 7 rows in 1 batch",
        "warnings: The export is 2 days old.",
        "failure: States.ExceedToleratedFailureThreshold: 1 of 2",
        "failed batch: b-2: RowCountError: 499 rows",
        "  failed/b-2.json",
        "phases: checking        1.5 s",
        "  importing  1 min 58 s",
        "cost: about $0.0",
    ):
        assert line in text


def test_a_report_of_the_release_before_is_shown_without_its_mapping():
    names = ("digest", "generation")
    totals = {name: value for name, value in REPORT["totals"].items() if name not in {"older_rows", "complete"}}
    before = {name: value for name, value in REPORT.items() if name not in names} | {"totals": totals}
    text = as_text(describe_report(before))
    assert "imported: 480 rows" in text
    assert "mapping" not in text


def test_a_report_shows_the_most_frequent_attributes_that_no_column_takes():
    named = [
        {"name": f"n{count}", "items": count, "type": "INT", "values_seen": 1, "keys": []} for count in range(12, 0, -1)
    ]
    text = as_text(describe_report(REPORT | {"ignored": {"attributes": named, "others": 100, "exact": True}}))
    assert "ignored: n12      12  INT\n  n11 " in text
    assert "  others  103\n" in text
    assert "n2 " not in text


def test_a_report_of_a_run_that_was_judged_says_what_was_found():
    counts = {"items": 1000, "rows": 999, "identical": 997, "missing": 1, "older_mapping": 2, "extra": 0}
    found = {"counts": counts, "unexplained": 1, "whole": True}
    text = as_text(describe_report(REPORT | {"verification": found}))
    assert "verified: 1 difference without an explanation" in text
    assert "  1,000 items, 999 rows, 997 identical, 1 missing, 2 older mapping\n" in text
    assert "verified" not in as_text(describe_report(REPORT))


def test_a_report_of_a_run_that_came_to_nothing():
    nothing = {"export": None, "totals": None, "sweep": None, "failures": [], "phases": [], "warnings": []}
    pairs = list(describe_report(REPORT | nothing))
    assert [name for name, _ in pairs][:3] == ["mapping", "failure", ""]


def test_a_run_with_a_report_shows_where_it_is():
    view = make_view(state="FAILED", phase="done", report=REPORT, **IMPORTING)
    text = as_text(describe_view(view))
    assert f"report: s3://landing/reports/run=web_analytics-{RUN}/report.json" in text
    assert "time left" not in text


def test_a_line_says_it_all():
    assert summarize_view(make_view(**IMPORTING)) == (
        "importing; batches 3 of 12 imported, 2 running, 1 failed; rows 29,990 imported, 10 already newer, "
        "4 rejected (0.0133 %); 1,234 rows/s; 2 min 0 s left; retrying after DeadlockError (3)"
    )


def test_a_terminals_view_has_a_bar_and_says_that_it_can_be_left():
    console = Console(width=100, force_terminal=True)
    with console.capture() as capture:
        console.print(render_view(make_view(**IMPORTING)))
    text = capture.get()
    assert "3 of 12 imported" in text
    assert "━" in text
    assert "Ctrl-C leaves; the run goes on." in text


EXPORTING = {
    "phase": "exporting",
    "phases": {"checking": 0.4, "exporting": 74.6},
    "export": Export("IN_PROGRESS", after(55)),
}


def test_an_export_shows_how_long_it_takes_and_what_dynamodb_says():
    text = as_text(describe_view(make_view(**EXPORTING)))
    assert "phases: checking 0.4 s, exporting 1 min 15 s" in text
    assert "export: IN_PROGRESS, as DynamoDB said 20 s ago" in text
    assert summarize_view(make_view(**EXPORTING)) == "exporting for 1 min 15 s, IN_PROGRESS"


@pytest.mark.parametrize(
    ("changed", "steps"),
    [
        ({}, 0),
        ({"phase": "waiting for margin", "phases": {"checking": 1.0}}, 0.5),
        (EXPORTING, 1),
        ({"phase": "importing", "batches": Batches(1)}, 3),
        ({"phase": "importing", "batches": Batches(4, 2, 1)}, 3.75),
        ({"phase": "reconciling", "batches": Batches(4, 4)}, 4),
        ({"phase": "sweeping", "phases": {"reconciling": 1.0}, "batches": Batches(4, 4)}, 4.5),
        ({"state": "SUCCEEDED", "phase": "done"}, 6),
    ],
    ids=lambda value: str(value.get("phase", "none")) if isinstance(value, dict) else "",
)
def test_a_run_goes_on_by_steps_and_those_of_many_batches_by_parts(changed, steps):
    assert count_steps(make_view(**{"phase": "checking", "phases": {}} | changed)) == steps


@pytest.mark.parametrize("kind", [BACKFILL, REPROCESS], ids=lambda kind: kind.name)
def test_the_steps_of_a_kind_are_phases_in_the_order_of_its_machine(kind):
    assert [*dict.fromkeys(name for name in (*PHASES.values(), LAST_PHASE) if name in kind.steps)] == [*kind.steps]


def test_lines_of_a_long_export_become_rare(monkeypatch, capsys):
    screen = LineScreen()
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    for seconds in range(0, 7200, 3):
        clock[0] = float(seconds)
        screen.show(make_view(phase="exporting", phases={"exporting": float(seconds)}))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["exporting for 0.0 s", "exporting for 6.0 s"]
    assert 100 < len(lines) < 200


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("changed", [IMPORTING, EXPORTING, {"notes": ("word " * 60, "k" * 300)}], ids=["i", "e", "n"])
def test_a_terminals_view_fits(width, changed):
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(render_view(make_view(**changed)))
    assert max(map(len, capture.get().splitlines())) <= width


def test_json_lines_are_printed_for_changes_only(capsys):
    screen, view = JsonScreen(), make_view(**IMPORTING)
    screen.show(view)
    screen.show(replace(view, seen_at=after(80), seconds_left=115.0, rows_per_second=1.0))
    screen.show(replace(view, batches=Batches(12, 4)))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["batches"]["imported"] for line in lines] == [3, 4]


def test_lines_are_printed_at_once_for_a_new_phase_and_seldom_else(capsys):
    screen, view = LineScreen(), make_view(phase="planning")
    screen.show(view)
    screen.show(replace(view, batches=Batches(12)))
    screen.show(replace(view, phase="importing", batches=Batches(12)))
    screen.tell("Trying again")
    screen.tell("Trying again")
    assert capsys.readouterr().err.splitlines() == [
        "planning",
        "importing; batches 0 of 12 imported, 0 running, 0 failed",
        "Trying again",
    ]
