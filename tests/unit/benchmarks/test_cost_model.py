"""docs/cost.md is what the model says, and the model is of this project: its prices, its settings, its figures."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.cost_model import (
    COUNTS,
    DOCS,
    RATES,
    Assumptions,
    cost_backfill,
    cost_changes,
    cost_tables,
    count_batches,
    count_billed,
    count_looks,
    plot,
    tables,
    total,
)
from benchmarks.documents import read_marked, to_table, write_marked
from dynaurora.dynamodb.packs import BILLED_BYTES, HEADER_BYTES, fill_packs
from dynaurora.runs.costs import PRICES
from infra.monthly_costs import count_platform, count_replication, list_templates, price_platform, price_replication


def test_the_page_has_the_models_tables_and_plot():
    assert read_marked(DOCS / "cost.md") == tables(), "run: python -m benchmarks.cost_model --write"
    assert (DOCS / "cost.svg").read_text("utf-8") == plot(), "run: python -m benchmarks.cost_model --write"


def test_every_price_is_used():
    used = {*cost_changes(100, Assumptions()), *cost_backfill(1e6, Assumptions())}
    assert used | count_platform(list_templates()).keys() | count_replication().keys() == set(PRICES)


def test_faster_tables_pay_less_for_each_change_and_larger_ones_for_each_item():
    assumed = Assumptions()
    by_rate = [total(cost_changes(rate, assumed)) for rate in RATES]
    by_size = [total(cost_backfill(size, assumed)) for size in (1e4, 1e6, 1e8, 1e10)]
    assert by_rate == sorted(by_rate, reverse=True)
    assert by_size == sorted(by_size, reverse=True)


def test_firehose_bills_five_kilobytes_at_a_time():
    def gigabytes(change_bytes, rate=1):
        assumed = Assumptions()
        return cost_changes(rate, replace(assumed, figures=replace(assumed.figures, change_bytes=change_bytes)))[
            "Firehose"
        ]

    alone = BILLED_BYTES - HEADER_BYTES - 1
    assert gigabytes(100) == gigabytes(alone) == pytest.approx(4.768, abs=0.001)
    assert gigabytes(alone + 1) == pytest.approx(2 * gigabytes(alone))
    assert gigabytes(681, rate=1000) < gigabytes(681) / 7


def test_packs_are_billed_as_forwarding_makes_them():
    sizes = [681] * 500
    packs = fill_packs(sizes)
    billed = sum(-(-(HEADER_BYTES + 682 * count) // BILLED_BYTES) * BILLED_BYTES for count in packs)
    assert count_billed(500, 681) == billed


def test_batches_are_looked_at_each_hour_for_three_days_or_while_they_are_among_the_newest():
    assumed = Assumptions()
    assert count_looks(60, assumed) == 71
    assert count_looks(1000, assumed) == 5
    assert count_looks(60, replace(assumed, looks_of_an_hour=0.5)) == 35.5


def test_a_table_at_rest_wakes_no_database():
    assert not {"Aurora I/O", "Secrets Manager", "Firehose"} & count_replication().keys()


@pytest.mark.parametrize("count", COUNTS)
def test_tables_cost_each_what_one_does_and_busy_ones_a_batch_a_minute(count):
    assumed = Assumptions()
    for busy in (False, True):
        one, many = (total(cost_tables(each, busy=busy, assumed=assumed)) for each in (1, count))
        of_all = 0.60 if busy else 0
        assert many - of_all == pytest.approx(count * (one - of_all))
    assert count_batches(count, assumed) == pytest.approx(count * 730 * 60)


def test_a_hundred_busy_tables_make_more_than_four_million_batches():
    assert round(count_batches(100, Assumptions()) / 1e6, 1) == 4.4


def test_the_page_says_of_the_platform_and_of_a_table_what_a_deployment_shows():
    *_, together = read_marked(DOCS / "cost.md")["rest"].splitlines()
    assert together == f"| **together** | **{price_platform(list_templates()):.3f}** | **{price_replication():.3f}** |"


def test_longer_buffers_make_fewer_batches():
    often, seldom = (cost_changes(1, Assumptions(buffer_seconds=seconds)) for seconds in (60, 300))
    assert often["EventBridge"] == pytest.approx(5 * seldom["EventBridge"])


def test_a_table_replaces_what_is_between_its_marks_and_nothing_else(tmp_path: Path):
    path = tmp_path / "page.md"
    path.write_text(
        "before\n<!-- table: one -->\nold\n<!-- end -->\nbetween\n<!-- table: two -->\n<!-- end -->\nafter\n"
    )
    found = {"one": to_table(("a", "b"), [("1", "2")]), "two": "| x |"}
    write_marked(path, found)
    assert read_marked(path) == found
    assert path.read_text() == (
        "before\n<!-- table: one -->\n| a | b |\n| --- | --- |\n| 1 | 2 |\n<!-- end -->\n"
        "between\n<!-- table: two -->\n| x |\n<!-- end -->\nafter\n"
    )
