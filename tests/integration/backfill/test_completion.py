"""What a shell completes the id of a run with, of a stack that is deployed."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backfill.commands.completion import VARIABLE
from tests.integration.backfill.deployed import Deployed
from tests.support.shells import COMMANDS, Shell

pytestmark = pytest.mark.integration

DYNAURORA = Path(sys.executable).with_name("dynaurora")


def offer(*words: str) -> list[str]:
    """Return the words that a shell would offer for the last of some."""
    asked = {"COMP_WORDS": "\n".join(("dynaurora", *words)), "COMP_CWORD": str(len(words)), VARIABLE: "bash_complete"}
    answer = subprocess.run(
        [str(DYNAURORA)], env=os.environ | asked, capture_output=True, text=True, timeout=60, check=True
    )
    return [line.partition(",")[2] for line in answer.stdout.splitlines()]


def offer_in_fish(line: str) -> list[str]:
    """Return the words that a real fish offers for the last of a line."""
    path = f"{DYNAURORA.parent}:{os.environ['PATH']}"
    told = f"dynaurora completion fish | source; complete --do-complete={shlex.quote(line)}"
    command = ["fish", "--no-config", "--command", told]
    answer = subprocess.run(
        command, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=60, check=True
    )
    return [found.partition("\t")[0] for found in answer.stdout.splitlines()]


def type_into(name: str, directory: Path, line: str, until: str) -> None:
    """Type a line and a Tab into a real shell, and wait until a text is on its screen."""
    path = f"{DYNAURORA.parent}:{os.environ['PATH']}"
    shell = Shell(name, directory, {**os.environ, "PATH": path})
    try:
        shell.type(f"{line}\t", until)
    finally:
        shell.close()


def test_ids_of_runs_are_offered_the_newest_first_and_to_stop_only_those_that_go_on(
    deployed: Deployed, run: str, tmp_path: Path
) -> None:
    deployed.set_faults(fail_exports=1)
    deployed.start(run)
    deployed.watch(run, status=1)
    offered = offer("backfill", "watch", "")
    assert offered[0] == run
    assert offer("backfill", "watch", run[:-1]) == [found for found in offered if found.startswith(run[:-1])]
    assert run not in offer("backfill", "stop", "")
    assert run not in offer("reprocess", "watch", "")
    if shutil.which("fish"):  # make test-shells installs it, and zsh
        assert offer_in_fish("dynaurora backfill watch ") == offered
    for name in filter(shutil.which, COMMANDS):
        type_into(name, tmp_path, f"dynaurora backfill watch {run[:-1]}", until=f"dynaurora backfill watch {run}")
