"""A backfill of several targets: by the deployed machines, one export into each, with a report that tells of each."""

import json
from collections.abc import Iterator

import pytest

from dynaurora.aurora.fills import has_view, read_fills, settle_fills
from dynaurora.aurora.migrations import prepare_target
from dynaurora.mappings.mapping import Mapping, build_mapping
from tests.integration.backfill.deployed import MAPPING, Deployed, make_bad_item, make_item
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def routed(deployed: Deployed) -> Iterator[Mapping]:
    """A mapping of users, and of what is hot; in the end the first mapping is the only one that there ever was."""
    document = json.loads(deployed.mapping.text)
    users = {**document["target"], "schema": document["schema"], "when": "starts_with(page_id, 'user')"}
    names = {*deployed.mapping.key_attributes, "payload.Hits"}
    columns = [column for column in users["columns"] if column["from"] in names]
    hot = {"database": users["database"], "table": "Hot", "when": "payload.Hits > `10`", "schema": True}
    targets = [users, hot | {"columns": columns}]
    yield build_mapping(MAPPING, {"source": document["source"], "targets": targets})
    with deployed.connect() as aurora:
        aurora.execute(f"DROP VIEW IF EXISTS {deployed.name_table('Hot')}")
        aurora.execute(f"DROP TABLE IF EXISTS {deployed.name_table('Hot__replica')}")
    deployed.forget_mappings()


def test_one_export_serves_every_target(deployed: Deployed, run: str, routed: Mapping) -> None:
    deployed.put([make_item("user-1", 3), make_item("user-2", 30), make_item("page-1", 30)])
    export = deployed.export()
    with deployed.connect() as aurora:
        prepare_target(aurora, routed)
    deployed.switch_mapping(routed)
    deployed.backfill(run, "--export-arn", export.arn, "--sweep")
    assert deployed.hits() == {"user-1": 3, "user-2": 30}
    assert dict(
        deployed.query(f"SELECT page_id, hits FROM {deployed.name_table('Hot__replica')} WHERE NOT _deleted")
    ) == {
        "user-2": 30,
        "page-1": 30,
    }

    totals = deployed.report(run)["totals"]
    of = dict.fromkeys(("already_newer", "rejected", "unaccounted"), 0) | {"rejected_reasons": {}}
    assert totals["targets"] == {
        "WebAnalytics": of | {"imported": 2, "skipped": 1},
        "Hot": of | {"imported": 3, "skipped": 0},
    }
    assert (totals["exported"], totals["imported"], totals["skipped"], totals["batches_imported"]) == (3, 5, 1, 1)
    shown = deployed.run_command("status", run).stdout
    assert "skipped" in shown
    assert "WebAnalytics" in shown


def test_what_one_target_refuses_is_in_the_other_and_no_run_that_refuses_too_much_sweeps(
    deployed: Deployed, run: str, routed: Mapping
) -> None:
    document = json.loads(routed.text)
    document["targets"][1]["when"] = "page_id == 'user-1'"
    mapping = build_mapping(MAPPING, document)
    deployed.put([make_bad_item("user-1")])
    export = deployed.export()
    with deployed.connect() as aurora:
        prepare_target(aurora, mapping)
    deployed.switch_mapping(mapping)
    deployed.backfill(run, "--export-arn", export.arn, "--sweep", status=1)
    assert deployed.check_failure(run, "RejectedItemsError", is_mended_by_repeating=False)["sweep"] is None
    assert (deployed.hits(), deployed.report(run)["totals"]["targets"]["WebAnalytics"]["rejected"]) == ({}, 1)
    assert deployed.query(f"SELECT page_id, hits FROM {deployed.name_table('Hot__replica')} WHERE NOT _deleted") == [
        ("user-1", 1)
    ]


def test_a_new_target_has_a_view_once_a_run_has_filled_it(deployed: Deployed, run: str, routed: Mapping) -> None:
    hot = routed.targets[1]
    deployed.put([make_item("page-1", 30)])
    export = deployed.export()
    with deployed.connect() as aurora:
        prepare_target(aurora, routed)
    deployed.switch_mapping(routed)
    deployed.backfill(run, "--export-arn", export.arn, "--sweep")
    with deployed.connect() as aurora:
        assert not has_view(aurora, hot), "that export is from before its activation"
        fills = {fill.target: (fill.hides_view, fill.run) for fill in read_fills(aurora, routed)}
        assert fills == {"WebAnalytics": (False, None), "Hot": (True, None)}
        settle_fills(aurora, routed, run, 2)
        assert not has_view(aurora, hot)
    deployed.backfill(f"{run}-again", "--export-arn", export.arn)
    with deployed.connect() as aurora:
        wait_until(lambda: has_view(aurora, hot))
    assert deployed.query(f"SELECT page_id, hits FROM {deployed.name_table('Hot')}") == [("page-1", 30)]
