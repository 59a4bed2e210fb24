"""A start by the clock: nothing inside the network is called while nothing has failed; a run is done where it has."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from backfill.cli import main
from backfill.kinds import REPROCESS
from backfill.runs.run_ids import make_run_id
from dynaurora.aurora.migrations import RUNS
from tests.integration.backfill.deployed import Deployed
from tests.integration.reprocess.reprocesses import RECORDS, Reprocesses
from tests.workflows.executions import list_entered

pytestmark = pytest.mark.integration

SCHEDULED: dict[str, Any] = {"run": None, "look": True}


def list_states(deployed: Deployed, execution: str) -> list[str]:
    """The states that an execution has entered, in order."""
    history = deployed.client("stepfunctions").get_execution_history(executionArn=execution, maxResults=1000)
    return list_entered(history["events"])


def count_runs(deployed: Deployed) -> int:
    return int(deployed.query(f"SELECT COUNT(*) FROM {deployed.name_table(RUNS)}")[0][0])


def test_an_empty_schedule_opens_no_run_and_calls_no_function_of_the_network(reprocesses: Reprocesses) -> None:
    deployed = reprocesses.deployed
    before = count_runs(deployed)
    execution = reprocesses.start(**SCHEDULED)
    ended = reprocesses.wait(execution)
    assert (ended.status, ended.output["look"], ended.run) == ("SUCCEEDED", {"anything": False}, "")
    entered = ["Look first?", "Look for failures", "Anything failed?", "Nothing reprocessed"]
    assert list_states(deployed, execution) == entered
    assert count_runs(deployed) == before
    listed = CliRunner().invoke(main, ["reprocess", "list", "--json"])
    started = deployed.describe_execution(execution)["startDate"]
    assert make_run_id(REPROCESS, started) not in {found["run"] for found in json.loads(listed.stdout)}
    assert "without counts" not in listed.stderr
    status = CliRunner().invoke(main, ["reprocess", "status"])
    assert execution not in status.output, "it was no run"


def test_a_schedule_with_something_to_do_is_a_run(reprocesses: Reprocesses) -> None:
    reprocesses.write(f"{RECORDS}processing-failed/2026/11/23/08/changes", b"no record\n")
    execution = reprocesses.start(**SCHEDULED)
    ended = reprocesses.wait(execution)
    assert ended.run.startswith("reprocess-")
    assert ended.report["totals"]["records"] == 1
    assert list_states(reprocesses.deployed, execution)[2:5] == ["Anything failed?", "Open run", "List failures"]
