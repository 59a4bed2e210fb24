"""A mapping that is changed between runs, and attributes that it leaves: what runs do, refuse and report."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from backfill.cli import main
from dynaurora.mappings.mapping import Mapping, build_mapping
from tests.integration.backfill.deployed import MAPPING, Deployed, make_item, make_items

pytestmark = pytest.mark.integration


def diff(*arguments: str) -> dict[str, Any]:
    """What `dynaurora mapping diff` prints for machines."""
    answer = CliRunner().invoke(main, ["mapping", "diff", MAPPING, *arguments, "--json"])
    assert answer.exit_code == 0, answer.output
    return dict(json.loads(answer.stdout))


@pytest.fixture
def changed(deployed: Deployed) -> Iterator[Mapping]:
    """Another mapping into the same columns; in the end the first one is the only one that there ever was."""
    document = json.loads(deployed.mapping.text)
    document["target"]["columns"][-1]["from"] = "payload.device.make"
    changed = build_mapping(MAPPING, document)
    yield changed
    deployed.forget_mappings()


def test_attributes_that_no_column_takes_are_counted_in_the_report_and_told_by_the_diff(
    deployed: Deployed, run: str
) -> None:
    more = [make_item(f"more-{number}") | {"phone": {"S": "0123456789"}, "user-id": {"N": "7"}} for number in range(3)]
    deployed.put([*make_items(4), *more, make_item("tagged") | {"tags": {"SS": ["a"]}}])
    deployed.backfill(run)
    report = deployed.report(run)
    assert (report["digest"], report["generation"]) == (deployed.mapping.digest, 1)
    counted = {each["name"]: (each["items"], each["type"]) for each in report["ignored"]["attributes"]}
    assert counted == {"phone": (3, "VARCHAR(16)"), '"user-id"': (3, "INT"), "tags": (1, "JSON")}
    assert report["ignored"]["exact"]
    assert "ignored         " in deployed.run_command("status", run).stdout

    told = diff()
    assert (told["source"], told["run"], told["exact"], told["of"]) == ("backfill", run, True, 8)
    assert told["attributes"] == report["ignored"]["attributes"]
    assert "payload.device.make" in told["declared"]
    scanned = diff("--scan", "100")
    assert (scanned["source"], scanned["exact"], scanned["of"]) == ("scan", False, 8)
    assert {each["name"]: (each["items"], each["type"]) for each in scanned["attributes"]} == counted
    shown = CliRunner().invoke(main, ["mapping", "diff", MAPPING]).stdout
    assert f"all of the 8 items that run {run} converted" in shown
    assert "phone      " in shown


def test_a_run_has_one_mapping_and_is_not_gone_on_with_under_another(
    deployed: Deployed, run: str, changed: Mapping
) -> None:
    deployed.put(make_items(2))
    deployed.backfill(run)
    deployed.switch_mapping(changed)
    refused = deployed.ask("start", MAPPING, "--run", run, "--watch", "--every", "0.2", status=1)
    assert refused["failure"]["error"] == "RunConflictError"
    assert f"as {deployed.mapping.digest[:16]}, and the current one is {changed.digest[:16]}" in str(refused)


def test_a_run_waits_for_a_changed_mapping_unless_it_is_given_an_export(
    deployed: Deployed, run: str, changed: Mapping
) -> None:
    deployed.put(make_items(3))
    export = deployed.export()
    deployed.backfill(run)
    pointer = deployed.switch_mapping(changed)

    waiting = deployed.start(f"{run}-own")
    deployed.wait_for_state(waiting["execution"], "Wait for margin")
    deployed.run_command("stop", f"{run}-own")
    assert deployed.exports_of(f"{run}-own") == set()

    deployed.backfill(f"{run}-given", "--export-arn", export.arn)
    report = deployed.report(f"{run}-given")
    assert (report["state"], report["digest"], report["generation"]) == (
        "SUCCEEDED",
        changed.digest,
        pointer.generation,
    )
    assert not report["totals"]["complete"]
    assert report["totals"]["older_rows"].keys() == {"tombstones", "not_imported", "changed_since"}
    assert any("rows stay as an older one wrote them" in warning for warning in report["warnings"])
    assert "older mapping" in deployed.run_command("status", f"{run}-given").stdout
