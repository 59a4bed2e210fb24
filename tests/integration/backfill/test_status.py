"""`dynaurora status` on a deployment: what it tells is what there is, and what to do next mends it."""

import json
import re
from typing import Any

import pytest
from click.testing import CliRunner

from backfill.cli import main
from backfill.overview import facts, kept
from dynaurora.aurora.migrations import VERIFICATIONS
from dynaurora.aurora.verifications import Verifications
from tests.integration.backfill.deployed import MAPPING, Deployed, make_bad_item, make_items
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

Document = dict[str, Any]


@pytest.fixture(autouse=True)
def unverified(deployed: Deployed, find_reader: None) -> None:
    """Have nothing be verified, and nothing be kept as failed."""
    deployed.forget_failures()
    with deployed.connect() as aurora, aurora.transaction():
        aurora.execute(f"DELETE FROM {deployed.name_table(VERIFICATIONS)}")


def look(*words: str, status: int = 1) -> Document:
    answer = CliRunner().invoke(main, ["status", *words, "--json"])
    assert answer.exit_code == status, answer.output
    (line,) = answer.stdout.splitlines()
    return dict(json.loads(line))


def next_of(document: Document) -> list[str]:
    return [each["next"] for each in document["todo"]]


def verify(deployed: Deployed, run: str, unexplained: int) -> None:
    with deployed.connect() as aurora:
        verifications = Verifications(aurora, deployed.mapping)
        verifications.open(run, "scan")
        verifications.close(run, {"items": 3, "identical": 3 - unexplained}, unexplained, whole=True)


def test_a_replication_is_led_from_its_first_day_to_all_well(flowing: Deployed, run: str) -> None:
    found = look(MAPPING)
    assert (found["mapping"], found["table"], found["reader"]) == (MAPPING, flowing.table, "on")
    assert (found["rows"], found["failed"], found["parked"], found["backfill"]) == (0, 0, 0, None)
    assert next_of(found) == [f"dynaurora backfill start {MAPPING} --watch", f"dynaurora verify {MAPPING}"]
    flowing.put(make_items(3))
    wait_until(lambda: len(flowing.hits()) == 3)
    flowing.backfill(run)
    found = look()
    assert (found["rows"], found["rows_exact"], found["backfill"]["run"]) == (3, True, run)
    assert min(found["lag_seconds"], found["reader_lag_seconds"]) >= 0  # of a quarter of an hour, of earlier tests too
    assert found["last_import_at"]
    assert next_of(found) == [f"dynaurora verify {MAPPING}"]
    verify(flowing, "v1", 1)
    assert next_of(look()) == [f"dynaurora repair {MAPPING}"]
    verify(flowing, "v2", 0)
    found = look(status=0)
    assert (found["well"], found["todo"], found["verification"]["run"]) == (True, [], "v2")
    shown = CliRunner().invoke(main, ["status"])
    header, line, total = shown.stdout.splitlines()
    assert header.split()[0] == "MAPPING"
    assert line.split()[:2] == [MAPPING, "on"]
    assert total == "1 replication, all well"
    one = CliRunner().invoke(main, ["status", MAPPING]).stdout
    assert "verified        equal at " in one
    assert one.endswith("to do           nothing\n")


def test_what_failed_is_counted_and_a_run_that_failed_is_named(
    deployed: Deployed, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.put([*make_items(1), *(make_bad_item(f"bad-{number}") for number in range(4))])
    deployed.backfill(run, status=1)
    found = look()
    assert (found["failed"], found["parked"], found["failures_counted"]) == (4, 0, True), "from the stream, too"
    assert next_of(found)[:2] == [f"dynaurora failures count {MAPPING}", f"dynaurora backfill status {run}"]
    assert "its last backfill failed: RejectedItemsError" in found["todo"][1]["problem"]
    monkeypatch.setattr(kept, "COUNTED_MOST", 2)
    assert look()["failures_counted"] is False
    assert " 2+ " in CliRunner().invoke(main, ["status"]).stdout


def test_a_reader_that_does_not_read_is_told_with_how_long_changes_are_kept(flowing: Deployed) -> None:
    CliRunner().invoke(main, ["pause", MAPPING])
    try:
        paused = look()
        shown = CliRunner().invoke(main, ["status"]).stdout
    finally:
        CliRunner().invoke(main, ["resume", MAPPING])
    assert (paused["reader"], next_of(paused)[0]) == ("paused", f"dynaurora resume {MAPPING}")
    assert 84_000 < paused["seconds_left"] <= 86_400, "a day, less by what the reader was behind, by earlier tests too"
    assert re.search(r"paused, (1 d 0 h|23 h \d+ min) left", shown)
    flowing.enable_event_source_mapping(enabled=False)
    try:
        off = look()
    finally:
        flowing.enable_event_source_mapping(enabled=True)
    assert (off["reader"], off["paused_at"], next_of(off)[0]) == ("off", None, f"dynaurora resume {MAPPING}")
    assert "switched off, not by `dynaurora pause`" in off["todo"][0]["problem"]


def test_a_stream_that_is_another_or_off_is_told(deployed: Deployed) -> None:
    deployed.stop_stream()
    try:
        off = look()["todo"][0]
        deployed.start_stream()
        another = look()["todo"][0]
    finally:
        deployed.replace_stream()
    assert "is off" in off["problem"]
    assert "reads an earlier stream" in another["problem"]


def test_a_database_that_does_not_answer_leaves_the_rest_told(deployed: Deployed) -> None:
    with deployed.variables("DescribeRunsFunctionName", DATABASE_PORT="none"):
        found = look()
    assert (found["reader"], found["parked"], found["rows"], found["verification"]) == ("on", 0, None, None)
    todo = found["todo"][-1]
    assert "InvalidSettingsError" in todo["problem"]
    assert todo["next"] == "docs/runbooks/aurora-down.md"


def test_a_function_of_an_earlier_release_is_told(deployed: Deployed) -> None:
    document = {"errorType": "KeyError", "errorMessage": "'mapping'"}
    assert "deploy it with `dynaurora deploy`" in facts._explain_failure("describe-runs", document)


@pytest.mark.parametrize("words", [("other",), ("--stack", "none")])
def test_wrong_use_is_told(deployed: Deployed, words: tuple[str, ...]) -> None:
    assert look(*words, status=2)["exit_status"] == 2
