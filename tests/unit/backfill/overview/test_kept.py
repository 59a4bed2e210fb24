"""Counting what is kept as failed: an item once, however often it failed, and no more than a bound."""

import pytest

from backfill.overview import kept
from backfill.overview.kept import Kept, count_kept
from dynaurora import keys
from dynaurora.dynamodb.changes import encode_change
from tests.support.backfill_factories import DEPLOYMENT
from tests.support.factories import click_change
from tests.support.failure_factories import failed_lines, failed_record
from tests.support.fakes import InMemoryObjects

RECORDS = keys.failed_records_prefix("web_analytics")


def change(page: str, version: int = 1) -> bytes:
    """Return a change of an item."""
    return encode_change(click_change(version=version, page_id=page))


@pytest.fixture
def store() -> InMemoryObjects:
    store = InMemoryObjects()
    for number in range(3):
        records = failed_lines(*(failed_record(change(page, number)) for page in "abc"))
        store.write("landing", f"{RECORDS}{number}", records)
    store.write("landing", f"{RECORDS}3", failed_lines(failed_record(b"nothing that is a change")))
    store.write("landing", f"{keys.failed_batches_prefix('web_analytics')}x.json", b"{}")
    store.write("landing", keys.parked("web_analytics", f"{RECORDS}4"), failed_lines(failed_record(change("d"))))
    return store


def test_an_item_is_counted_once_however_often_it_failed(store: InMemoryObjects) -> None:
    assert count_kept(DEPLOYMENT, store) == Kept(failed=3 + 1 + 1, parked=1)
    assert count_kept(DEPLOYMENT, InMemoryObjects()) == Kept()


@pytest.mark.parametrize(("bound", "most"), [("READ_MOST", 1), ("COUNTED_MOST", 3)])
def test_no_more_is_read_than_a_bound(
    store: InMemoryObjects, bound: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, bound, most)
    assert count_kept(DEPLOYMENT, store) == Kept(failed=3, parked=0, is_all=False)
