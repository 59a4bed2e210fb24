"""Sweeps: deletes that no stream carried are found by what a full export does not have, and by nothing less."""

import time

import pytest

from tests.integration.backfill.deployed import (
    Deployed,
    make_bad_item,
    make_item,
    make_items,
    wait_until,
)

pytestmark = pytest.mark.integration

DELETED = frozenset({"page-00001", "page-00004"})


def delete_while_the_stream_is_off(deployed: Deployed, run: str) -> None:
    """Backfill six items, and delete two of them for no stream to see."""
    items = make_items(6)
    deployed.put(items)
    deployed.backfill(f"{run}a")
    deployed.stop_stream()
    deployed.delete(item for item in items if item["page_id"]["S"] in DELETED)
    deployed.read_stream(deployed.start_stream())
    assert set(deployed.hits()) > DELETED
    wait_for_another_second()


def wait_for_another_second() -> None:
    """Wait, for exports of one second have one version, and the later one then changes nothing."""
    second = int(time.time())
    wait_until(lambda: int(time.time()) > second, pause=0.05)


def test_without_a_sweep_deleted_items_stay_and_with_one_they_go(deployed: Deployed, run: str) -> None:
    delete_while_the_stream_is_off(deployed, run)
    deployed.backfill(f"{run}b")
    assert set(deployed.hits()) > DELETED

    wait_for_another_second()
    view = deployed.backfill(f"{run}c", "--sweep")
    assert not DELETED & set(deployed.hits())
    report = deployed.report(f"{run}c")
    assert (report["sweep"]["rows"], report["sweep"]["batches"]) == (2, 1)
    assert report["totals"]["imported"] == view["rows"]["imported"] == 4
    assert view["sweep"]["imported"] == 1
    ((_, _, staged, changed, *_),) = deployed.ledger(f"{run}c", source="sweep")
    assert (staged, changed) == (2, 2)
    assert deployed.row(f"{run}c")["rows_imported"] == 4
    comparison = deployed.compare()
    assert (comparison.agrees, comparison.rows) == (True, 4)

    deployed.backfill(f"{run}c", "--sweep")  # once more: there is nothing left to sweep, and nothing is done twice
    assert deployed.compare().rows == 4
    assert len(deployed.ledger(f"{run}c", source="sweep")) == 1


def test_a_table_that_was_emptied_is_swept_empty(deployed: Deployed, run: str) -> None:
    items = make_items(6)
    deployed.put(items)
    deployed.backfill(f"{run}a")
    deployed.stop_stream()
    deployed.delete(items)
    deployed.read_stream(deployed.start_stream())
    wait_for_another_second()
    deployed.backfill(f"{run}b", "--sweep")
    assert deployed.hits() == {}
    assert deployed.report(f"{run}b")["sweep"]["rows"] == 6


def test_the_row_of_an_item_that_was_rejected_is_left_out_of_the_sweep(deployed: Deployed, run: str) -> None:
    delete_while_the_stream_is_off(deployed, run)
    deployed.put([make_bad_item("page-00000")])  # in the place of one that has a row
    before = deployed.hits()
    deployed.backfill(f"{run}b", "--sweep", "--tolerated-rejected-percentage", "30")
    report = deployed.report(f"{run}b")
    assert (report["sweep"]["rows"], report["sweep"]["left_out"], report["totals"]["imported"]) == (2, 1, 3)
    assert deployed.hits() == {page: hits for page, hits in before.items() if page not in DELETED}
    assert "left as they are: rows of 1 rejected item" in deployed.run_command("status", f"{run}b").stdout


def test_a_row_that_was_streamed_after_the_export_survives_the_sweep(flowing: Deployed, run: str) -> None:
    flowing.put(make_items(3))
    flowing.set_faults(hold_exports=1)
    execution = flowing.start(run, "--sweep")["execution"]
    flowing.wait_for_state(execution, "Wait for export")
    flowing.put([make_item("newcomer", hits=7)])
    wait_until(lambda: flowing.hits().get("newcomer") == 7)
    flowing.set_faults(hold_exports=0)
    flowing.watch(run)
    report = flowing.report(run)
    assert report["export"]["items"] == 3
    assert report["sweep"]["rows"] == 0
    assert flowing.hits()["newcomer"] == 7
    assert flowing.compare().identical == 4
