import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from dynaurora import keys
from dynaurora.aurora import sql
from dynaurora.batches.batch import Batch
from dynaurora.batches.isolating import RefusedRow
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.errors import LockWaitError, SweepRefusedError
from dynaurora.exports.left_out import LeftOut
from dynaurora.exports.plan_sweep import Sweep, Sweeper
from dynaurora.failures.refused_rows import RefusedRows
from dynaurora.mappings.rebuilds import compose_rebuild
from tests.support.csv_reader import read_line
from tests.support.example import load_example
from tests.support.factories import CREATED_AT, column, make_mapping, make_totals
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
    rejecting: list = field(default_factory=list)
    """What the ledger has of the run of which anything was rejected."""

    def stream(self, statement, arguments) -> Iterator[tuple]:
        self.asked.append((statement, arguments))
        yield from self.rows
        if self.error:
            raise self.error

    def query(self, statement, arguments):
        if "information_schema" in statement:
            return []
        assert "run = %s AND mapping = %s AND source = %s" in statement
        if "rows_rejected > 0" in statement:
            return [(ledger_id,) for ledger_id in self.rejecting]
        assert arguments == ("r1", "web_analytics", "sweep")
        return [(self.swept,)]


def sweep(rows, totals=None, error=None):
    aurora, store = KnownRows(rows, error), InMemoryObjects()
    sweeper = Sweeper(MAPPING, aurora, store, "landing", "r1", CREATED_AT)
    return lambda: sweeper.plan(totals or make_totals()), aurora, store


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        pytest.param(
            {"rejected": 1}, "1 items were rejected by WebAnalytics, and only 0 of them are known", id="unknown"
        ),
        pytest.param({"rejected": 100_001}, "100,001 items were rejected, and a sweep leaves out 100,000", id="many"),
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


def key(page_id):
    return {"page_id": {"S": page_id}, "activity_dt": {"S": "d"}}


def put_refused(store, *keys_of_items, target="WebAnalytics", number=1):
    lines = (json.dumps({"Target": target, "Keys": each}).encode() + b"\n" for each in keys_of_items)
    store.write("landing", keys.backfill_refused(MAPPING.name, "r1", number), b"".join(lines))


def swept(store):
    lines = store.read("landing", keys.sweep_batch(MAPPING.name, "r1", 1)).splitlines(keepends=True)
    return [read_line(line)[2] for line in lines]


def test_what_was_refused_is_left_out_by_its_key():
    plan, aurora, store = sweep([("a", "d"), ("b", "d"), ("c", "d"), ("e", "d")], make_totals(rejected=3))
    put_refused(store, key("a"))
    put_refused(store, key("never had a row"), number=2)
    row = RefusedRow("WebAnalytics", {"page_id": "c", "activity_dt": "d"}, 1, 1406, None, None)
    RefusedRows(store, "landing", "arn:f")(MAPPING.name, "0f1e", [row], 0)
    store.delete("landing", keys.refused_rows(MAPPING.name, "0f1e"))  # settled meanwhile
    aurora.rejecting = ["0f1e", "of another"]
    planned = plan()
    assert (planned.rows, planned.left_out, swept(store)) == (2, 3, ["b", "e"])


def test_an_item_whose_key_no_row_can_have_is_known_too():
    plan, _, store = sweep([("b", "d")], make_totals(rejected=1))
    put_refused(store, key("x" * 3000))
    assert (plan().rows, swept(store)) == (1, ["b"])


NUMBERS = make_mapping(column("c", "CHAR(5)"), key_type="DECIMAL(10,2)", sort_key="c")


def test_keys_are_the_same_where_the_server_writes_them_in_its_own_way():
    left_out = LeftOut(NUMBERS)
    left_out.add(NUMBERS, ["1.5", "a "])
    assert left_out.has(NUMBERS, ["1.50", "a"])
    assert not left_out.has(NUMBERS, ["1.51", "a"])
    assert not left_out.has(NUMBERS, ["1.5", "A"])


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
    known.query = lambda statement, _: [] if "information_schema" in statement else [(0,)]
    sweeper = Sweeper(REBUILT, known, store, "landing", "r1", CREATED_AT)
    assert sweeper.plan(make_totals(rejected=3, targets=of_targets)).rows == 1
    ((statement, _),) = known.asked
    assert "`Orders__replica_2`" in statement
    with pytest.raises(SweepRefusedError, match="2 items were rejected by Orders__2, which is filled by this run"):
        sweeper.plan(make_totals(rejected=2, targets={**of_targets, "Orders__2": {"rejected": 2}}))
