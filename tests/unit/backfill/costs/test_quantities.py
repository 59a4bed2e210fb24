"""Quantities follow from settings, sizes and rates as the product makes them: packs, batches, looks."""

from dataclasses import replace

import pytest

from backfill.costs.quantities import (
    Assumptions,
    cost_backfill,
    cost_changes,
    cost_tables,
    count_batches,
    count_billed,
    count_looks,
)
from dynaurora.dynamodb.packs import BILLED_BYTES, HEADER_BYTES, fill_packs
from infra.monthly_costs import count_replication, price_all
from tests.infrastructure.deployment import get_resource, read_template


def test_faster_tables_pay_less_for_each_change_and_larger_ones_for_each_item():
    assumed = Assumptions()
    by_rate = [price_all(cost_changes(rate, assumed)) for rate in (1, 10, 100, 1_000, 10_000)]
    by_size = [price_all(cost_backfill(size, assumed)) for size in (1e4, 1e6, 1e8, 1e10)]
    assert by_rate == sorted(by_rate, reverse=True)
    assert by_size == sorted(by_size, reverse=True)


def test_firehose_bills_five_kilobytes_at_a_time():
    def gigabytes(change_bytes, rate=1):
        assumed = Assumptions()
        return cost_changes(rate, replace(assumed, figures=replace(assumed.figures, change_bytes=change_bytes)))[
            "Firehose"
        ]

    alone = BILLED_BYTES - HEADER_BYTES - 1
    assert gigabytes(100, 0.2) == gigabytes(alone, 0.2) == pytest.approx(4.768, abs=0.001)
    assert gigabytes(alone + 1, 0.2) == pytest.approx(2 * gigabytes(alone, 0.2))
    assert gigabytes(681, rate=1000) < gigabytes(681, 0.2) / 7


def test_packs_are_billed_as_forwarding_makes_them():
    sizes = [681] * 500
    packs = fill_packs(sizes)
    billed = sum(-(-(HEADER_BYTES + 682 * count) // BILLED_BYTES) * BILLED_BYTES for count in packs)
    assert count_billed(500, 681) == billed


def test_batches_are_looked_at_twice_or_while_they_are_among_the_newest():
    assumed = Assumptions()
    assert count_looks(60, assumed) == 2
    assert count_looks(10_000, assumed) == 0.5
    assert count_looks(60, replace(assumed, looks_of_an_hour=0.5)) == 1.5


def test_a_table_at_rest_wakes_no_database():
    assert not {"Aurora I/O", "Secrets Manager", "Firehose"} & count_replication().keys()


@pytest.mark.parametrize("count", [1, 10, 100])
def test_tables_cost_each_what_one_does_and_busy_ones_a_batch_a_minute(count):
    assumed = Assumptions()
    for busy in (False, True):
        one, many = (price_all(cost_tables(each, busy=busy, assumed=assumed)) for each in (1, count))
        of_all = 0.60 if busy else 0
        assert many - of_all == pytest.approx(count * (one - of_all))
    assert count_batches(count, assumed) == pytest.approx(count * 730 * 60)


def test_a_hundred_busy_tables_make_more_than_four_million_batches():
    assert round(count_batches(100, Assumptions()) / 1e6, 1) == 4.4


def test_longer_buffers_make_fewer_batches():
    often, seldom = (cost_changes(1, Assumptions(buffer_seconds=seconds)) for seconds in (60, 300))
    assert often["EventBridge"] == pytest.approx(5 * seldom["EventBridge"])


def test_without_a_buffer_what_is_forwarded_and_transformed_together_stays_so():
    def batches(**seconds):
        return cost_changes(100, Assumptions(**seconds))["EventBridge"]

    assert batches(buffer_seconds=0) == batches(buffer_seconds=5) == pytest.approx(1e6 / 500)
    assert batches(buffer_seconds=0, transform_seconds=0) == pytest.approx(1e6 / 100)
    at_once = batches(buffer_seconds=0, transform_seconds=0, forward_seconds=0)
    assert at_once == pytest.approx(1e6 / 25), "what is read in one poll"
    assert batches(buffer_seconds=1, transform_seconds=0) == pytest.approx(1e6 / 500)


def test_a_replication_pays_for_each_look_for_what_failed():
    often, seldom, never = (price_all(count_replication(looks)) for looks in (730, 365, 0))
    assert price_all(count_replication()) == often
    assert often - seldom == pytest.approx(seldom - never)
    assert not count_replication(0)["Scheduler"]


def test_the_loaders_secret_is_read_once_for_many_batches_of_a_process():
    reads, batches = (cost_changes(1, Assumptions())[what] for what in ("Secrets Manager", "EventBridge"))
    assert reads == pytest.approx(batches / 5)
    seldom = cost_changes(1, Assumptions(buffer_seconds=900))
    assert seldom["Secrets Manager"] == seldom["EventBridge"]


def test_settings_are_those_of_the_templates():
    assumed = Assumptions()
    defaults = {name: each.get("Default") for name, each in read_template("replication")["Parameters"].items()}
    assert assumed.buffer_seconds == defaults["BufferSeconds"]
    assert assumed.buffer_bytes == defaults["BufferMegabytes"] * 2**20
    assert assumed.transform_seconds == defaults["TransformBufferSeconds"]
    assert assumed.forward_seconds == defaults["StreamBufferSeconds"]
    assert defaults["StreamTracing"] == "PassThrough"
    assert assumed.forward_records == get_resource("ForwardChangesEventSourceMapping").properties["BatchSize"]
    for name, memory_mb in (
        ("ForwardChanges", assumed.forward_memory_mb),
        ("TransformChanges", assumed.transform_memory_mb),
        ("ImportBatch", assumed.import_memory_mb),
        ("ConvertExport", assumed.convert_memory_mb),
    ):
        assert get_resource(f"{name}Function").properties["MemorySize"] == memory_mb
