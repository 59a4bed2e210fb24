import dataclasses
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from dynaurora import keys
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.errors import InvalidRunError
from dynaurora.failures import list_failures
from dynaurora.failures.list_failures import is_anything_failed, plan_reprocess
from tests.support.factories import stream_record
from tests.support.failed_objects import (
    BACKFILL_KEY,
    FAILED,
    FIREHOSE_KEY,
    IMPORTED,
    MAPPING,
    OTHER_UNFORWARDED_KEY,
    OVERSIZE_KEY,
    PLACE,
    RECORDS,
    UNFORWARDED_KEY,
    failed,
    invocation,
    keys_of,
    put,
    settle,
)
from tests.support.failure_factories import CONVERSION
from tests.support.fakes import WRITTEN_AT, InMemoryObjects


def test_everything_that_is_kept_as_failed_is_taken_up():
    store = InMemoryObjects()
    for key in (FIREHOSE_KEY, BACKFILL_KEY, OVERSIZE_KEY):
        put(store, key, failed())
    put(store, UNFORWARDED_KEY, invocation(stream_record()))
    put(store, keys.failed_batch(MAPPING, "0f1e"), json.dumps({"batch": {"mapping": MAPPING}}).encode())
    put(
        store,
        keys.failed_batch(MAPPING, "r0-000001"),
        json.dumps({"batch": None, "conversion": CONVERSION}).encode(),
    )
    put(store, OTHER_UNFORWARDED_KEY, invocation(stream_record()))
    put(store, keys.parked(MAPPING, FIREHOSE_KEY), failed())
    put(store, "processed/mapping=web_analytics/1", b"a batch")
    records, *batches = sorted(
        plan_reprocess(PLACE, store, prefix=None, parked=False), key=lambda entry: entry["kind"], reverse=True
    )
    kept = {FIREHOSE_KEY, BACKFILL_KEY, OVERSIZE_KEY, UNFORWARDED_KEY, OTHER_UNFORWARDED_KEY}
    assert {item["key"] for item in records["objects"]} == kept
    assert {entry["kind"]: entry["batch"] for entry in batches} == {
        "batch": {"mapping": MAPPING},
        "conversion": CONVERSION,
    }
    assert sorted(entry["number"] for entry in (records, *batches)) == [1, 2, 3]


def of_table(table, *records):
    """The record of an invocation, as it is of a table's stream."""
    stream = f"arn:aws:dynamodb:us-east-1:123456789012:table/{table}/stream/2026-11-23T08:15:00.000"
    return json.dumps(json.loads(invocation(*records)) | {"DDBStreamBatchInfo": {"streamArn": stream}}).encode()


def test_stream_records_of_other_stacks_tables_are_left_to_them():
    store = InMemoryObjects()
    own = [f"aws/lambda/{name}/shardId-1/2026/11/23/{number}" for name in ("mine", "mine-before") for number in (1, 2)]
    others = [f"aws/lambda/others/shardId-1/2026/11/23/{number}" for number in (1, 2)]
    unknown = ["aws/lambda/who/shardId-1/1", "aws/lambda/stray"]
    for key in own:
        put(store, key, of_table("web_analytics", stream_record()))
    for key in others:
        put(store, key, of_table("orders", stream_record()))
    for key in unknown:
        put(store, key, b"no invocation")
    reads = []
    store.read = lambda bucket, key, read=store.read: reads.append(key) or read(bucket, key)
    assert list_keys(store) == {*own, *unknown}
    assert sorted(reads) == sorted([own[0], own[2], others[0], *unknown]), "one of each is enough"
    assert list_keys(store, prefix=others[0]) == set()


def list_keys(store, **options):
    return {
        listed.key
        for _, listed in list_failures.list_failures(PLACE, store, **{"prefix": None, "parked": False} | options)
    }


def test_what_is_parked_is_taken_up_on_request_only():
    store = InMemoryObjects()
    parked = {keys.parked(MAPPING, FIREHOSE_KEY), keys.parked(MAPPING, keys.failed_batch(MAPPING, "0f1e"))}
    for key in (*parked, FIREHOSE_KEY):
        put(store, key, b"{}\n")
    assert list_keys(store) == {FIREHOSE_KEY}
    assert list_keys(store, parked=True) == {FIREHOSE_KEY, *parked}
    assert list_keys(store, prefix=keys.parked_prefix(MAPPING)) == parked


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        (f"{RECORDS}processing-failed/", {FIREHOSE_KEY}),
        (FIREHOSE_KEY, {FIREHOSE_KEY}),
        ("aws/", {UNFORWARDED_KEY}),
        ("failed_batches/", set()),
    ],
)
def test_a_prefix_bounds_what_is_taken_up(prefix, found):
    store = InMemoryObjects()
    for key in (FIREHOSE_KEY, OVERSIZE_KEY, UNFORWARDED_KEY):
        put(store, key, b"{}\n")
    assert list_keys(store, prefix=prefix) == found


def test_a_prefix_of_something_else_is_refused():
    with pytest.raises(InvalidRunError, match="No failures can be under 'reports/'"):
        list_keys(InMemoryObjects(), prefix="reports/")


NOW = WRITTEN_AT + timedelta(hours=2)
"""When it is looked for them; the objects of these tests were written at WRITTEN_AT."""
LANDED_KEY = keys.processed_prefix(MAPPING) + "2026/11/23/08/changes-1"
YESTERDAYS_KEY = keys.processed_prefix(MAPPING) + "2026/11/22/23/changes-2"


@pytest.fixture
def at(monkeypatch):
    """Set the time."""

    def set_time(time):
        clock = SimpleNamespace(now=lambda _: time, fromisoformat=datetime.fromisoformat)
        monkeypatch.setattr(list_failures, "datetime", clock)

    set_time(NOW)
    return set_time


@pytest.mark.parametrize(
    ("key", "anything"),
    [
        (FIREHOSE_KEY, True),
        (UNFORWARDED_KEY, True),
        (keys.failed_batch(MAPPING, "0f1e"), True),
        (LANDED_KEY, True),
        (keys.parked(MAPPING, FIREHOSE_KEY), False),
        (keys.processed_prefix("another") + "2026/11/23/08/changes-1", False),
        (None, False),
    ],
)
def test_a_look_sees_whatever_a_run_would_take_up(at, key, anything):
    store = InMemoryObjects()
    if key is not None:
        put(store, key, b"{}\n")
    assert is_anything_failed(PLACE, store) is anything
    assert bool(list(plan_reprocess(PLACE, store, prefix=None, parked=False))) is anything


def list_unstarted(store, prefix=None):
    if prefix is None:
        unnoted = [listed.key for listed in list_failures.list_unstarted(PLACE, store)]
        looks = [listed.key for listed in list_failures.list_left_unstarted(PLACE, store, noting=True)]
        assert looks == unnoted, "whether it notes how far it came, or not"
        return looks
    return [listed.key for listed in list_failures.list_unstarted_under(PLACE, store, prefix)]


def test_a_batch_that_was_neither_imported_nor_failed_is_imported(at):
    store = InMemoryObjects()
    source = put(store, LANDED_KEY, b"row\n")
    (entry,) = plan_reprocess(PLACE, store, prefix=None, parked=False)
    assert (entry["kind"], entry["objects"]) == ("unstarted", [dataclasses.asdict(source)])
    batch = Batch.from_event(json.loads(json.dumps(entry)))
    item = BatchObject("landing", LANDED_KEY, source.etag, source.size)
    assert batch == Batch(MAPPING, "stream", None, None, (item,)), "the ledger knows it by the same id"
    assert settle(store, entry, imported=IMPORTED)["batches_imported"] == 1
    assert settle(store, entry, error=FAILED)["batches_failed"] == 1
    assert keys_of(store) == [LANDED_KEY]


def test_a_batch_that_is_imported_or_kept_as_failed_is_not_started(at):
    store = InMemoryObjects()
    for number, park in enumerate((False, True)):
        source = put(store, f"{LANDED_KEY}-{number}", b"row\n")
        batch = Batch(MAPPING, "stream", None, None, (BatchObject("landing", source.key, source.etag, source.size),))
        failed_key = keys.failed_batch(MAPPING, batch.id)
        put(store, keys.parked(MAPPING, failed_key) if park else failed_key, b"{}")
    put(store, LANDED_KEY, b"row\n")
    store.tag("landing", LANDED_KEY, {"dynaurora": "imported", "of": "somebody"})
    assert list_unstarted(store) == []


def test_a_batch_is_not_started_while_its_event_may_still_come(at):
    store = InMemoryObjects()
    put(store, LANDED_KEY, b"row\n")
    at(WRITTEN_AT + list_failures.OVERDUE)
    assert list_unstarted(store) == []
    assert list_unstarted(store, keys.processed_prefix(MAPPING)) == [LANDED_KEY], "unless that is asked for"


def test_it_is_looked_for_old_ones_on_request_only(at, monkeypatch):
    store = InMemoryObjects()
    put(store, YESTERDAYS_KEY, b"row\n")
    put(store, LANDED_KEY, b"row\n")
    assert list_unstarted(store) == [YESTERDAYS_KEY, LANDED_KEY]
    at(NOW + timedelta(days=3))
    assert list_unstarted(store) == [LANDED_KEY]
    assert list_unstarted(store, keys.processed_prefix(MAPPING)) == [YESTERDAYS_KEY, LANDED_KEY]
    at(NOW)
    monkeypatch.setattr(list_failures, "MOST_LOOKED_AT", 1)
    assert [listed.key for listed in list_failures.list_unstarted(PLACE, store)] == [LANDED_KEY]


class Counting(InMemoryObjects):
    """Counts whose tags are read."""

    def __init__(self):
        super().__init__()
        self.looked_at = []

    def read_tags(self, bucket, key):
        self.looked_at.append(key)
        return super().read_tags(bucket, key)


def look(store):
    """What a look finds, and whose tags it reads."""
    store.looked_at.clear()
    found = [listed.key for listed in list_failures.list_left_unstarted(PLACE, store, noting=True)]
    return found, sorted(store.looked_at)


def put_imported(store, key, at):
    put(store, key, b"row\n")
    store.tag("landing", key, {"dynaurora": "imported"})
    store.times["landing", key] = at


def test_batches_that_were_seen_to_be_imported_are_not_looked_at_again(at):
    store, first, second = Counting(), LANDED_KEY, f"{LANDED_KEY}-later"
    put_imported(store, first, WRITTEN_AT)
    assert look(store) == ([], [first])
    put_imported(store, second, WRITTEN_AT + timedelta(hours=1))
    at(NOW + timedelta(hours=1))
    assert look(store) == ([], [first, second]), "an upload that began as early may have ended since"
    assert look(store) == ([], [second])
    at(NOW + timedelta(hours=9))
    assert look(store) == ([], [second])
    assert look(store) == ([], [])
    assert list_unstarted(store, keys.processed_prefix(MAPPING)) == [], "asked for, all are looked at"
    assert sorted(store.looked_at) == [first, second]


def test_a_look_notes_no_more_than_it_has_looked_at(at, monkeypatch):
    store, times = Counting(), [WRITTEN_AT + timedelta(minutes=minute) for minute in range(3)]
    landed = [f"{LANDED_KEY}-{number}" for number in range(3)]
    for key, time in zip(landed, times, strict=True):
        put_imported(store, key, time)
    at(NOW + timedelta(hours=9))
    monkeypatch.setattr(list_failures, "MOST_LOOKED_AT", 2)
    assert look(store) == ([], landed[:2]), "the oldest first"
    assert look(store) == ([], landed[1:])


def test_who_only_asks_whether_anything_failed_notes_nothing(at):
    store = Counting()
    put_imported(store, LANDED_KEY, WRITTEN_AT)
    at(NOW + timedelta(hours=9))
    assert not is_anything_failed(PLACE, store)
    assert keys.imported_until(MAPPING) not in keys_of(store)
    assert not is_anything_failed(PLACE, store, noting=True)
    assert keys.imported_until(MAPPING) in keys_of(store)


def keep_as_failed(store, key):
    """Keep a batch as failed; return the key of its record."""
    (listed,) = store.list("landing", key)
    record = keys.failed_batch(MAPPING, list_failures.unstarted_batch(PLACE, listed).id)
    put(store, record, b"{}")
    return record


def test_a_batch_that_is_not_imported_is_looked_at_again_and_no_later_one_is(at):
    store, early, late = Counting(), LANDED_KEY, f"{LANDED_KEY}-later"
    put(store, early, b"row\n")
    put_imported(store, late, WRITTEN_AT + timedelta(minutes=1))
    at(NOW + timedelta(hours=9))
    assert look(store) == ([early], [early, late])
    assert look(store) == ([early], [early])
    store.tag("landing", early, {"dynaurora": "imported"})
    assert look(store) == ([], [early])
    assert look(store) == ([], [])


@pytest.mark.parametrize("imported", [True, False])
def test_a_batch_is_looked_at_once_it_is_kept_as_failed_no_longer(at, imported):
    store, early, late = Counting(), f"{LANDED_KEY}-0", f"{LANDED_KEY}-1"
    put(store, early, b"row\n")
    record = keep_as_failed(store, early)
    put_imported(store, late, WRITTEN_AT + timedelta(minutes=1))
    at(NOW + timedelta(hours=9))
    assert look(store) == ([], [late])
    assert look(store) == ([], [])
    if imported:
        store.tag("landing", early, {"dynaurora": "imported"})
    store.delete("landing", record)
    assert look(store) == ([] if imported else [early], [early]), "whatever has become of what was kept of it"
    assert look(store) == (([], []) if imported else ([early], [early]))


@pytest.mark.parametrize("imported", [True, False])
def test_looks_come_to_a_batch_behind_any_number_that_are_imported_and_one_that_is_kept_as_failed(
    at, monkeypatch, imported
):
    store, kept, unstarted = Counting(), f"{LANDED_KEY}-0", f"{LANDED_KEY}-8"
    put(store, kept, b"row\n")
    if imported:
        store.tag("landing", kept, {"dynaurora": "imported"})
    keep_as_failed(store, kept)
    for number in range(1, 8):
        put_imported(store, f"{LANDED_KEY}-{number}", WRITTEN_AT + timedelta(minutes=number))
    put(store, unstarted, b"row\n")
    store.times["landing", unstarted] = WRITTEN_AT + timedelta(minutes=8)
    at(NOW + timedelta(hours=9))
    monkeypatch.setattr(list_failures, "MOST_LOOKED_AT", 5)
    assert [look(store)[0] for _ in range(3)] == [[], [unstarted], [unstarted]]


def test_a_note_of_before_is_of_a_time_before_which_all_were_imported(at):
    store, early, late = Counting(), f"{LANDED_KEY}-0", f"{LANDED_KEY}-1"
    put_imported(store, early, WRITTEN_AT)
    put(store, late, b"row\n")
    store.times["landing", late] = WRITTEN_AT + timedelta(minutes=1)
    until = WRITTEN_AT + timedelta(minutes=1)
    put(store, keys.imported_until(MAPPING), json.dumps({"until": until.isoformat()}).encode())
    at(NOW + timedelta(hours=9))
    assert look(store) == ([late], [late])


def test_batches_that_are_kept_as_failed_keep_no_others_from_being_looked_at(at, monkeypatch):
    store, landed = Counting(), [f"{LANDED_KEY}-{number}" for number in range(4)]
    for minute, key in enumerate(landed):
        put(store, key, b"row\n")
        store.times["landing", key] = WRITTEN_AT + timedelta(minutes=minute)
        if minute in {0, 1, 3}:
            keep_as_failed(store, key)
    monkeypatch.setattr(list_failures, "MOST_LOOKED_AT", 1)
    assert list_unstarted(store) == [landed[2]]
    assert look(store) == ([landed[2]], [landed[2]])


def test_an_object_that_lands_behind_others_is_looked_at_by_its_time_and_not_by_its_name(at):
    store, early, late = Counting(), LANDED_KEY, YESTERDAYS_KEY
    put_imported(store, early, WRITTEN_AT)
    at(NOW + timedelta(hours=9))
    look(store)
    put(store, late, b"row\n")
    store.times["landing", late] = WRITTEN_AT + timedelta(hours=9)
    assert look(store) == ([late], [late])


DAMAGED_OPEN = json.dumps({"until": (WRITTEN_AT + timedelta(hours=1)).isoformat(), "open": 1}).encode()


def test_a_look_that_is_not_finished_notes_nothing_and_a_damaged_note_is_none(at):
    store = Counting()
    put(store, YESTERDAYS_KEY, b"row\n")
    put_imported(store, LANDED_KEY, WRITTEN_AT)
    at(NOW + timedelta(hours=9))
    assert is_anything_failed(PLACE, store), "it looks no further"
    assert keys.imported_until(MAPPING) not in keys_of(store)
    for damaged in (b"", b"[]", b'{"until": "soon"}', b'{"until": 1}', DAMAGED_OPEN):
        put(store, keys.imported_until(MAPPING), damaged)
        assert list_unstarted(store) == [YESTERDAYS_KEY]


@pytest.mark.parametrize("prefix", [LANDED_KEY, "processed/mapping=web_analytics/2026", "processed/", "p"])
def test_a_prefix_of_batches_takes_up_the_unstarted_ones(at, prefix):
    store = InMemoryObjects()
    put(store, LANDED_KEY, b"row\n")
    assert list_keys(store, prefix=prefix) == {LANDED_KEY}


def test_a_batch_that_is_gone_is_not_started(at):
    store = InMemoryObjects()
    put(store, LANDED_KEY, b"row\n")
    listed = list(store.list("landing", LANDED_KEY))
    store.list = lambda _, prefix, **__: listed if prefix == LANDED_KEY else []
    store.delete("landing", LANDED_KEY)
    assert list_unstarted(store, LANDED_KEY) == []


def test_entries_are_bounded_by_objects_and_bytes(monkeypatch):
    store = InMemoryObjects()
    for number in range(7):
        put(store, f"{RECORDS}{number}", b"1234567890")
    monkeypatch.setattr(list_failures, "MAX_ENTRY_OBJECTS", 3)
    assert [len(entry["objects"]) for entry in plan_reprocess(PLACE, store, prefix=None, parked=False)] == [3, 3, 1]
    monkeypatch.setattr(list_failures, "MAX_ENTRY_BYTES", 20)
    assert [len(entry["objects"]) for entry in plan_reprocess(PLACE, store, prefix=None, parked=False)] == [2, 2, 2, 1]


def test_a_failed_batch_that_is_gone_since_it_was_listed_is_passed_over():
    @dataclass
    class Forgetful(InMemoryObjects):
        def read(self, bucket, key):
            self.objects.pop((bucket, key), None)
            return super().read(bucket, key)

    store = Forgetful()
    store.write("landing", keys.failed_batch(MAPPING, "0f1e"), b"{}")
    assert list(plan_reprocess(PLACE, store, prefix=None, parked=False)) == []
