"""What no import needs any more is deleted, and what is older than that is imported no more."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from dynaurora.aurora import purging
from dynaurora.aurora.migrations import DIFFERENCES, IMPORTS, PURGES, VERIFICATIONS
from dynaurora.aurora.purging import Purges
from dynaurora.aurora.verifications import RecordedDifference, Verifications
from dynaurora.dynamodb.versions import make_version
from dynaurora.errors import DynauroraError, PurgedError, TargetMismatchError
from dynaurora.purging.horizon import Horizon
from dynaurora.purging.purger import Purged, Purger
from tests.integration.targets import Target, TargetFor, row
from tests.support.factories import column, make_mapping

pytestmark = pytest.mark.integration

FLOOR = 1_700_000_000
LONG_AGO = datetime(2020, 1, 1)
HORIZON = Horizon(FLOOR, LONG_AGO)


def version(seconds: int) -> int:
    """Return a version so many seconds after the floor."""
    return make_version(FLOOR + seconds, 1)


@pytest.fixture
def purged(target: Target, monkeypatch: pytest.MonkeyPatch) -> Target:
    """Rows and tombstones of before and after the floor, in stretches of few."""
    monkeypatch.setattr(purging, "STRETCH_ROWS", 3)
    monkeypatch.setattr(purging, "DELETED_AT_ONCE", 2)
    rows = [row(f"there-{number}", version(number - 3)) for number in range(6)]
    rows += [row(f"gone-{number}", version(number - 3), deleted=True) for number in range(6)]
    target.import_rows(rows)
    return target


def list_rows(target: Target) -> list[str]:
    return [page for (page,) in target.query("SELECT page_id FROM Demo.WebAnalytics__replica ORDER BY page_id")]


def purge(target: Target, horizon: Horizon = HORIZON, seconds: float = 60) -> Purged:
    with target.connect() as aurora:
        purger = Purger(aurora, target.mapping)
        purger.begin(horizon)
        return purger.purge(seconds)


def test_tombstones_of_before_the_floor_go_and_nothing_else(purged: Target) -> None:
    seen = purged.hits()
    assert purge(purged) == Purged(True, 3, 0, 0)
    assert list_rows(purged) == [*(f"gone-{number}" for number in (3, 4, 5)), *(f"there-{n}" for n in range(6))]
    assert purged.hits() == seen
    assert purge(purged) == Purged(True, 0, 0, 0)


def test_they_are_counted_before_anything_is_deleted(purged: Target) -> None:
    with purged.connect() as aurora:
        purger, rows, after = Purger(aurora, purged.mapping), 0, None
        while True:
            answer = purger.count_tombstones(FLOOR, 0, "WebAnalytics", after)
            rows, after = rows + answer["rows"], answer["after"]
            if after is None:
                break
    assert rows == 3
    assert len(list_rows(purged)) == 12


def test_nothing_older_than_the_floor_is_imported_afterwards(purged: Target) -> None:
    purge(purged)
    with pytest.raises(PurgedError, match="2023-11-14T22:13:19"):
        purged.import_rows([row("new", version(5)), row("gone-0", version(-1))])
    assert "new" not in purged.hits()
    assert purged.import_rows([row("gone-0", version(0))]).rows_changed == 1


def test_a_repetition_is_told_as_such_however_old_it_is(target: Target) -> None:
    batch = target.write([row("a", version(-5))])
    target.import_batch(batch)
    purge(target)
    assert target.import_batch(batch).status == "already_applied"


def test_the_floor_never_goes_back(target: Target) -> None:
    with target.connect() as aurora:
        purger = Purger(aurora, target.mapping)
        assert purger.begin(HORIZON) == FLOOR
        assert purger.begin(Horizon(FLOOR - 100, LONG_AGO)) == FLOOR


def test_raising_the_floor_waits_for_a_merge_that_has_read_it(target: Target) -> None:
    with target.connect() as importing, target.connect() as aurora:
        aurora.execute("SET SESSION innodb_lock_wait_timeout = 1")
        with importing.transaction():
            purging.check_floor(importing, target.mapping, "batch", FLOOR - 1)
            with pytest.raises(DynauroraError, match="1205"):
                Purger(aurora, target.mapping).begin(HORIZON)
        Purger(aurora, target.mapping).begin(HORIZON)
        with importing.transaction(), pytest.raises(PurgedError):
            purging.check_floor(importing, target.mapping, "batch", FLOOR - 1)


def test_two_merges_read_the_floor_at_the_same_time(target: Target) -> None:
    with target.connect() as one, target.connect() as other, one.transaction(), other.transaction():
        for importing in (one, other):
            purging.check_floor(importing, target.mapping, "batch", FLOOR)


def test_ledger_rows_of_before_go_and_younger_ones_stay(target: Target) -> None:
    batches = [target.write([row(f"page-{number}", version(number))]) for number in range(6)]
    for batch in batches:
        target.import_batch(batch)
    for batch in batches[:5]:
        target.execute(f"UPDATE Demo.{IMPORTS} SET finished_at = '2019-12-31' WHERE batch_id = '{batch.id}'")
    with target.connect() as aurora:
        assert Purger(aurora, target.mapping).count_imports(HORIZON) == 5
    assert purge(target) == Purged(True, 0, 5, 0)
    assert [*target.ledger()] == [batches[5].id]


def test_merging_twice_changes_nothing_as_long_as_tombstones_are_there(target: Target) -> None:
    put, delete = target.write([row("a", version(1))]), target.write([row("a", version(2), deleted=True)])
    for batch in (put, delete, put):
        target.import_batch(batch)
        target.execute(f"DELETE FROM Demo.{IMPORTS}")
    assert target.hits() == {}


def test_verifications_go_but_for_the_newest_and_its_repairs(target: Target) -> None:
    found = [RecordedDifference("WebAnalytics", {"page_id": {"S": str(number)}}, "missing") for number in range(5)]
    with target.connect() as aurora:
        verifications = Verifications(aurora, target.mapping)
        for run in ("first", "second", "third"):
            verifications.open(run, "scan")
            verifications.record(run, 1, found)
            verifications.close(run, {}, 5, whole=True)
        for run, mends in (("repair-of-second", "second"), ("repair-of-third", "third")):
            verifications.open(run, "keys")
            verifications.close(run, {}, 0, whole=False, mends=mends)
    target.execute(f"UPDATE Demo.{VERIFICATIONS} SET started_at = '2019-01-01' WHERE run <> 'third'")
    target.execute(f"UPDATE Demo.{VERIFICATIONS} SET started_at = '2019-02-01' WHERE run = 'third'")
    assert purge(target) == Purged(True, 0, 0, 13)
    assert target.query(f"SELECT run, COUNT(*) FROM Demo.{DIFFERENCES} GROUP BY run") == [("third", 5)]
    assert target.query(f"SELECT run FROM Demo.{VERIFICATIONS} ORDER BY run") == [("repair-of-third",), ("third",)]


class Died(Exception):
    """The purge was killed."""


def test_one_that_was_killed_half_way_is_gone_on_with(purged: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    with purged.connect() as aurora:
        Purger(aurora, purged.mapping).begin(HORIZON)
        execute, seen = aurora.execute, []

        def dying(statement: str, arguments: tuple = ()) -> int:
            if statement.startswith("DELETE") and "__replica" in statement:
                seen.append(statement)
                if len(seen) == 2:
                    raise Died
            return execute(statement, arguments)

        monkeypatch.setattr(aurora, "execute", dying)
        with pytest.raises(Died):
            Purger(aurora, purged.mapping).purge(60)
    with purged.connect() as aurora:
        between = Purges(aurora, purged.mapping).read()
        assert between
        assert between.position is not None
        assert between.ended_at is None
        assert 0 < between.tombstones < 3
        assert Purger(aurora, purged.mapping).purge(60) == Purged(True, 3, 0, 0)
    assert "gone-2" not in list_rows(purged)


def test_one_without_time_for_all_says_so_and_goes_on(purged: Target) -> None:
    times = iter(range(1000))
    with purged.connect() as aurora:
        purger = Purger(aurora, purged.mapping, clock=lambda: next(times))
        purger.begin(HORIZON)
        answers = [purger.purge(2)]
        while not answers[-1].done:
            answers.append(purger.purge(2))
    assert len(answers) > 2
    assert answers[-1] == Purged(True, 3, 0, 0)


@pytest.mark.parametrize(
    ("kind", "texts"),
    [("VARBINARY(20)", ["YQ==", "AP8=", "Yg==", "YwA="]), ("DECIMAL(38,10)", ["1", "2.5", "-3", "90"])],
)
def test_keys_of_every_kind_are_walked(
    target_for: TargetFor, monkeypatch: pytest.MonkeyPatch, kind: str, texts: list[str]
) -> None:
    monkeypatch.setattr(purging, "STRETCH_ROWS", 2)
    target = target_for(make_mapping(column("sk", kind), sort_key="sk"))
    lines = [f"1,{version(-1 if number else 1)},a,{text}\n".encode() for number, text in enumerate(texts)]
    target.import_batch(target.write_bytes(b"".join(lines)))
    assert purge(target).tombstones == 3
    ((left,),) = target.query(f"SELECT COUNT(*) FROM `{target.mapping.database}`.`{target.mapping.replica}`")
    assert left == 1


def fill(target: Target) -> None:
    """Leave tombstones in a table of some size, and rows of a ledger."""
    target.import_rows(row(f"page-{number:05}", version(-1), deleted=number % 10 == 0) for number in range(2_000))
    rows = ", ".join(
        f"('{number}', 'web_analytics', 'stream', '[]', '2019-01-01', '2019-01-01')" for number in range(60)
    )
    columns = "batch_id, mapping, source, objects, started_at, finished_at"
    target.execute(f"INSERT INTO Demo.{IMPORTS} ({columns}) VALUES {rows}")
    target.execute(f"ANALYZE TABLE Demo.WebAnalytics__replica, Demo.{IMPORTS}")


def test_its_statements_are_answered_by_indexes(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "STRETCH_ROWS", 100)
    monkeypatch.setattr(purging, "DELETED_AT_ONCE", 5)
    fill(target)
    plans: list[tuple[str, str, str]] = []
    with target.connect() as aurora:
        Purger(aurora, target.mapping).begin(HORIZON)

        def explaining(do: Callable, statement: str, arguments: tuple = ()) -> Any:
            if "__replica" in statement or IMPORTS in statement:
                for plan in query(f"EXPLAIN FORMAT=TRADITIONAL {statement}", arguments):
                    kind, _, key = plan[-7:-4] if len(plan) == 10 else plan[4:7]
                    plans.append((statement.partition(" WHERE ")[0], kind, key))
            return do(statement, arguments)

        query = aurora.query
        monkeypatch.setattr(aurora, "query", partial(explaining, aurora.query))
        monkeypatch.setattr(aurora, "execute", partial(explaining, aurora.execute))
        assert Purger(aurora, target.mapping).purge(60) == Purged(True, 200, 60, 0)
    assert {key for _, _, key in plans} == {"PRIMARY", "by_time"}
    assert {kind for text, kind, _ in plans if text.startswith("DELETE")} == {"range"}


def test_a_target_of_an_older_release_is_not_purged_and_imports_go_on(target: Target) -> None:
    target.execute("DROP TABLE Demo._dynaurora_floors")
    assert target.import_rows([row("a", 1)]).rows_changed == 1
    with target.connect() as aurora, pytest.raises(TargetMismatchError, match="older release"):
        Purger(aurora, target.mapping).begin(HORIZON)
    target.execute(f"DROP TABLE Demo.{PURGES}")
