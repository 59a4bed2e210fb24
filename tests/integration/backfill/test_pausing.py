"""`dynaurora pause` and `resume` on a deployment: nothing arrives meanwhile, nothing is lost, backfills are refused."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from backfill.cli import main
from backfill.commands.resume import STARTING
from backfill.deployment.stream_readers import KEPT, PAUSED_AT, RESUME_BY, TAGS
from backfill.terminal.formatting import format_iso, parse_iso
from tests.integration.backfill.deployed import MAPPING, Deployed, make_items
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

Document = dict[str, Any]


@pytest.fixture(autouse=True)
def reading(flowing: Deployed, find_reader: None) -> Iterator[None]:
    """Leave it reading."""
    yield
    flowing.enable_event_source_mapping(enabled=True)
    flowing.client("lambda").untag_resource(Resource=name_reader(flowing), TagKeys=[*TAGS])


def name_reader(deployed: Deployed) -> str:
    return str(deployed.describe_event_source_mapping()["EventSourceMappingArn"])


def ask(*words: str, status: int = 0) -> list[Document]:
    answer = CliRunner().invoke(main, [*words, "--json"])
    assert answer.exit_code == status, answer.output
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_what_changes_during_a_pause_arrives_afterwards(flowing: Deployed, run: str) -> None:
    (paused,) = ask("pause", MAPPING)
    assert (paused["mapping"], paused["reader"], paused["changed"]) == (MAPPING, "paused", True)
    assert 84_000 < paused["seconds_left"] <= 86_400  # of the oldest record, which another test may have dated back
    assert paused["next"] == f"dynaurora resume {MAPPING}"
    assert flowing.describe_event_source_mapping()["State"] == "Disabled"
    flowing.put(make_items(3))
    (again,) = ask("pause", MAPPING)
    assert (again["changed"], again["paused_at"]) == (False, paused["paused_at"])
    flowing.backfill(run, status=1)
    flowing.check_failure(run, "NotReadyError", "is Disabled", f"`dynaurora resume {MAPPING}`")
    assert flowing.hits() == {}
    (resumed,) = ask("resume", "--all")
    assert (resumed["was"], resumed["reader"], resumed["changed"], resumed["lost_from"]) == ("paused", "on", True, None)
    wait_until(lambda: len(flowing.hits()) == 3)
    assert flowing.client("lambda").list_tags(Resource=name_reader(flowing))["Tags"] == {}
    assert ask("resume", MAPPING)[0]["changed"] is False


def test_a_dry_run_changes_nothing(flowing: Deployed) -> None:
    assert (
        ask("pause", MAPPING, "--dry-run")[0] | {"changed": False, "dry_run": True, "reader": "on"}
        == ask("pause", MAPPING, "--dry-run")[0]
    )
    ask("pause", MAPPING)
    (answer,) = ask("resume", MAPPING, "--dry-run")
    assert (answer["reader"], answer["changed"]) == ("paused", False)
    assert flowing.describe_event_source_mapping()["State"] == "Disabled"


def test_one_that_is_resumed_too_late_says_what_may_be_gone_and_what_brings_it_back(flowing: Deployed) -> None:
    ask("pause", MAPPING)
    since = datetime.now(UTC) - timedelta(hours=30)
    tags = {PAUSED_AT: format_iso(since) or "", RESUME_BY: format_iso(since + KEPT) or ""}
    flowing.client("lambda").tag_resource(Resource=name_reader(flowing), Tags=tags)
    shown = CliRunner().invoke(main, ["pause", MAPPING])
    assert "the stream loses changes. Resume it now: dynaurora resume" in shown.stdout
    (answer,) = ask("resume", MAPPING, status=1)
    assert (answer["reader"], answer["lost_from"]) == ("on", format_iso(since))
    lost_until = parse_iso(answer["lost_until"])
    assert lost_until
    assert abs((datetime.now(UTC) - KEPT + STARTING - lost_until).total_seconds()) < 60
    times = f"--from {since:%Y-%m-%dT%H:%M:%SZ} --to {lost_until:%Y-%m-%dT%H:%M:%SZ}"
    assert answer["next"] == f"dynaurora repair {MAPPING} {times}"


@pytest.mark.parametrize("words", [(), ("other",), (MAPPING, "--all"), (MAPPING, "--stack", "none")])
@pytest.mark.parametrize("command", ["pause", "resume"])
def test_wrong_use_is_told(flowing: Deployed, command: str, words: tuple[str, ...]) -> None:
    (answer,) = ask(command, *words, status=2)
    assert answer["error"]


def test_people_are_told_until_when(flowing: Deployed) -> None:
    told = CliRunner().invoke(main, ["pause", MAPPING]).stdout
    assert told.startswith(f"{MAPPING}: paused. Resume it by 20")
    assert re.search(rf"within (1 d 0 h|23 h [0-9]+ min): dynaurora resume {MAPPING}$", told.rstrip())
    told = CliRunner().invoke(main, ["resume", MAPPING]).stdout
    assert f"{MAPPING}: resumed. It was paused since 20" in told
