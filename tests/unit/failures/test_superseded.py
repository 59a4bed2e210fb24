import dataclasses
from contextlib import nullcontext
from itertools import pairwise

import pytest

from dynaurora import keys
from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.failures.failed_records import FailedRecord
from dynaurora.failures.list_failures import plan_reprocess
from dynaurora.failures.notices import Notices
from dynaurora.failures.refused_changes import RefusedChange, keep_refused, refused_id
from dynaurora.failures.settle_failures import Settler
from dynaurora.failures.superseded import BY_FAILURE, BY_ROW, ItemNamer, find_superseded, identify_record
from tests.support.example import load_example
from tests.support.factories import click_change
from tests.support.failed_objects import (
    BACKFILL_KEY,
    FIREHOSE_KEY,
    IMPORTED,
    MAPPING,
    PLACE,
    Dying,
    entry_of,
    failed,
    keys_of,
    put,
    read_failed,
    remake,
)
from tests.support.fakes import InMemoryObjects
from tests.support.several_targets import change, several

CLICKS = load_example()


@dataclasses.dataclass
class KnownVersions:
    """Rows, each by its table and the first field of its key."""

    versions: dict

    def find_overtaken(self, table, wanted):
        newest = [self.versions.get((table, fields[-1 if table != "WebAnalytics" else 0]), 0) for fields, _ in wanted]
        return {place for place, (_, version) in enumerate(wanted) if newest[place] > version}


@dataclasses.dataclass
class Superseding:
    """Tells what is superseded by rows that are known."""

    rows: KnownVersions

    def find(self, records):
        return find_superseded(records, ItemNamer(CLICKS), self.rows)


def bad(version, page_id="a", target=None):
    data = encode_change(click_change({"Hits": "many"}, version=version, page_id=page_id))
    return FailedRecord(data, "e", "m", 1, 1_700_000_000_000, "arn", target=target)


def find(*records, mapping=CLICKS, **versions):
    rows = KnownVersions({tuple(name.split("__")): version for name, version in versions.items()})
    found = find_superseded(records, ItemNamer(mapping), rows)
    return [found.get(identify_record(record)) for record in records]


@pytest.mark.parametrize(("row", "why"), [(6, None), (7, None), (8, BY_ROW)])
def test_only_a_newer_row_overtakes_a_failure(row, why):
    assert find(bad(7), WebAnalytics__a=row) == [why]


def test_of_an_items_failures_the_newest_is_left():
    assert find(bad(7), bad(9), bad(8), bad(1, "b")) == [BY_FAILURE, None, BY_FAILURE, None]
    assert find(bad(7), bad(9), WebAnalytics__a=8) == [BY_ROW, None]


def test_what_is_no_change_of_the_table_is_never_superseded():
    records = [dataclasses.replace(bad(1), data=data) for data in (b"none", b'{"Refused": {}}', b'{"dynamodb": {}}')]
    records.append(dataclasses.replace(bad(1), data=encode_change(Change(1, 1, {"id": {"S": "a"}}, None))))
    assert find(*records, WebAnalytics__a=9) == [None] * 4


APP = several()


def of_app(version, sk, target=None):
    data = encode_change(change(version, sk, status="open"))
    return FailedRecord(data, "e", "m", 1, 1_700_000_000_000, "arn", target=target)


def test_a_record_is_superseded_in_each_target_that_it_is_missing_in():
    sk = "ORDER#1"
    assert find(of_app(5, sk, "OpenOrders"), mapping=APP, **{f"OpenOrders__{sk}": 6}) == [BY_ROW]
    assert find(of_app(5, sk, "OpenOrders"), mapping=APP, **{f"ShutOrders__{sk}": 6}) == [None]
    assert find(of_app(5, sk), mapping=APP, **{f"OpenOrders__{sk}": 6}) == [None]
    everywhere = {f"{table}__{sk}": 6 for table in ("Users", "OpenOrders", "ShutOrders")}
    assert find(of_app(5, sk), mapping=APP, **everywhere) == [BY_ROW]
    assert find(of_app(5, sk, "OpenOrders"), of_app(6, sk, "ShutOrders"), mapping=APP) == [None, None]
    assert find(of_app(5, sk, "Dropped"), mapping=APP, **everywhere) == [None]


def settle(store, entry, versions=(), **ending):
    notices = Notices(store, "landing", MAPPING, 3600)
    known = {("WebAnalytics", page): version for page, version in dict(versions).items()}
    superseder = Superseding(KnownVersions(known))
    settler = Settler(store, "landing", 5, notices, "r1-1", superseder)
    return settler.settle({**entry, "imported": IMPORTED, **ending})


def lines(*records):
    return [failed(record.data, reprocessed=record.reprocessed) for record in records]


def test_what_is_superseded_goes_to_the_archive_and_the_rest_takes_the_objects_place():
    store = InMemoryObjects()
    source = put(store, BACKFILL_KEY, *lines(bad(7), bad(7, "b")))
    settled = settle(store, entry_of(remake(store, source), source), {"a": 8})
    assert (settled["records"], settled["records_superseded"], settled["records_parked"]) == (2, 1, 0)
    assert [record.data for record in read_failed(store, BACKFILL_KEY)] == [bad(7, "b").data]
    (archived,) = [key for key in keys_of(store) if key.startswith(keys.archived_prefix(MAPPING))]
    assert [record.data for record in read_failed(store, archived)] == [bad(7).data]
    assert archived.startswith(f"archived/mapping={MAPPING}/superseded/{BACKFILL_KEY}")


def test_a_repeated_backfill_replaces_its_earlier_refusals():
    store, counts = InMemoryObjects(), []
    for number in range(3):
        pages = [bad(100 + number, f"page-{page}") for page in range(7)]
        put(store, keys.backfill_rejects(MAPPING, f"r{number}", 1), *lines(*pages))
        (entry,) = plan_reprocess(PLACE, store, prefix=None, parked=False)
        sources = [put(store, each["key"], store.read("landing", each["key"])) for each in entry["objects"]]
        settle(store, entry_of(remake(store, *sources, run=f"p{number}"), *sources))
        kept = [key for key in keys_of(store) if key.startswith(keys.failed_records_prefix(MAPPING))]
        counts.append(sum(len(read_failed(store, key)) for key in kept))
    assert counts == [7, 7, 7]


def test_what_is_superseded_is_archived_instead_of_parked():
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, *lines(dataclasses.replace(bad(7), reprocessed=4)))
    settled = settle(store, entry_of(remake(store, source), source), {"a": 8})
    assert (settled["records_superseded"], settled["records_parked"], settled["notice"]) == (1, 0, None)
    assert not [key for key in keys_of(store) if key.startswith(("parked/", FIREHOSE_KEY))]


def test_nothing_is_looked_up_where_nothing_is_put_back_or_the_import_failed():
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, failed())
    entry = entry_of(remake(store, source), source)
    settler = Settler(store, "landing", 5, Notices(store, "landing", MAPPING, 3600), "r1-1", None)
    unreachable = dataclasses.replace(settler, superseder=nullcontext())
    assert unreachable.settle({**entry, "imported": IMPORTED})["records_superseded"] == 0
    source = put(store, FIREHOSE_KEY, *lines(bad(7)))
    entry = entry_of(remake(store, source, run="r2"), source)
    assert unreachable.settle({**entry, "error": {"Error": "ConnectionLostError"}})["records_superseded"] == 0
    assert len(read_failed(store, FIREHOSE_KEY)) == 1


def test_settling_that_dies_anywhere_keeps_each_record_once_in_the_end():
    for left in range(8):
        store = Dying(left=-1)
        source = put(store, BACKFILL_KEY, *lines(bad(7), bad(7, "b")))
        entry = entry_of(remake(store, source), source)
        store.left = left
        try:
            settle(store, entry, {"a": 8})
        except Exception:  # noqa: BLE001 (it died)
            store.left = -1
            settle(store, entry, {"a": 8})
        assert [record.data for record in read_failed(store, BACKFILL_KEY)] == [bad(7, "b").data]
        archived = [key for key in keys_of(store) if key.startswith(keys.archived_prefix(MAPPING))]
        assert len(archived) == 1


def test_changes_of_one_item_stand_together_among_those_that_were_refused():
    store = InMemoryObjects()
    for version in range(5):
        for page in ("a", "b", "c"):
            record = bad(version, page)
            changed = click_change({"Hits": "many"}, version=version, page_id=page)
            keep_refused(store, "landing", MAPPING, [RefusedChange(refused_id("T", changed, record.data), record)])
    (entry,) = plan_reprocess(PLACE, store, prefix=None, parked=False)
    items = [ItemNamer(CLICKS).name(read_failed(store, each["key"])[0])[0].fields for each in entry["objects"]]
    assert len(items) == 15
    assert sum(one != other for one, other in pairwise(items)) == 2
