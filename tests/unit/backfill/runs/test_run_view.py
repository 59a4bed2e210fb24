import json
from pathlib import Path

import pytest

from backfill.kinds import BACKFILL, REPROCESS, name_phase
from backfill.runs.executions import History, MapCounts
from backfill.runs.progress import Batches, Rows
from backfill.runs.run_view import (
    START_AGAIN,
    SWEEP_LABEL,
    SWEEP_MAP,
    is_of_execution,
    name_failure,
    read_rows,
    split_maps,
    view_row,
)
from dynaurora.errors import NotReadyError
from tests.support.backfill_factories import DEPLOYMENT, PLAN, after, entered, make_execution, make_row, make_view


def read_machine(name):
    path = Path(__file__).parents[4] / "statemachines" / f"{name}.asl.json"
    return json.loads(path.read_text(encoding="utf-8"))["States"]


MACHINES = {BACKFILL: read_machine("backfill_table"), REPROCESS: read_machine("reprocess_failures")}


def history_of(*states, plan=None):
    history = History("Plan backfill", plan=plan)
    history.add(entered(number, state, number) for number, state in enumerate(states, 1))
    return history


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        (None, "checking"),
        ("Open run", "checking"),
        ("Wait for margin", "waiting for margin"),
        ("Wait for export", "exporting"),
        ("Plan backfill", "planning"),
        ("Backfill batches", "importing"),
        ("Reconcile run", "reconciling"),
        ("Sweep batches", "sweeping"),
        ("Report run", "reporting"),
        ("Close run", "reporting"),
        ("Backfill succeeded", "done"),
        ("Backfill failed", "done"),
    ],
)
def test_each_state_is_of_a_phase(state, phase):
    assert name_phase(BACKFILL, state) == phase
    assert state is None or state in MACHINES[BACKFILL]


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("Open run", "checking"),
        ("List failures", "listing"),
        ("Reprocess failures", "reprocessing"),
        ("Report run", "reporting"),
        ("Reprocess skipped", "done"),
    ],
)
def test_each_state_of_a_reprocess_is_of_a_phase(state, phase):
    assert name_phase(REPROCESS, state) == phase
    assert state in MACHINES[REPROCESS]


@pytest.mark.parametrize("kind", MACHINES, ids=lambda kind: kind.name)
def test_a_kinds_states_are_those_of_its_machine(kind):
    states = MACHINES[kind]
    assert kind.ends == {name for name, state in states.items() if state["Type"] in {"Succeed", "Fail"}}
    assert states[kind.map_state]["Type"] == "Map"
    assert states[kind.map_state]["Label"] == kind.map_label
    assert states[kind.plan_state]["ResultPath"] == "$.plan"


def test_the_maps_label_of_sweeps_is_that_of_the_machine():
    assert MACHINES[BACKFILL][SWEEP_MAP]["Label"] == SWEEP_LABEL


def test_before_planning_there_are_no_batches():
    assert split_maps(BACKFILL, history_of("Open run"), {}) == (None, None)


def test_once_planned_the_batches_are_known():
    assert split_maps(BACKFILL, history_of("Plan backfill", plan=PLAN), {}) == (Batches(12), None)


def test_the_maps_are_told_apart_by_their_labels():
    maps = {"SweepBatches": MapCounts(2, 1, 1, 0, 0), "BackfillBatches": MapCounts(12, 0, 11, 1, 0)}
    history = history_of("Plan backfill", "Backfill batches", "Sweep batches", plan=PLAN)
    assert split_maps(BACKFILL, history, maps) == (Batches(12, 11, 1, 0), Batches(2, 1, 0, 1))


def test_where_nothing_was_to_be_imported_there_is_only_the_sweep():
    history = history_of("Plan backfill", "Sweep batches", plan=PLAN | {"batches": 0})
    assert split_maps(BACKFILL, history, {"SweepBatches": MapCounts(2, 0, 2, 0, 0)}) == (
        Batches(0),
        Batches(2, 2, 0, 0),
    )


def test_a_map_that_is_only_just_entered_has_no_counts():
    assert split_maps(BACKFILL, history_of("Plan backfill", "Backfill batches", plan=PLAN), {}) == (Batches(12), None)


def test_the_map_of_a_reprocess_goes_through_entries():
    history = History("List failures", plan={"objects": 5, "entries": 2})
    history.add([entered(1, "Reprocess failures")])
    assert split_maps(REPROCESS, history, {"ReprocessFailures": MapCounts(2, 0, 1, 1, 0)}) == (
        Batches(2, 1, 1, 0),
        None,
    )


def test_rows_come_from_the_ledger():
    assert read_rows(make_row()) == Rows(imported=29_990, already_newer=10, rejected=4)
    assert read_rows(None) is None


def test_a_failure_has_a_next_step():
    failed = make_execution(status="FAILED", error="NotReadyError", cause="Point-in-time recovery is off.")
    assert name_failure(failed).remedy == NotReadyError.remedy
    unforeseen = make_execution(status="FAILED", error="States.Runtime", cause=None)
    assert name_failure(unforeseen).remedy == START_AGAIN
    assert name_failure(make_execution(status="TIMED_OUT")).error == "States.Timeout"
    assert name_failure(make_execution(status="ABORTED")) is None
    assert name_failure(make_execution()) is None


def test_a_refused_run_names_the_other_one():
    output = {"Error": "RunConflictError", "Cause": "Run r1 is reprocessing the failures of web_analytics: arn."}
    failure = name_failure(make_execution(status="SUCCEEDED", output=output))
    assert "Run r1" in failure.reason
    assert "Watch or stop" in failure.remedy
    assert not make_view(state="REFUSED").is_good


def test_a_report_of_an_earlier_execution_is_not_this_ones():
    execution = make_execution("web_analytics-a-2")
    assert is_of_execution({"execution": execution.arn}, execution)
    assert not is_of_execution({"execution": DEPLOYMENT.execution_arn(BACKFILL, "web_analytics-a")}, execution)


@pytest.mark.parametrize(
    ("state", "is_good"), [("RUNNING", True), ("SUCCEEDED", True), ("FAILED", False), ("STOPPED", False)]
)
def test_a_run_is_good_while_it_runs_and_where_it_succeeded(state, is_good):
    assert make_view(state=state).is_good is is_good


def test_a_view_is_json():
    done = {"plan": PLAN, "batches": Batches(12, 3), "rows": Rows(1, 2, 3), "report": {"state": "x"}}
    document = make_view(**done, phases={"exporting": 4.26, "importing": 70.0}).as_dict()
    assert json.loads(json.dumps(document)) == document
    assert document["final"] is False
    assert document["seconds"] == 75
    assert document["started_at"] == "2026-11-23T08:15:00.000Z"
    assert document["items"] == 120_000
    assert document["phases"] == [{"name": "exporting", "seconds": 4.3}, {"name": "importing", "seconds": 70.0}]
    assert document["batches"] == {"planned": 12, "imported": 3, "failed": 0, "running": 0, "stopped": 0}


def test_a_view_of_a_reprocess_is_json():
    view = make_view(kind=REPROCESS, plan={"objects": 5, "entries": 2}, batches=Batches(2, 1))
    document = view.as_dict()
    assert json.loads(json.dumps(document)) == document
    assert (document["kind"], document["objects"]) == ("reprocess", 5)
    assert document["entries"] == {"planned": 2, "settled": 1, "failed": 0, "running": 0, "stopped": 0}
    assert "batches" not in document


def test_a_run_that_has_ended_is_final():
    view = make_view(state="SUCCEEDED", ended_at=after(60))
    assert view.as_dict()["final"] is True
    assert view.seconds == 60


def test_a_run_that_step_functions_has_forgotten_is_seen_by_its_row():
    row = make_row(state="SUCCEEDED", ended_at="2026-11-23T08:17:00Z")
    view = view_row(BACKFILL, DEPLOYMENT, row, {"state": "SUCCEEDED"})
    assert (view.state, view.seconds, view.execution) == ("SUCCEEDED", 120, None)
    assert view.rows == Rows(29_990, 10, 4)
    assert "does not know" in view.notes[0]
