import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from dynaurora import keys
from dynaurora.aurora import sql
from dynaurora.batches.batch import Batch
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.errors import LockWaitError, SweepRefusedError
from dynaurora.exports.plan_sweep import Sweep, Sweeper
from dynaurora.mappings.rebuilds import compose_rebuild
from tests.support.csv_reader import read_line
from tests.support.example import load_example
from tests.support.factories import CREATED_AT, make_totals
from tests.support.fakes import InMemoryObjects
from tests.support.several_targets import several, target

MAPPING = load_example()


@dataclass
class KnownRows:
    """An Aurora that answers one query with these rows, and then fails if it is to."""

    rows: list
    error: Exception | None = None
    asked: list = field(default_factory=list)
    swept: int = 0
    """Rows that the ledger says the run has swept."""

    def stream(self, statement, arguments) -> Iterator[tuple]:
        self.asked.append((statement, arguments))
        yield from self.rows
        if self.error:
            raise self.error

    def query(self, statement, arguments):
        assert "run = %s AND mapping = %s AND source = %s" in statement
        assert arguments == ("r1", "web_analytics", "sweep")
        return [(self.swept,)]


def sweep(rows, totals=None, error=None):
    aurora, store = KnownRows(rows, error), InMemoryObjects()
    sweeper = Sweeper(MAPPING, aurora, store, "landing", "r1", CREATED_AT)
    return lambda: sweeper.plan(totals or make_totals()), aurora, store


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        pytest.param({"rejected": 1}, "1 items were rejected and 0 batches failed", id="rejected"),
        pytest.param(
            {"batches_failed": 2, "unaccounted": 9}, "0 items were rejected and 2 batches failed", id="failed"
        ),
        pytest.param({"rejected": 3, "batches_failed": 1}, "3 items were rejected and 1 batches failed", id="both"),
    ],
)
def test_a_sweep_is_refused_where_items_are_not_in_the_replica(counts, says):
    plan, aurora, store = sweep([("a", "b")], make_totals(**counts))
    with pytest.raises(SweepRefusedError, match=f"Of run r1 {says}"):
        plan()
    assert (aurora.asked, store.objects) == ([], {})


def test_items_that_were_newer_already_are_no_hindrance():
    plan, _, _ = sweep([("a", "b")], make_totals(imported=3, already_newer=7))
    assert plan().rows == 1


def test_tombstones_have_their_keys_the_snapshots_version_and_nothing_else():
    plan, aurora, store = sweep([("a,b", "2026-01-01"), (b"\xc3\xbc", b"2026")])
    assert plan() == Sweep("landing", keys.sweep_plan(MAPPING.name, "r1"), rows=2, batches=1)
    version = snapshot_version(CREATED_AT)
    assert aurora.asked == [(sql.select_older_keys(MAPPING), (version,))]
    lines = [
        read_line(line)
        for line in store.read("landing", keys.sweep_batch(MAPPING.name, "r1", 1)).splitlines(keepends=True)
    ]
    nothing = [None] * (len(MAPPING.columns) - 2)
    assert lines == [
        ["1", str(version), "a,b", "2026-01-01", *nothing],
        ["1", str(version), "ü", "2026", *nothing],
    ]


def test_the_plan_has_each_batch_as_the_importer_takes_it(monkeypatch):
    monkeypatch.setattr("dynaurora.exports.plan_sweep.MAX_BATCH_ITEMS", 2)
    plan, _, store = sweep([(str(number), "d") for number in range(5)])
    planned = plan()
    batches = [Batch.from_event({"batch": entry}) for entry in json.loads(store.read("landing", planned.key))]
    assert (planned.rows, planned.batches) == (5, 3)
    assert [(batch.source, batch.run, batch.rows) for batch in batches] == [("sweep", "r1", rows) for rows in (2, 2, 1)]
    for number, batch in enumerate(batches, 1):
        (item,) = batch.objects
        tail = store.tail("landing", keys.sweep_batch(MAPPING.name, "r1", number))
        assert (item.key, item.etag, item.size) == (keys.sweep_batch(MAPPING.name, "r1", number), tail.etag, tail.size)


def test_a_sweep_knows_what_the_run_has_swept_before():
    plan, aurora, _ = sweep([("a", "b")])
    aurora.swept = 7
    planned = plan()
    assert (planned.rows, planned.rows_before) == (1, 7)


def test_nothing_to_sweep_is_a_plan_of_nothing():
    plan, _, store = sweep([])
    assert plan() == Sweep("landing", keys.sweep_plan(MAPPING.name, "r1"), rows=0, batches=0)
    assert store.objects == {("landing", keys.sweep_plan(MAPPING.name, "r1")): b"[]"}


def test_a_sweep_that_breaks_off_has_no_plan():
    plan, _, store = sweep([("a", "b")], error=LockWaitError("Aurora said 1205."))
    with pytest.raises(LockWaitError):
        plan()
    assert store.objects == {}


REBUILT = compose_rebuild(several(target("Orders", "")), several(target("Orders", "", replica="Orders__replica_2")))


def test_a_target_that_is_being_replaced_is_not_swept_whatever_it_refuses():
    of_targets = {"Orders": {"rejected": 3}, "Orders__2": {"rejected": 0}}
    known, store = KnownRows([("p", "ORDER#1")]), InMemoryObjects()
    known.query = lambda *_: [(0,)]
    sweeper = Sweeper(REBUILT, known, store, "landing", "r1", CREATED_AT)
    assert sweeper.plan(make_totals(rejected=3, targets=of_targets)).rows == 1
    ((statement, _),) = known.asked
    assert "`Orders__replica_2`" in statement
    with pytest.raises(SweepRefusedError, match="2 items were rejected"):
        sweeper.plan(make_totals(rejected=2, targets={**of_targets, "Orders__2": {"rejected": 2}}))
