"""The commands beside a deployed stack: what they print, and exit with."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.backfill.deployed import MAPPING, Deployed, make_bad_item, make_items

pytestmark = pytest.mark.integration

DYNAURORA = Path(sys.executable).with_name("dynaurora")


def test_the_commands_tell_of_a_run_while_it_goes_on_and_when_it_is_over(deployed: Deployed, run: str) -> None:
    deployed.put([*make_items(4), make_bad_item("bad")])
    deployed.set_faults(hold_exports=1)
    started = deployed.start(run, "--tolerated-rejected-percentage", "20")
    assert (started["started"], started["run"], started["mapping"]) == (True, run, MAPPING)
    deployed.wait_for_state(started["execution"], "Wait for export")

    status = deployed.ask("status", run)
    assert (status["state"], status["final"], status["phase"]) == ("RUNNING", False, "exporting")
    assert status["recorded"]["state"] == "RUNNING"
    assert deployed.ask("status")["run"] == run  # the newest
    newest = deployed.ask("list", MAPPING)[0]
    assert (newest["run"], newest["state"], newest["ended_at"]) == (run, "RUNNING", None)

    deployed.set_faults(hold_exports=0)
    seen = [json.loads(line) for line in deployed.run_command("watch", run, "--json").stdout.splitlines()]
    assert [view["final"] for view in seen] == [False] * (len(seen) - 1) + [True]
    assert seen[-1]["state"] == "SUCCEEDED"
    assert seen[-1]["rows"] == {"imported": 4, "already_newer": 0, "rejected": 1}
    assert seen[-1]["report"] == deployed.report(run)

    (listed,) = (found for found in deployed.ask("list") if found["run"] == run)
    assert (listed["state"], listed["items"], listed["rows"], listed["rejected"]) == ("SUCCEEDED", 5, 4, 1)
    assert deployed.ask("status", run)["state"] == "SUCCEEDED"
    for command in (("status", run), ("list",), ("watch", run)):
        assert run in deployed.run_command(*command).stdout


def test_a_run_that_failed_says_so_by_the_exit_status_too(deployed: Deployed, run: str) -> None:
    deployed.set_faults(fail_exports=1)
    assert deployed.start(run)["started"]
    deployed.watch(run, status=1)
    assert deployed.ask("status", run, status=1)["failure"]["error"] == "ExportFailedError"
    answer = deployed.run_command("status", run, status=1)
    assert "ExportFailedError" in answer.stdout
    assert "start a new run" in answer.stdout


def test_a_dry_run_starts_nothing(deployed: Deployed, run: str) -> None:
    planned = deployed.ask("start", MAPPING, "--run", run, "--dry-run", "--sweep")
    assert not planned["started"]
    assert planned["input"]["sweep"]
    deployed.run_command("status", run, status=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("start", "no_such_mapping"),
        ("start", MAPPING, "--run", "not/a/run"),
        ("start", MAPPING, "--tolerated-failure-percentage", "101"),
        ("start", MAPPING, "--tolerated-failure-percentage", "nan"),
        ("start", MAPPING, "--max-concurrency", "0"),
        ("list", "--limit", "1000"),
        ("list", "no_such_mapping"),
        ("status", "no-such-run"),
        ("watch", "no-such-run"),
        ("stop", "no-such-run"),
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_status_2_and_says_what_is_wrong(deployed: Deployed, arguments: tuple[str, ...]) -> None:
    answer = deployed.run_command(*arguments, status=2)
    assert answer.stdout == ""
    assert arguments[-1] in answer.stderr


def test_ctrl_c_leaves_the_watch_and_not_the_run(deployed: Deployed, run: str) -> None:
    deployed.put(make_items(4))
    deployed.set_faults(hold_exports=1)
    execution = deployed.start(run)["execution"]
    command = [DYNAURORA, "backfill", "watch", run, "--every", "0.2", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        assert watch.stderr is not None
        assert json.loads(watch.stdout.readline())["state"] == "RUNNING"
        watch.send_signal(signal.SIGINT)
        told = watch.stderr.read()
    assert watch.returncode == 0
    assert "The run goes on; come back with: " in told
    assert f"backfill watch {run}" in told
    assert deployed.describe_execution(execution)["status"] == "RUNNING"
    deployed.set_faults(hold_exports=0)
    assert deployed.watch(run)["rows"]["imported"] == 4
