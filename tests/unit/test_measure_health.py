from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dynaurora import keys
from dynaurora.dynamodb.source import SourceState
from dynaurora.mappings.replications import Replication
from dynaurora.measure_health import WAITING, Failures, Health, count_failures, count_waiting, measure_health
from tests.support.failure_factories import (
    BACKFILL_KEY,
    BATCH_KEY,
    BUCKET,
    CONVERSION_KEY,
    FIREHOSE_KEY,
    MAPPING,
    OVERSIZE_KEY,
)
from tests.support.fakes import InMemoryObjects
from tests.support.sources import READY, KnownSource

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
MACHINE = "arn:import-batch"


class StartedImports:
    """Imports: when those that are under way were started."""

    def __init__(self, *ages):
        self.ages = ages

    def count_running(self, machine_arn, before):
        assert machine_arn == MACHINE
        return sum(NOW - age < before for age in self.ages)


ORDERS_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
REPLICATIONS = [
    Replication(MAPPING, "clicks", ORDERS_ARN.replace("orders", MAPPING), ("now", "before"), "replicate"),
    Replication("orders", "orders", ORDERS_ARN, ("of-orders",), "replicate"),
]


def measure(*kept, state=READY, store=None, now=NOW):
    store = store or InMemoryObjects({(BUCKET, key): b"x" for key in kept})
    return measure_health(count_failures(store, BUCKET, REPLICATIONS), MAPPING, KnownSource(state), store, BUCKET, now)


def test_a_healthy_deployment_has_nothing_of_it_all():
    elsewhere = (keys.processed_prefix(MAPPING) + "a", keys.failed_records_prefix("other") + "a", "reports/run=r/a")
    assert measure(*elsewhere) == Health(0, 0, ())


def test_what_the_next_reprocess_takes_up_is_kept():
    unforwarded = keys.unforwarded_of("now") + "shard-1/object"
    assert measure(FIREHOSE_KEY, OVERSIZE_KEY, BACKFILL_KEY, unforwarded, BATCH_KEY, CONVERSION_KEY) == Health(6, 0, ())


def test_of_the_changes_that_were_not_forwarded_each_reader_has_its_own():
    readers = ("now", "before", "of-orders", "nobodys")
    store = InMemoryObjects({(BUCKET, keys.unforwarded_of(reader) + "shard-1/object"): b"x" for reader in readers})
    assert count_failures(store, BUCKET, REPLICATIONS).kept == {MAPPING: 2, "orders": 1}


class CountedLists(InMemoryObjects):
    """Objects, and how often they were listed."""

    lists = 0

    def list(self, *given, **options):
        self.lists += 1
        return super().list(*given, **options)


def test_a_hundred_replications_are_listed_as_often_as_one():
    many = [Replication(f"t{number}", "s", ORDERS_ARN, (f"r{number}",), "replicate") for number in range(100)]
    stores = CountedLists(), CountedLists()
    for replications, store in zip((many[:1], many), stores, strict=True):
        for one in replications:
            store.write(BUCKET, keys.failed_records_prefix(one.mapping) + "a", b"x")
        assert count_failures(store, BUCKET, replications) == Failures(
            Counter(one.mapping for one in replications), Counter()
        )
    assert {store.lists for store in stores} == {4}


def test_what_a_settled_change_left_behind_is_not_kept():
    store = InMemoryObjects()
    for number, body in enumerate((b"", b"x", b"")):
        store.write(BUCKET, keys.refused_change(MAPPING, str(number)), body)
    assert measure(store=store).failures_kept == 1


def test_what_is_parked_is_counted_by_itself():
    assert measure(FIREHOSE_KEY, *(keys.parked(MAPPING, key) for key in (FIREHOSE_KEY, BATCH_KEY))) == Health(1, 2, ())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"stream_arn": None}, "its stream is off"),
        ({"stream_view": "KEYS_ONLY"}, "view is KEYS_ONLY"),
        ({"mapping_state": None}, "there is no event source mapping"),
        ({"mapping_state": "Disabled"}, "is Disabled"),
        ({"mapping_stream_arn": "arn:an-earlier-stream"}, "reads arn:an-earlier-stream"),
    ],
)
def test_a_stream_that_is_not_read_is_a_problem(changed, words):
    (problem,) = measure(state=replace(READY, **changed)).stream_problems
    assert words in problem


def test_a_batch_that_is_under_way_for_long_waits():
    moment = timedelta(seconds=1)
    imports = StartedImports(WAITING - moment, WAITING, WAITING + moment, WAITING * 2)
    assert count_waiting(imports, MACHINE, NOW) == 2


def test_a_table_that_is_gone_is_read_by_nothing():
    assert measure(state=SourceState("web_analytics")).stream_problems


@pytest.mark.parametrize("changed", [{"recovery": False}, {"mapping_state": "Updating"}])
def test_what_keeps_no_change_from_being_read_is_none(changed):
    assert measure(state=replace(READY, **changed)).stream_problems == ()


def test_a_stream_that_was_not_read_for_twenty_hours_is_near_its_loss_whatever_is_written():
    store, off = InMemoryObjects(), replace(READY, mapping_state="Disabled", mapping_changed_at=NOW)
    assert not measure(state=off, store=store).near_loss
    assert not measure(state=off, store=store, now=NOW + timedelta(hours=19, minutes=59)).near_loss
    assert measure(state=off, store=store, now=NOW + timedelta(hours=20)).near_loss
    assert not measure(state=READY, store=store, now=NOW + timedelta(hours=21)).near_loss


def test_an_idle_table_whose_reader_is_well_is_never_near_a_loss_and_nothing_is_written_for_it_again():
    store = InMemoryObjects()
    assert not measure(store=store).near_loss
    written = dict(store.objects)
    assert not measure(store=store, now=NOW + timedelta(days=30)).near_loss
    assert store.objects == written


def test_a_reader_that_fails_is_as_one_that_is_off():
    store, failing = InMemoryObjects(), replace(READY, mapping_result="PROBLEM: Function call failed")
    assert measure(state=failing, store=store) == Health(0, 0, ())
    assert measure(state=failing, store=store, now=NOW + timedelta(hours=20)).near_loss
    assert not measure(state=replace(READY, mapping_result="OK"), store=store, now=NOW + timedelta(hours=21)).near_loss
