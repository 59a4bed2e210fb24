"""One run, started twice or stopped: it is done once."""

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from dynaurora import keys
from tests.integration.backfill.deployed import MAPPING, Deployed, Document, make_items
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

DYNAURORA = Path(sys.executable).with_name("dynaurora")


def start_execution(deployed: Deployed, run: str, name: str, **options: object) -> str:
    """Start an execution by the API and return its ARN."""
    document = {"mapping": MAPPING, "run": run, "request": uuid.uuid4().hex, **options}
    answer = deployed.client("stepfunctions").start_execution(
        stateMachineArn=deployed.backfill_table_arn, name=name, input=json.dumps(document)
    )
    return str(answer["executionArn"])


def check_once(deployed: Deployed, run: str, items: int, batches: int) -> Document:
    """Assert that a run has succeeded, having done everything once; return its totals."""
    report = deployed.report(run)
    totals: Document = report["totals"]
    assert report["state"] == deployed.row(run)["state"] == "SUCCEEDED"
    assert report["execution"] == deployed.row(run)["execution"]
    assert (totals["exported"], totals["imported"], totals["unaccounted"]) == (items, items, 0)
    assert len(deployed.ledger(run)) == totals["batches_imported"] == batches
    assert deployed.compare().identical == items
    return totals


def test_of_two_commands_that_start_the_same_run_at_once_one_is_told(deployed: Deployed, run: str) -> None:
    deployed.put(make_items(4))
    deployed.set_faults(hold_exports=1)
    command = [DYNAURORA, "backfill", "start", MAPPING, "--run", run, "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [(*process.communicate(timeout=60), process.returncode) for process in both]
    ((started, _, _),) = (end for end in ended if end[2] == 0)
    ((refused, told, status),) = (end for end in ended if end[2] != 0)
    execution = json.loads(started)["execution"]
    assert status == json.loads(refused)["exit_status"] == 1
    assert json.loads(refused)["error"] in told
    assert f"Run {run} is running already, as {execution}" in told
    assert f"backfill watch {run}" in told
    deployed.set_faults(hold_exports=0)
    deployed.watch(run)
    check_once(deployed, run, items=4, batches=1)


def test_of_two_executions_of_the_same_run_one_is_refused_and_leaves_the_others_report_alone(
    deployed: Deployed, run: str
) -> None:
    deployed.put(make_items(4))
    deployed.set_faults(hold_exports=1)
    arns = [start_execution(deployed, run, f"{MAPPING}-{run}-{name}") for name in ("one", "other")]
    refused = wait_until(
        lambda: next((found for found in map(deployed.describe_execution, arns) if found["status"] != "RUNNING"), None)
    )
    (other,) = set(arns) - {refused["executionArn"]}
    assert refused["status"] == "FAILED"
    assert refused["error"] == "RunConflictError"
    assert f"Run {run} is worked on by {other}" in refused["cause"]
    assert deployed.row(run)["state"] == "RUNNING"
    assert deployed.row(run)["execution"] == other
    assert deployed.list_keys(f"reports/run=web_analytics-{run}/") == []
    assert list(deployed.messages()) == [f"dynaurora: run {run} failed: RunConflictError"]
    deployed.set_faults(hold_exports=0)
    assert deployed.wait_for_end(other)["status"] == "SUCCEEDED"
    check_once(deployed, run, items=4, batches=1)
    assert deployed.row(run)["execution"] == other
    assert deployed.messages() == {}


def test_a_run_that_is_over_is_not_written_over_by_one_with_another_export(deployed: Deployed, run: str) -> None:
    deployed.put(make_items(4))
    deployed.backfill(run)
    before = deployed.row(run), deployed.report(run)
    view = deployed.backfill(run, "--export-arn", deployed.export().arn, status=1)
    assert (view["state"], view["failure"]["error"]) == ("FAILED", "RunConflictError")
    assert f"Run {run} was begun with another export" in view["failure"]["reason"]
    assert "start a run with an id of its own" in view["failure"]["remedy"]
    assert (deployed.row(run), deployed.report(run)) == before


def check_stopped(deployed: Deployed, run: str, execution: str) -> None:
    """Assert that a run is stopped, for everyone to see."""
    assert deployed.describe_execution(execution)["status"] == "ABORTED"
    row = deployed.row(run)
    assert row["state"] == "STOPPED"
    assert row["ended_at"] is not None
    assert "Stopped with `dynaurora backfill stop`." in row["reason"]
    wait_until(lambda: deployed.list_keys(keys.report_page(MAPPING, run)))
    report = deployed.report(run)
    assert (report["state"], report["execution"]) == ("STOPPED", execution)
    assert f"dynaurora backfill start {MAPPING} --run {run}" in deployed.read(keys.report_page(MAPPING, run)).decode()
    assert deployed.watch(run, status=1)["state"] == "STOPPED"
    assert deployed.ask("status", run, status=1)["state"] == "STOPPED"
    (listed,) = (found for found in deployed.ask("list") if found["run"] == run)
    assert listed["state"] == "STOPPED"


def test_a_run_that_is_stopped_while_it_exports_goes_on_with_the_same_export(deployed: Deployed, run: str) -> None:
    deployed.put(make_items(4))
    deployed.set_faults(hold_exports=1)
    execution = deployed.start(run)["execution"]
    deployed.wait_for_state(execution, "Wait for export")
    stopped = deployed.ask("stop", run)
    assert (stopped["state"], stopped["recorded"]) == ("STOPPED", "STOPPED")
    assert f"backfill start {MAPPING} --run {run}" in stopped["next"]["start"]
    check_stopped(deployed, run, execution)
    deployed.set_faults(hold_exports=0)
    view = deployed.backfill(run)
    assert view["execution"]["arn"] == f"{execution}-2"
    assert len(deployed.exports_of(run)) == 1
    check_once(deployed, run, items=4, batches=1)


def test_a_run_that_is_stopped_while_it_imports_repeats_nothing(deployed: Deployed, run: str) -> None:
    items = make_items(8)
    deployed.plan_batches(run, items, 4)
    with deployed.lock_key(items[4]["page_id"]["S"]):
        execution = deployed.start(run, "--max-concurrency", "1")["execution"]
        deployed.wait_until_locked_out()
        deployed.ask("stop", run)
        check_stopped(deployed, run, execution)
        done = deployed.ledger(run)
        assert len(done) == 2
        assert deployed.row(run)["rows_imported"] == 4
    # The third batch is being imported still, by a function that nobody waits for any more.
    deployed.backfill(run)
    check_once(deployed, run, items=8, batches=4)
    assert [row for row in deployed.ledger(run) if row in done] == done


def test_a_run_that_is_done_can_be_started_again_and_does_nothing(deployed: Deployed, run: str) -> None:
    deployed.plan_batches(run, make_items(6), 3)
    deployed.backfill(run)
    done = deployed.ledger(run)
    view = deployed.backfill(run)
    assert deployed.ledger(run) == done
    assert view["rows"]["imported"] == 6
    check_once(deployed, run, items=6, batches=3)


def test_what_does_not_run_cannot_be_stopped(deployed: Deployed, run: str) -> None:
    answer = deployed.run_command("stop", run, status=2)
    assert "There is no " in answer.stderr
    assert run in answer.stderr
    deployed.backfill(run)
    answer = deployed.run_command("stop", run, status=1)
    assert f"Run {run} is not running: it ended as SUCCEEDED" in answer.stderr
