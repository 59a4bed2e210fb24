import tracemalloc
from dataclasses import dataclass, replace

import pytest

from backfill.failures.counts import AGES, OLDEST, REASON, Tally, name_age
from backfill.failures.items import LOOKED_UP, ItemEntries
from backfill.failures.reader import read_time
from dynaurora.dynamodb.changes import encode_change
from dynaurora.failures.superseded import ItemNamer
from tests.support import failure_factories as made
from tests.support.example import load_example
from tests.support.factories import click, click_change
from tests.support.read_failures import read

NAMER = ItemNamer(load_example())


@dataclass
class KnownRows:
    """Rows by the first field of their keys, and how often they were asked for."""

    versions: dict
    asked: int = 0

    def find_overtaken(self, _table, wanted):
        self.asked += 1
        assert len(wanted) <= LOOKED_UP
        return {place for place, ((page, _), version) in enumerate(wanted) if self.versions.get(page, 0) > version}


def bad(page_id, version):
    return encode_change(click_change(click(Hits="secret"), version=version, page_id=page_id))


def put(**runs):
    """Failures of backfills, each of which refuses pages."""
    keys = {f"{made.FAILED}backfill/run={run}/batch-000001.json": pages for run, pages in runs.items()}
    store = made.make_store()
    store.objects.clear()
    for key, pages in keys.items():
        lines = made.failed_lines(*(made.failed_record(bad(page, version)) for page, version in pages.items()))
        store.write(made.BUCKET, key, lines)
    return read(store)


def tell(failures, rows=None):
    with ItemEntries(NAMER, rows) as entries:
        for failure in failures:
            entries.add(failure, failure.labels[0])
        return list(entries)


def test_a_repeated_backfill_adds_no_failure_of_an_item():
    runs = {f"r{number}": dict.fromkeys(map(str, range(9)), 100 + number) for number in range(3)}
    entries = tell(put(**runs))
    assert [(entry.document["version"], entry.older) for entry in entries] == [("102", 2)] * 9
    tally = Tally(REASON)
    for entry in entries:
        tally.add(entry)
    assert (tally.groups, tally.records, tally.older) == ([("payload.Hits (type)", 9)], 9, 18)
    assert not tally.is_looked_up


def test_what_a_newer_row_has_overtaken_is_told_and_counted_apart():
    entries = tell(put(r1={"a": 7, "b": 7}), KnownRows({"a": 8, "b": 7}))
    assert [(entry.document["item"]["page_id"]["S"], entry.superseded) for entry in entries] == [
        ("a", True),
        ("b", False),
    ]
    tally = Tally(REASON)
    for entry in entries:
        tally.add(entry)
    assert (tally.superseded, tally.records, tally.is_looked_up) == (1, 1, True)
    assert entries[0].as_dict()["superseded"] is True


def test_batches_stand_for_themselves():
    entries = tell(read(), KnownRows({}))
    assert sum(1 + entry.older for entry in entries) == 7
    assert [entry.items for entry in entries if not entry.is_record] == [(), ()]
    assert all(entry.superseded is False for entry in entries)


def test_memory_and_calls_do_not_grow_with_the_failures():
    (failure,) = put(r1={"a": 1})
    rows, number = KnownRows({}), 4 * LOOKED_UP
    tracemalloc.start()
    with ItemEntries(NAMER, rows) as entries:
        for version in range(number):
            entries.add(replace(failure, data=bad(f"page-{version}", version + 1)), "label")
        assert sum(entry.superseded is False for entry in entries) == number
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows.asked == number / LOOKED_UP
    assert peak < 8_000_000


@pytest.mark.parametrize(("seconds", "name"), [(60, AGES[0][1]), (7200, AGES[1][1]), (10**6, OLDEST)])
def test_ages_are_told_in_words(seconds, name, monkeypatch):
    now = read_time(1_795_421_700_000)
    monkeypatch.setattr("backfill.failures.counts.datetime", type("Clock", (), {"now": staticmethod(lambda _: now)}))
    assert name_age(read_time(1_795_421_700_000 - seconds * 1000)) == name
