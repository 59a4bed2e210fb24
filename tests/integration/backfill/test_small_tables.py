"""Tables with nothing to import: they are no special case for whoever reads the report."""

import json

import pytest

from dynaurora import keys
from tests.integration.backfill.deployed import MAPPING, Deployed, make_bad_item

pytestmark = pytest.mark.integration

HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m"
"""Of a key."""


def test_an_empty_table_is_backfilled_with_nothing(deployed: Deployed, run: str) -> None:
    view = deployed.backfill(run, "--sweep")
    assert view["state"] == "SUCCEEDED"
    report = deployed.report(run)
    assert report["export"]["items"] == report["export"]["batches"] == 0
    assert report["export"]["files"] == report["export"]["files_empty"] > 0
    assert report["totals"]["exported"] == report["totals"]["imported"] == report["totals"]["unaccounted"] == 0
    assert report["sweep"]["rows"] == report["sweep"]["batches"] == 0
    assert report["failures"] == []
    assert deployed.row(run)["state"] == "SUCCEEDED"
    assert deployed.ledger(run) == []


def test_items_that_are_all_rejected_are_all_kept_with_their_reasons(deployed: Deployed, run: str) -> None:
    deployed.put([make_bad_item(f"{HOSTILE}{number}") for number in range(5)])
    view = deployed.backfill(run, status=1)
    assert view["failure"]["error"] == "RejectedItemsError"
    assert view["failure"]["reason"].startswith("5 of 5 items, 100 %, were refused")
    assert view["rows"] == {"imported": 0, "already_newer": 0, "rejected": 5}
    report = deployed.report(run)
    totals, (examples,) = report["totals"], report["refused_examples"]
    assert totals["rejected_reasons"] == {examples["reason"]: 5}
    assert {key["page_id"]["S"][:-1] for key in examples["keys"]} == {HOSTILE}
    page = deployed.read(keys.report_page(MAPPING, run)).decode()
    assert page.index("Failed: RejectedItemsError") < page.index(
        "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e\\u001b[31m"
    )
    assert not {"\u202e", "\x1b"} & {*page}
    assert "<script" not in page
    assert (totals["exported"], totals["rejected"], totals["unaccounted"], totals["batches_failed"]) == (5, 5, 0, 0)
    assert sum(totals["rejected_reasons"].values()) == 5
    (key,) = deployed.list_keys(f"{keys.failed_records_prefix(MAPPING)}backfill/run={run}/")
    records = [json.loads(line) for line in deployed.read(key).splitlines()]
    assert len(records) == 5
    assert all("required" in record["errorMessage"] for record in records)
    assert deployed.row(run)["rows_rejected"] == 5
    assert deployed.hits() == {}
    comparison = deployed.compare()
    assert (comparison.agrees, comparison.failed) == (True, 5)
    subjects = deployed.messages()
    assert [subject.rpartition(": ")[2] for subject in subjects] == ["RejectedItemsError"]
    repeated = deployed.backfill(run, status=1)
    assert repeated["failure"]["error"] == "RejectedItemsError"
    assert deployed.list_keys(f"{keys.failed_records_prefix(MAPPING)}backfill/run={run}/") == [key]
    again = deployed.backfill(run, "--tolerated-rejected-percentage", "100")
    assert (again["state"], again["rows"]["rejected"]) == ("SUCCEEDED", 5), "nothing is repeated, and it is as expected"
