"""docs/scale.md is what the simulation says, and the simulation knows its bounds."""

from dataclasses import replace

import pytest

from benchmarks.documents import read_marked
from benchmarks.scale import PAGE, Assumptions, plan, simulate_backfill, simulate_stream, tables

SMALL = Assumptions(items=10**7, table_bytes=10**10, files=100, database_rows_per_second=250_000)
BATCHES = 100


def hours_at_least(assumed: Assumptions) -> float:
    """The time that the database alone takes."""
    return assumed.items / assumed.database_rows_per_second / 3600


def test_the_page_has_the_simulations_tables():
    assert read_marked(PAGE) == tables(), "run: python -m benchmarks.scale --write"


def test_the_plan_of_files_that_are_larger_than_a_batch_has_a_batch_for_each():
    assert plan(SMALL)["batches"] == BATCHES


@pytest.mark.parametrize("concurrency", [1, 3, 16, 200])
def test_no_backfill_is_faster_than_its_database_or_slower_than_one_batch_after_another(concurrency):
    alone = simulate_backfill(SMALL, 1, BATCHES).hours
    found = simulate_backfill(SMALL, concurrency, BATCHES)
    assert hours_at_least(SMALL) <= found.hours <= alone
    assert found.busiest_importers <= concurrency


def test_one_batch_at_a_time_takes_all_of_their_times():
    found = simulate_backfill(SMALL, 1, BATCHES)
    first = found.convert_seconds + SMALL.batch_seconds + SMALL.import_calls * SMALL.call_seconds
    merging = found.items_of_a_batch / SMALL.figures.import_new_rows_per_second
    assert found.hours * 3600 == pytest.approx(BATCHES * (first + merging), rel=0.001)
    assert found.import_seconds == pytest.approx(found.longest_import_seconds)


def test_a_slower_database_is_the_bound_sooner():
    slow, fast = (replace(SMALL, database_rows_per_second=rate) for rate in (20_000, 2_000_000))
    assert simulate_backfill(slow, 16, BATCHES).hours == pytest.approx(hours_at_least(slow), rel=0.1)
    assert simulate_backfill(fast, 16, BATCHES).hours > 2 * hours_at_least(fast)


def test_twice_the_changes_are_twice_of_everything_but_a_batch():
    one, two = (simulate_stream(Assumptions(changes_per_second=rate)) for rate in (50_000, 100_000))
    same = {"rows", "import_seconds"}
    assert all(two[name] == pytest.approx(one[name] * (1 if name in same else 2)) for name in one)
