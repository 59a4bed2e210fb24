import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dynaurora import keys
from dynaurora.dynamodb.source import SourceState
from dynaurora.measure_health import WAITING, Health, count_waiting, measure_health
from tests.support.failure_factories import (
    BACKFILL_KEY,
    BATCH_KEY,
    BUCKET,
    CONVERSION_KEY,
    FIREHOSE_KEY,
    MAPPING,
    OVERSIZE_KEY,
    PLACE,
    UNFORWARDED_KEY,
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


def measure(*kept, state=READY, store=None, place=PLACE):
    store = store or InMemoryObjects({(BUCKET, key): b"x" for key in kept})
    return measure_health(place, store, KnownSource(state))


def test_a_healthy_deployment_has_nothing_of_it_all():
    elsewhere = (keys.processed_prefix(MAPPING) + "a", keys.failed_records_prefix("other") + "a", "reports/run=r/a")
    assert measure(*elsewhere) == Health(0, 0, ())


def test_what_the_next_reprocess_takes_up_is_kept():
    assert measure(FIREHOSE_KEY, OVERSIZE_KEY, BACKFILL_KEY, UNFORWARDED_KEY, BATCH_KEY, CONVERSION_KEY) == Health(
        6, 0, ()
    )


def test_changes_of_another_table_that_were_not_forwarded_are_kept_for_its_own_stack():
    ours, others = (f"{keys.unforwarded_prefix()}{mapping}/shard-1/object" for mapping in ("ours", "others"))
    store = InMemoryObjects()
    for key, table in ((ours, PLACE.table), (others, "orders")):
        arn = f"arn:aws:dynamodb:us-east-1:123456789012:table/{table}/stream/2026"
        store.write(BUCKET, key, json.dumps({"DDBStreamBatchInfo": {"streamArn": arn}}).encode())
    assert measure(store=store).failures_kept == 1


def test_of_the_changes_that_were_not_forwarded_only_those_of_its_own_readers_are_looked_at():
    store = InMemoryObjects()
    for reader in ("now", "before", "others"):
        store.write(BUCKET, f"{keys.unforwarded_of(reader)}shard-1/object", b"whatever")
    assert measure(store=store, place=replace(PLACE, readers=("now", "before"))).failures_kept == 2


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
