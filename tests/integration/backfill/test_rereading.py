"""Items read again by their keys on a deployment: rows become what the items are, and nothing newer is undone."""

import pytest

from backfill.deployment.clients import connect
from backfill.deployment.deployments import choose_deployment, find_deployments
from backfill.rereading import Rereader, WantedKey, check_clock
from dynaurora.aws.objects import S3Objects
from dynaurora.dynamodb.items import TableItems
from dynaurora.dynamodb.scans import Pace
from dynaurora.dynamodb.versions import SEQUENCE_RANGE
from dynaurora.failures.failed_records import read_records
from dynaurora.mappings.registry import Registry
from dynaurora.mappings.row_mapper import RowMapper
from tests.integration.backfill.deployed import MAPPING, Deployed, make_bad_item, make_item, make_items
from tests.integration.backfill.test_verifications import change

pytestmark = pytest.mark.integration


def make_rereader(deployed: Deployed, run: str) -> Rereader:
    clients, store = connect(), S3Objects()
    deployment = choose_deployment(find_deployments(clients.cloudformation, None), MAPPING)
    check_clock(deployment.table)
    mapper, registry = RowMapper(deployed.mapping), Registry(store, deployed.bucket, MAPPING)
    items, pace = TableItems(deployment.table), Pace(1000)
    return Rereader(deployment, registry, mapper, store, clients.states, run, pace, items, poll_seconds=0.05)


def wanted(deployed: Deployed, *page_ids: str) -> list[WantedKey]:
    """The keys of pages, each with the version of its row."""
    rows = dict(deployed.query(f"SELECT page_id, _version FROM {deployed.name_table(deployed.mapping.replica)}"))
    keys = [{"page_id": {"S": page_id}, "activity_dt": {"S": "2026-01-01"}} for page_id in page_ids]
    return [WantedKey(key, int(rows.get(key["page_id"]["S"], 0))) for key in keys]


def test_rows_become_what_their_items_are(deployed: Deployed, run: str) -> None:
    deployed.put(make_items(6))
    deployed.backfill(f"{run}a")
    change(
        deployed,
        "UPDATE {rows} SET hits = 9 WHERE page_id = 'page-00001'",
        "DELETE FROM {rows} WHERE page_id = 'page-00002'",
        "UPDATE {rows} SET _deleted = TRUE WHERE page_id = 'page-00003'",
    )
    deployed.delete([make_item("page-00004")])
    deployed.put([make_bad_item("bad")])
    keys = wanted(deployed, *(f"page-0000{number}" for number in range(1, 5)), "bad")
    done = make_rereader(deployed, run).reread(keys)
    assert (done.keys, done.items, done.gone, done.refused) == (5, 4, 1, 1)
    assert (done.batches, done.rows, done.changed) == (1, 4, 4)
    assert deployed.hits() == {f"page-0000{number}": 1 for number in (0, 1, 2, 3, 5)}
    ((_, _, staged, changed, rejected, *_),) = deployed.ledger(run, source="repair")
    assert (staged, changed, rejected) == (4, 4, 1)
    (kept,) = [key for key in deployed.list_keys("transformation_failed_data_backup/") if "/refused/" in key]
    (record,) = read_records(S3Objects(), deployed.bucket, kept)
    assert b"bad" in record.data
    deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=kept)


def test_what_is_newer_by_then_stays(deployed: Deployed, run: str) -> None:
    """A change that arrives while its item is read again has the higher version, whichever is imported first."""
    deployed.put(make_items(2))
    deployed.backfill(f"{run}a")
    keys = wanted(deployed, "page-00000", "page-00001")
    newer = f"UPDATE {{rows}} SET hits = 7, _version = _version + 1000 * {SEQUENCE_RANGE} WHERE page_id = 'page-00001'"
    change(deployed, newer)
    done = make_rereader(deployed, run).reread(keys)
    assert (done.rows, done.changed) == (2, 1)
    assert deployed.hits() == {"page-00000": 1, "page-00001": 7}
    make_rereader(deployed, run).reread(keys)  # once more
    assert deployed.hits() == {"page-00000": 1, "page-00001": 7}
