import json
from pathlib import Path

import pytest

from backfill.runs.executions import (
    EXPORT_STATES,
    REFUSED,
    STATES,
    Execution,
    Export,
    History,
    MapCounts,
    Retrying,
    choose_standing,
    count_map_items,
    count_retried,
)
from tests.support.backfill_factories import PLAN, STARTED, FakeStates, after, entered, make_execution


def exited(event_id, state, output):
    return {"id": event_id, "timestamp": STARTED, "stateExitedEventDetails": {"name": state, "output": output}}


def import_history(run, *errors, batch=True, **of_batch):
    document = {"batch": {"run": run, **of_batch}} if batch else {}
    started = {"type": "ExecutionStarted", "executionStartedEventDetails": {"input": json.dumps(document)}}
    failed = [{"type": "TaskFailed", "taskFailedEventDetails": {"error": error, "cause": "…"}} for error in errors]
    return [started, {"type": "TaskScheduled"}, *failed]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("RUNNING", "RUNNING"),
        ("SUCCEEDED", "SUCCEEDED"),
        ("FAILED", "FAILED"),
        ("TIMED_OUT", "FAILED"),
        ("ABORTED", "STOPPED"),
        ("PENDING_REDRIVE", "FAILED"),
    ],
)
def test_a_runs_state_is_its_executions_status(status, state):
    execution = make_execution(status=status)
    assert execution.state == state
    assert execution.is_running is (status == "RUNNING")


def test_no_status_of_step_functions_is_unknown():
    statuses = {"RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE"}
    assert set(STATES) == statuses


@pytest.mark.parametrize(
    "cause",
    ["Run r1 is reprocessing.", '{"errorType": "RunConflictError", "errorMessage": "Run r1 is reprocessing."}'],
)
def test_a_run_that_found_another_one_is_refused(cause):
    execution = make_execution(status="SUCCEEDED", output={"Error": "RunConflictError", "Cause": cause})
    assert (execution.state, execution.refusal) == (REFUSED, "Run r1 is reprocessing.")
    assert make_execution(status="SUCCEEDED", output={"run": "r1"}).refusal is None


@pytest.mark.parametrize("text", [None, "", "[1]", "no JSON", '"a"'])
def test_an_input_that_is_no_object_is_empty(text):
    answer = {"executionArn": "arn", "name": "n", "status": "FAILED", "startDate": STARTED, "input": text}
    assert Execution.from_answer(answer).input == {}


def test_a_history_tells_the_state_and_the_plan():
    history = History("Plan backfill")
    history.add([{"id": 1, "timestamp": STARTED}, entered(2, "Open run"), entered(3, "Plan backfill", 5)])
    assert (history.state, history.plan, history.last_id) == ("Plan backfill", None, 3)
    history.add([exited(4, "Plan backfill", json.dumps({"plan": PLAN})), entered(5, "Backfill batches", 7)])
    assert history.plan == PLAN
    assert history.find_entered_at("Backfill batches") == after(7)
    assert history.find_entered_at("Sweep batches") is None


def test_a_history_without_events_has_no_state():
    history = History("Plan backfill")
    history.add([])
    assert (history.state, history.last_id) == (None, 0)


def test_a_maps_items_are_counted_by_what_became_of_them():
    counts = {"pending": 1, "running": 2, "succeeded": 3, "failed": 4, "timedOut": 5, "aborted": 6, "total": 21}
    assert MapCounts.from_answer({"itemCounts": counts}) == MapCounts(
        total=21, running=2, succeeded=3, failed=9, stopped=6
    )


def make_map_run(label, number, total):
    counts = {"pending": 0, "running": 0, "succeeded": total, "failed": 0, "timedOut": 0, "aborted": 0, "total": total}
    arn = f"arn:aws:states:us-east-1:000000000000:mapRun:clicks-backfill-table/{label}:id-{number}"
    return {"mapRunArn": arn, "startDate": after(number), "itemCounts": counts}


def test_of_a_map_that_was_retried_the_newest_map_run_counts_wherever_it_is_listed():
    newest, failed = make_map_run("BackfillBatches", 2, 12), make_map_run("BackfillBatches", 1, 0)
    counted = count_map_items(FakeStates(map_runs=[[newest, make_map_run("SweepBatches", 3, 4)], [failed]]), "arn")
    assert {label: counts.total for label, counts in counted.items()} == {"BackfillBatches": 12, "SweepBatches": 4}


def test_an_execution_without_maps_has_no_counts():
    assert count_map_items(FakeStates(map_runs=[[]]), "arn") == {}


def test_of_no_executions_none_stands():
    assert choose_standing([]) is None


def test_what_is_retried_is_counted_by_error():
    histories = [
        import_history("mine", "DeadlockError", "DeadlockError", "ThrottledError"),
        import_history("mine", "DeadlockError"),
        import_history("mine"),
        import_history("another", "LockWaitError"),
        import_history(None, "LockWaitError"),
        import_history("mine", "LockWaitError", batch=False),
        [],
    ]
    assert count_retried(histories, "mine") == [Retrying("DeadlockError", 3, 2), Retrying("ThrottledError", 1, 1)]


def test_a_conversion_that_is_retried_is_counted_with_the_imports():
    history = import_history("mine", "ThrottledError", export_second=1_795_421_700)
    assert count_retried([history], "mine") == [Retrying("ThrottledError", 1, 1)]


def test_an_attempt_without_a_named_error_is_counted_by_its_event():
    history = [*import_history("mine"), {"type": "TaskTimedOut", "taskTimedOutEventDetails": {}}]
    assert count_retried([history], "mine") == [Retrying("TaskTimedOut", 1, 1)]


def test_a_history_tells_what_dynamodb_last_said_of_the_export():
    history = History("Plan backfill")
    for number, (state, status) in enumerate([("Start export", "IN_PROGRESS"), ("Describe export", "COMPLETED")], 1):
        output = json.dumps({"export": {"ExportDescription": {"ExportStatus": status}}})
        history.add(
            [{"id": number, "timestamp": after(number), "stateExitedEventDetails": {"name": state, "output": output}}]
        )
        assert history.export == Export(status, after(number))
    history.add(
        [{"id": 3, "timestamp": after(3), "stateExitedEventDetails": {"name": "Describe export", "output": "{}"}}]
    )
    assert history.export == Export("COMPLETED", after(2))


def test_the_states_that_tell_of_an_export_are_those_of_the_machine():
    path = Path(__file__).parents[4] / "statemachines" / "backfill_table.asl.json"
    states = json.loads(path.read_text(encoding="utf-8"))["States"]
    assert {name for name, state in states.items() if "dynamodb" in state.get("Resource", "")} >= EXPORT_STATES
    assert all(states[name]["ResultPath"] == "$.export" for name in EXPORT_STATES)
