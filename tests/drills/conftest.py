"""Fault drills: a fault while data flows, and DynamoDB and Aurora equal in the end.

DRILLS=long, as `make drills` has it, gives each its full size; otherwise they are short. Either way it is the same
code, on one deployment in one local AWS for all of them, whose stream flows. What each drilled is told in the end.

drill   the `Drill`: the deployment, with nothing kept as failed when a test begins
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack import Stack
from tests.drills.drill import PATIENCE_SECONDS, Drill
from tests.integration.backfill.conftest import EMULATOR, deploy, deployed, sessions
from tests.integration.backfill.deployed import Deployed
from tests.integration.reprocess.reprocesses import Reprocesses
from tests.support.waiting import wait_until

__all__ = ["deployed", "sessions"]

IS_LONG = os.environ.get("DRILLS", "short") == "long"
TOLD = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def deaths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is written which functions are to die (`local.emulator.deaths`)."""
    return tmp_path_factory.mktemp("deaths")


@pytest.fixture(scope="session")
def deployment_of_session(tmp_path_factory: pytest.TempPathFactory, deaths: Path) -> Iterator[Deployed]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**EMULATOR, "DYNAURORA_DEATHS": str(deaths)}.items():
            patch.setenv(name, value)
        stack = Stack(tmp_path_factory.mktemp("drills"))
        stack.start()
    try:
        deployed = deploy(stack)
        deployed.release_stream()
        yield deployed
    finally:
        stack.stop()


@pytest.fixture
def emptied(deployment_of_session: Deployed) -> None:
    """Delete what the drill before has left in the table, and return once the stream has brought all of that."""
    keys = {(item["page_id"]["S"], item["activity_dt"]["S"]) for item in deployment_of_session.scan()}
    deployment_of_session.delete(deployment_of_session.scan())
    replica = deployment_of_session.name_table(deployment_of_session.mapping.replica)
    tombstones = f"SELECT page_id, activity_dt FROM {replica} WHERE _deleted"
    wait_until(lambda: keys <= set(deployment_of_session.query(tombstones)), PATIENCE_SECONDS[IS_LONG], pause=0.1)
    Reprocesses(deployment_of_session).wait_until_imported(PATIENCE_SECONDS[IS_LONG])


@pytest.fixture
def drill(emptied: None, deployed: Deployed, deaths: Path, request: pytest.FixtureRequest) -> Iterator[Drill]:
    found = Drill(deployed, deaths, request.node.name.removeprefix("test_"), is_long=IS_LONG)
    found.forget_failures()
    yield found
    told = request.config.stash.setdefault(TOLD, [])
    told.append(f"{found.name.replace('_', ' ')}: {'; '.join(found.facts.values())}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    told = config.stash.get(TOLD, [])
    if told and IS_LONG:
        terminalreporter.section("what was drilled")
        for line in told:
            terminalreporter.line(f"- {line}")
