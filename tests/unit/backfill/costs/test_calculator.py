"""A month's bill, against sums done by hand."""

import json
from dataclasses import replace

import pytest

from backfill.costs.calculator import (
    BACKFILLS,
    CHANGES,
    LOOKS,
    MEASURED_BYTES,
    PLATFORM,
    REST,
    SECONDS_OF_A_MONTH,
    VERIFICATIONS,
    TableUsage,
    calculate,
    fit_figures,
)
from backfill.costs.figures import read_figures
from backfill.costs.quantities import Assumptions, cost_backfill, cost_changes, cost_verifications
from backfill.costs.traffic import Traffic, steady
from dynaurora.runs.costs import PRICES
from infra.monthly_costs import (
    METRICS_OF_A_TABLE,
    METRICS_OF_ALL_TABLES,
    count_platform,
    count_replication,
    list_templates,
    price_all,
)
from local.clicks import tell_seeded

PLATFORM_AT_REST = count_platform(list_templates())
OWN, SHARED = len(METRICS_OF_A_TABLE), len(METRICS_OF_ALL_TABLES)
MEASURED = Assumptions(figures=replace(read_figures(), item_bytes=MEASURED_BYTES))
"""Of items as large as those that were measured."""


def usage(**changed):
    return TableUsage(**{"items": 1e6, "item_bytes": MEASURED_BYTES, "traffic": steady(100), **changed})


def parts_of(bill):
    return {part.name: part.usd for part in bill.parts}


def stored_bytes(item):
    """The size of an item of texts ("DynamoDB item sizes and formats": names and values, in UTF-8)."""
    assert all(value.keys() == {"S"} for value in item.values())
    return sum(len(name.encode()) + len(value["S"].encode()) for name, value in item.items())


def test_figures_are_of_items_of_the_size_that_others_are_held_against():
    clicks = [story[0].request["PutRequest"]["Item"] for story in tell_seeded(500, seed=0, run="bench")]
    assert round(sum(map(stored_bytes, clicks)) / len(clicks)) == MEASURED_BYTES
    exported = sum(len(json.dumps({"Item": click})) + 1 for click in clicks) / len(clicks)
    assert round(exported) == read_figures().item_bytes


def test_parts_are_what_the_model_says_of_each():
    bill = calculate(usage(verifications=730 / 24), PLATFORM_AT_REST)
    changes = cost_changes(100, MEASURED)
    assert parts_of(bill) == pytest.approx(
        {
            PLATFORM: price_all(PLATFORM_AT_REST),
            REST: price_all(count_replication(0)),
            LOOKS: price_all(count_replication()) - price_all(count_replication(0)),
            # 100 a second for 730 hours are 262.8 million; a metric is 0.30.
            CHANGES: 262.8 * price_all(changes) + (OWN + SHARED) * 0.30,
            BACKFILLS: price_all(cost_backfill(1e6, MEASURED)),
            VERIFICATIONS: 7 * price_all(cost_verifications(1e6, MEASURED)),
        }
    )
    assert bill.together.usd == pytest.approx(sum(parts_of(bill).values()))
    assert sum(bill.together.services.values()) == pytest.approx(bill.together.usd)


def test_an_export_is_paid_by_the_tables_bytes():
    bill = calculate(usage(items=2e6, item_bytes=1000, backfills=3), {})
    (backfill,) = (part for part in bill.parts if part.name == BACKFILLS)
    assert backfill.quantities["DynamoDB export"] == pytest.approx(3 * 2.0)  # of two GB, at 0.10 dollars
    assert backfill.services["DynamoDB export"] == pytest.approx(0.60)
    assert bill.backfill.quantities["DynamoDB export"] == pytest.approx(2.0)


def test_each_stretch_is_paid_by_its_own_rate():
    """An hour a day at 24 changes a second is as many as one a second all day, and costs less."""
    nightly = Traffic({24.0: 1 / 24}, 1 / 24)
    assert usage(traffic=nightly).changes == usage(traffic=steady(1)).changes == SECONDS_OF_A_MONTH
    costs = {
        name: parts_of(calculate(usage(traffic=traffic), {}))[CHANGES]
        for name, traffic in (("nightly", nightly), ("all day", steady(1)))
    }
    million = SECONDS_OF_A_MONTH / 1e6
    assert costs["nightly"] == pytest.approx(
        million * price_all(cost_changes(24, MEASURED)) + (OWN + SHARED) * 0.30 / 24
    )
    assert costs["all day"] == pytest.approx(million * price_all(cost_changes(1, MEASURED)) + (OWN + SHARED) * 0.30)
    assert costs["nightly"] < costs["all day"] / 2


def test_a_table_that_rests_pays_for_nothing_but_what_is_there():
    bill = calculate(usage(traffic=steady(0), backfills=0), {})
    assert {name: usd for name, usd in parts_of(bill).items() if usd} == pytest.approx(
        {REST: price_all(count_replication(0)), LOOKS: price_all(count_replication()) - price_all(count_replication(0))}
    )


def test_tables_share_a_platform_and_the_metrics_of_all():
    one, ten = (calculate(usage(), PLATFORM_AT_REST, tables=tables) for tables in (1, 10))
    shared = price_all(PLATFORM_AT_REST) + SHARED * 0.30
    assert ten.together.usd - shared == pytest.approx(10 * (one.together.usd - shared))


def test_looks_for_failures_are_paid_as_often_as_they_are_made():
    hourly, daily, never = (parts_of(calculate(usage(looks=looks), {})) for looks in (730, 730 / 24, 0))
    assert daily[LOOKS] == pytest.approx(hourly[LOOKS] / 24)
    assert never[LOOKS] == 0
    assert never[CHANGES] <= daily[CHANGES] <= hourly[CHANGES]  # of what was streamed lately, too


def test_items_that_were_measured_have_the_figures_that_were_measured():
    assert fit_figures(read_figures(), MEASURED_BYTES) == read_figures()


def test_larger_items_are_sent_and_written_with_more_bytes_and_smaller_ones_take_no_less_time():
    figures = read_figures()
    larger, smaller = (fit_figures(figures, MEASURED_BYTES * ratio) for ratio in (3, 0.5))
    envelope = figures.change_bytes - figures.item_bytes
    assert larger.change_bytes == pytest.approx(envelope + 3 * figures.item_bytes)
    assert larger.row_bytes == pytest.approx(3 * figures.row_bytes)
    assert larger.redo_bytes_new == pytest.approx(figures.redo_bytes_new + 2 * figures.row_bytes)
    assert larger.import_new_rows_per_second == pytest.approx(figures.import_new_rows_per_second / 3)
    assert smaller.convert_cpu_us == figures.convert_cpu_us
    assert smaller.change_bytes == pytest.approx(envelope + figures.item_bytes / 2)


def test_a_part_tells_machines_its_services_with_what_there_is_of_them():
    (_, rest, *_) = calculate(usage(), PLATFORM_AT_REST).parts
    told = rest.as_dict()
    assert (told["part"], told["usd"]) == (REST, round(rest.usd, 4))
    assert {line["what"]: line["unit"] for line in told["services"]} == {
        what: PRICES[what][1] for what in rest.services
    }
    assert [line["usd"] for line in told["services"]] == sorted(
        (line["usd"] for line in told["services"]), reverse=True
    )
