import json
from datetime import UTC, datetime

import pytest

from backfill.failures.describe import describe_failure, summarize_failure
from backfill.failures.preview import preview_reprocess
from backfill.failures.reader import Selection, name_prefix, read_iso, read_time
from backfill.looking import Look, find_failure
from backfill.terminal.console import WrongUseError
from dynaurora import keys
from dynaurora.dynamodb.packs import encode_pack
from dynaurora.failures.read_ahead import READ_BEFORE, SMALL_BYTES
from dynaurora.failures.refused_changes import REFUSED_SETTLED
from tests.support import failure_factories as made
from tests.support.backfill_factories import DEPLOYMENT
from tests.support.factories import stream_record
from tests.support.fakes import WRITTEN_AT, InMemoryObjects
from tests.support.read_failures import explain, read, read_one


def test_every_kind_of_failure_is_read():
    assert [(failure.kind, failure.key, failure.number) for failure in read()] == [
        ("record", made.BACKFILL_KEY, 1),
        ("record", made.OVERSIZE_KEY, 1),
        ("record", made.FIREHOSE_KEY, 1),
        ("record", made.FIREHOSE_KEY, 2),
        ("record", made.UNFORWARDED_KEY, 1),
        ("batch", made.BATCH_KEY, 1),
        ("conversion", made.CONVERSION_KEY, 1),
    ]


def test_a_records_times_are_its_own():
    record = made.failed_record(arrived_at_ms=made.SEEN_MS - 60_000, reprocessed=2)
    failure = read_one(FIREHOSE_KEY=made.failed_lines(record))
    assert failure.first_seen_at == datetime(2026, 11, 23, 8, 14, tzinfo=UTC)
    assert failure.last_tried_at == datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
    assert (failure.attempts, failure.reprocessed) == (4, 2)


@pytest.mark.parametrize(
    "objects",
    [
        {"UNFORWARDED_KEY": json.dumps({"payload": {"Records": [stream_record()]}}).encode()},
        {"UNFORWARDED_KEY": b"no invocation"},
        {"FIREHOSE_KEY": b"no envelope"},
        {"FIREHOSE_KEY": made.failed_lines(made.failed_record(seen_ms=0))},
        {"FIREHOSE_KEY": made.failed_lines(made.failed_record(seen_ms=10**17))},
        {"BATCH_KEY": b"no record"},
        {"BATCH_KEY": b"[1]"},
        {"BATCH_KEY": made.failed_batch(first_failed_at=None, last_failed_at=7)},
    ],
    ids=["unforwarded", "no invocation", "no envelope", "no time", "wrong time", "no JSON", "a list", "no times"],
)
def test_what_has_no_times_has_those_of_its_object(objects):
    failure = read_one(**objects)
    assert (failure.first_seen_at, failure.last_tried_at) == (WRITTEN_AT, WRITTEN_AT)
    assert summarize_failure(failure)
    assert explain(failure)
    assert json.dumps(failure.as_dict(reveal=True))


def test_a_batch_tells_what_it_was():
    failure = read_one(BATCH_KEY=made.failed_batch())
    assert (failure.id, failure.error, failure.attempts) == (made.BATCH_ID[:12], "DatabaseError", 2)
    assert failure.first_seen_at == datetime(2026, 11, 23, 7, tzinfo=UTC)
    assert failure.verdict is None


def test_what_a_run_settles_meanwhile_is_passed_over():
    class Settled(InMemoryObjects):
        def open(self, bucket, key):
            self.delete(bucket, key)
            return super().open(bucket, key)

    store = Settled(made.make_store(FIREHOSE_KEY=made.failed_lines(made.failed_record())).objects)
    assert read(store) == []


def test_a_bounded_number_of_small_objects_is_read_ahead_and_no_large_one():
    opened, store = [], InMemoryObjects()

    class Watched(InMemoryObjects):
        def open(self, bucket, key):
            opened.append(key)
            return super().open(bucket, key)

    large, line = made.failed_lines(made.failed_record(b"x" * SMALL_BYTES)), made.failed_lines(made.failed_record())
    for number in range(3 * READ_BEFORE):
        store.write(made.BUCKET, f"{made.FAILED}{number:03}", large if number == 5 else line)
    failures = made.make_reader(Watched(store.objects)).read(Selection())
    first = next(failures)
    assert first.key == f"{made.FAILED}000"
    assert len(opened) <= READ_BEFORE + 1
    assert f"{made.FAILED}005" not in opened
    assert [failure.key for failure in failures] == [
        f"{made.FAILED}{number:03}" for number in range(1, 3 * READ_BEFORE)
    ]


def test_a_records_id_stays_when_it_is_tried_again_moved_or_parked():
    first = read_one(FIREHOSE_KEY=made.failed_lines(made.failed_record()))
    store = made.make_store(
        OVERSIZE_KEY=made.failed_lines(made.failed_record(made.GOOD), made.failed_record(reprocessed=3))
    )
    again = read(store)[1]
    store.copy(made.BUCKET, made.OVERSIZE_KEY, keys.parked(made.MAPPING, made.OVERSIZE_KEY))
    parked = read(store, Selection(only_parked=True))[1]
    assert first.id == again.id == parked.id
    assert parked.is_parked


def test_each_change_of_a_pack_is_a_failure_of_its_own_with_the_id_that_it_has_by_itself():
    pack = encode_pack("0" * 64, [made.BAD, made.GOOD])
    refused = keys.refused_change(made.MAPPING, "0" * 64)
    store = made.make_store(FIREHOSE_KEY=made.failed_lines(made.failed_record(pack), made.failed_record(made.GOOD)))
    store.write(made.BUCKET, refused, made.failed_lines(made.failed_record(made.BAD, reprocessed=1)))
    packed, good, again, single = read(store)
    assert [failure.number for failure in (packed, good, again)] == [1, 2, 3]
    assert (packed.id, good.id) == (single.id, again.id)
    assert (packed.data, packed.attempts, packed.key, single.key) == (made.BAD, 4, made.FIREHOSE_KEY, refused)
    assert "payload.Hits" in str(summarize_failure(packed))
    assert name_prefix(made.PLACE, refused) == f"{made.FAILED}refused/"
    assert read(store, Selection(prefix=f"{made.FAILED}refused/"))[0].id == single.id
    preview = preview_reprocess(made.make_reader(store), Selection()).as_dict()
    assert (preview["objects"], preview["records"]["all"], preview["records"]["passes"]) == (2, 4, 2)


def test_a_settled_change_is_no_failure():
    store = InMemoryObjects()
    store.write_tagged(made.BUCKET, keys.refused_change(made.MAPPING, "0" * 64), b"", REFUSED_SETTLED)
    for selection in (Selection(), Selection(include_parked=True), Selection(prefix=made.FAILED)):
        assert read(store, selection) == []


def test_ids_are_short_and_differ():
    ids = [failure.id for failure in read()]
    assert ids[-2:] == ["0123456789ab", "r1-000002"]
    assert all(len(record) == 12 for record in ids[:-2])
    assert len({ids[2], ids[3], ids[4]}) == 3


@pytest.mark.parametrize("name", ["0123456789ab", made.BATCH_ID, "r1-000002"])
def test_a_failure_is_found_by_its_id(name):
    _, found = find_failure([Look(DEPLOYMENT, made.make_reader())], name, None)
    assert found.is_called(name)


def test_a_failure_that_is_not_there_says_how_to_list_them():
    with pytest.raises(WrongUseError, match="failures list --include-parked --stack clicks"):
        find_failure([Look(DEPLOYMENT, made.make_reader())], "nope", "clicks")


def test_a_batch_that_no_import_was_started_for_is_told_from_one_that_failed():
    (failure,) = read(parked_store(), Selection(prefix=made.LANDED_KEY))
    assert (failure.kind, failure.key, failure.attempts) == ("unstarted", made.LANDED_KEY, 0)
    assert failure.first_seen_at == WRITTEN_AT
    text = "\n".join(f"{name}: {value}" for name, value in describe_failure(failure, "again", "m", reveal=False))
    assert f"object: s3://{made.BUCKET}/{made.LANDED_KEY}" in text
    assert "not marked as imported" in text
    assert name_prefix(made.PLACE, failure.key) == "processed/mapping=web_analytics/"


def test_a_failed_batch_of_records_is_told_to_be_forgotten():
    batch = json.loads(made.failed_batch())["batch"] | {"source": "reprocess"}
    store = made.make_store(BATCH_KEY=made.failed_batch(batch=batch))
    document = preview_reprocess(made.make_reader(store), Selection()).as_dict()
    assert document["batches"] == {"import": 0, "convert": 0, "forget": 1}


def parked_store():
    store = made.make_store()
    for key in (made.OVERSIZE_KEY, made.BATCH_KEY):
        store.copy(made.BUCKET, key, keys.parked(made.MAPPING, key))
    store.write(made.BUCKET, made.LANDED_KEY, b"row\n")
    return store


@pytest.mark.parametrize(
    ("selection", "count"),
    [
        (Selection(), 7),
        (Selection(include_parked=True), 9),
        (Selection(only_parked=True), 2),
        (Selection(only_parked=True, prefix="failed_batches/mapping=web_analytics/"), 1),
        (Selection(prefix=f"parked/mapping=web_analytics/{made.FAILED}"), 1),
        (Selection(prefix=made.FIREHOSE_KEY), 2),
        (Selection(prefix="aws/lambda/uuid/"), 1),
        (Selection(reason="payload.hits (TYPE)"), 2),
        (Selection(reason="passes now"), 3),
        (Selection(reason="DatabaseError"), 2),
        (Selection(reason="no such reason"), 0),
        (Selection(prefix="processed/mapping=web_analytics/"), 1),
    ],
    ids=str,
)
def test_selections(selection, count):
    assert len(read(parked_store(), selection)) == count


def test_a_prefix_that_can_hold_no_failures_is_wrong_use():
    with pytest.raises(WrongUseError, match="No failures can be under 'reports/'") as caught:
        read(selection=Selection(prefix="reports/"))
    assert "backfill start" not in caught.value.message


def test_times_that_are_none():
    assert read_time(0) is None
    assert read_iso("yesterday") is None


def test_what_is_archived_is_read_when_it_is_asked_for_and_says_why():
    store, batch = made.make_store(), json.dumps({"batch_id": "4567"}).encode()
    for why, key, body in (
        ("discarded", made.OVERSIZE_KEY, made.failed_lines(made.failed_record())),
        ("superseded", keys.parked(made.MAPPING, made.BACKFILL_KEY), made.failed_lines(made.failed_record())),
        ("discarded", keys.failed_batch(made.MAPPING, "4567"), batch),
    ):
        store.write(made.BUCKET, keys.archived(made.MAPPING, why, key, "0123456789abcdef"), body)
    found = [(failure.kind, failure.archived) for failure in read(store, Selection(archived=True))]
    assert found == [("batch", "discarded"), ("record", "discarded"), ("record", "superseded")]
    assert not any(failure.archived for failure in read(store, Selection(include_parked=True)))
    (parked,) = read(store, Selection(archived=True, prefix="parked/"))
    assert (parked.archived, parked.as_dict()["archived"], parked.is_parked) == ("superseded", "superseded", False)
    look = Look(DEPLOYMENT, made.make_reader(store))
    assert find_failure([look], "4567", None)[1].archived == "discarded"
