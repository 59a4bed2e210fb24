"""Packs that Firehose kept whole, and single refused changes: taken up again, settled, whatever comes twice."""

import dataclasses
import json

import pytest

from dynaurora import keys
from dynaurora.dynamodb.changes import encode_change
from dynaurora.dynamodb.packs import decode_pack, encode_pack
from dynaurora.failures import convert_failures
from dynaurora.failures.failed_records import decode_failed_record, encode_failed_record, split_record
from dynaurora.failures.list_failures import FailedObject, list_failures, plan_reprocess
from dynaurora.failures.refused_changes import REFUSED_SETTLED, RefusedChange, refused_id
from tests.support.factories import click_change
from tests.support.failed_objects import (
    ARN,
    BAD,
    FAILED,
    FIREHOSE_KEY,
    GOOD,
    IMPORTED,
    MAPPER,
    MAPPING,
    PLACE,
    batch_of,
    cut_off,
    entry_of,
    failed,
    keys_of,
    put,
    read_failed,
    read_rows,
    remake,
    settle,
)
from tests.support.fakes import InMemoryObjects
from tests.support.transforming import CLICKS, make_transformer, packed, read_refused

OTHER_BAD = click_change({"Hits": "many"}, version=9, page_id="bad too")


def pack_of(*changes):
    lines = [change if isinstance(change, bytes) else encode_change(change) for change in changes]
    return encode_pack(CLICKS.digest, lines)


def key_of(change):
    return keys.refused_change(MAPPING, refused_id(CLICKS.table, change, encode_change(change)))


def take_up(store, key, **ending):
    """Map what is under a key again, and settle it; return how it was settled."""
    listed = store.tail("landing", key)
    source = FailedObject(key, listed.etag, listed.size)
    return settle(store, entry_of(remake(store, source), source), **ending or {"imported": IMPORTED})


def listed(store, **options):
    return [found.key for _, found in list_failures(PLACE, store, prefix=None, parked=False, **options)]


def test_a_pack_is_taken_apart_and_what_is_refused_of_it_goes_back_as_single_changes():
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, failed(pack_of(GOOD, BAD, OTHER_BAD), attempts=4))
    remade = remake(store, source)
    assert [row[1] for row in read_rows(store, remade)] == ["7"]
    assert (remade.records, batch_of(remade).rows, sum(batch_of(remade).rejected.values())) == (3, 1, 2)
    settled = settle(store, entry_of(remade, source), imported=IMPORTED)
    assert (settled["records"], settled["records_parked"]) == (3, 0)
    assert listed(store) == sorted(map(key_of, (BAD, OTHER_BAD)))
    (record,) = read_failed(store, key_of(BAD))
    assert record.data == encode_change(BAD)
    assert (record.attempts, record.reprocessed, record.error_code) == (5, 1, "dynaurora.Rejected")
    assert "payload.Hits" in record.error_message
    assert (record.arrived_at_ms, record.function_arn) == (1_700_000_000_000, ARN)


def test_what_the_transformation_keeps_is_the_same_change_as_what_is_taken_out_of_a_pack():
    store = InMemoryObjects()
    make_transformer(store=store).transform([packed(BAD)])
    assert list(read_refused(store)) == [key_of(BAD)]


def test_a_change_that_is_kept_already_is_neither_doubled_nor_are_its_attempts_taken_back():
    store = InMemoryObjects()
    put(store, FIREHOSE_KEY, failed(pack_of(BAD, OTHER_BAD)))
    before = failed(BAD, attempts=7, reprocessed=3)
    put(store, key_of(BAD), before)
    take_up(store, FIREHOSE_KEY)
    assert store.read("landing", key_of(BAD)) == before
    assert listed(store) == sorted(map(key_of, (BAD, OTHER_BAD)))


def test_a_change_that_is_settled_is_not_revived():
    store = InMemoryObjects()
    put(store, key_of(BAD), failed(BAD))
    take_up(store, key_of(BAD), imported=IMPORTED)  # refused again
    assert [record.reprocessed for record in read_failed(store, key_of(BAD))] == [1]
    store.write_tagged("landing", key_of(BAD), b"", REFUSED_SETTLED)
    put(store, FIREHOSE_KEY, failed(pack_of(BAD)))
    take_up(store, FIREHOSE_KEY)
    make_transformer(store=store).transform([packed(BAD)])
    assert listed(store) == []


def test_a_change_that_is_imported_leaves_an_empty_object_that_expires():
    store = InMemoryObjects()
    put(store, key_of(GOOD), failed())
    settled = take_up(store, key_of(GOOD))
    assert settled["rows"] == 1
    assert store.read("landing", key_of(GOOD)) == b""
    assert store.read_tags("landing", key_of(GOOD)) == {"dynaurora": "settled"}
    assert listed(store) == []
    assert list(plan_reprocess(PLACE, store, prefix=None, parked=True)) == []


def test_a_change_is_parked_after_as_many_attempts_as_are_allowed_and_stays_settled():
    store = InMemoryObjects()
    make_transformer(store=store).transform([packed(BAD)])
    body = next(body for (_, key), body in store.objects.items() if key == key_of(BAD))
    store = InMemoryObjects()
    put(store, key_of(BAD), body)
    for failures in range(2, 6):
        settled = take_up(store, key_of(BAD))
        assert settled["records_parked"] == (failures == 5)
    assert store.read("landing", key_of(BAD)) == b""
    (parked,) = (key for key in keys_of(store) if key.startswith("parked/"))
    assert parked.startswith(f"{keys.parked(MAPPING, key_of(BAD))}.")
    assert [record.failures for record in read_failed(store, parked)] == [5]
    take_up(store, parked)  # on request: refused again, it stays parked
    assert [record.failures for record in read_failed(store, parked)] == [6]


def test_a_pack_that_failed_too_often_is_parked_without_what_was_imported_of_it():
    store = InMemoryObjects()
    put(store, FIREHOSE_KEY, failed(pack_of(BAD, GOOD, OTHER_BAD), reprocessed=3))
    settled = take_up(store, FIREHOSE_KEY)
    assert settled["records_parked"] == 2
    assert listed(store) == []
    (parked,) = (key for key in keys_of(store) if key.startswith("parked/"))
    (record,) = read_failed(store, parked)
    assert record.data == pack_of(BAD, OTHER_BAD)
    assert "and 1 more changes of the pack" in record.error_message
    put(store, parked, encode_failed_record(dataclasses.replace(record, data=pack_of(BAD, GOOD))))
    take_up(store, parked)  # on request: what is refused again stays parked, together
    assert [record.data for record in read_failed(store, parked)] == [pack_of(BAD)]


def test_too_many_refused_changes_stay_together_and_are_taken_apart_the_next_time(monkeypatch):
    monkeypatch.setattr(convert_failures, "MAX_SPLIT", 3)
    store = InMemoryObjects()
    bad = [click_change({"Hits": "many"}, version=number, page_id="bad") for number in range(1, 8)]
    packs = [failed(pack_of(GOOD, *bad[:2])), failed(pack_of(*bad[2:4], GOOD)), failed(pack_of(*bad[4:], GOOD))]
    put(store, FIREHOSE_KEY, *packs)
    take_up(store, FIREHOSE_KEY)
    assert {key for key in listed(store) if key != FIREHOSE_KEY} == set(map(key_of, bad[:2]))
    kept = read_failed(store, FIREHOSE_KEY)
    assert [record.data for record in kept] == [pack_of(*bad[2:4]), pack_of(*bad[4:])]
    assert {record.reprocessed for record in kept} == {1}
    take_up(store, FIREHOSE_KEY)
    take_up(store, FIREHOSE_KEY)
    assert listed(store) == sorted(map(key_of, bad))
    assert read_failed(store, key_of(bad[-1]))[0].reprocessed == 3


def test_where_the_import_failed_a_pack_stays_whole_with_one_more_attempt():
    store = InMemoryObjects()
    put(store, FIREHOSE_KEY, failed(pack_of(BAD, GOOD)), failed(OTHER_BAD))
    for reprocessed in (1, 2, 3):
        settled = take_up(store, FIREHOSE_KEY, error=FAILED)
        assert settled["records_parked"] == 0
        assert listed(store) == [FIREHOSE_KEY]
        kept = {record.data: record for record in read_failed(store, FIREHOSE_KEY)}
        assert kept.keys() == {pack_of(BAD, GOOD), encode_change(OTHER_BAD)}
        assert {record.reprocessed for record in kept.values()} == {reprocessed}
        assert kept[pack_of(BAD, GOOD)].error_code == "Import.States.TaskFailed"
    settled = take_up(store, FIREHOSE_KEY, error=FAILED)
    assert (settled["records_parked"], listed(store)) == (3, [])


def test_where_the_import_of_a_single_change_failed_it_is_counted_and_parked_in_the_end():
    store = InMemoryObjects()
    put(store, key_of(GOOD), failed())
    for _ in range(3):
        assert take_up(store, key_of(GOOD), error=FAILED)["records_parked"] == 0
    assert [record.reprocessed for record in read_failed(store, key_of(GOOD))] == [3]
    assert take_up(store, key_of(GOOD), error=FAILED)["records_parked"] == 1
    assert store.read("landing", key_of(GOOD)) == b""
    assert store.read_tags("landing", key_of(GOOD)) == REFUSED_SETTLED


@pytest.mark.parametrize("ending", [{"imported": IMPORTED}, {"error": FAILED}], ids=["imported", "failed"])
@pytest.mark.parametrize("reprocessed", [0, 3], ids=["kept", "parked"])
@pytest.mark.parametrize("single", [True, False], ids=["single", "pack"])
def test_settling_that_is_cut_off_anywhere_ends_the_same(ending, reprocessed, single, monkeypatch):
    monkeypatch.setattr("dynaurora.failures.failed_records.now_ms", lambda: 1_800_000_000_000)
    store = InMemoryObjects()
    lines = [failed(BAD, reprocessed=reprocessed)] if single else []
    lines += [] if single else [failed(pack_of(BAD, GOOD, OTHER_BAD), reprocessed=reprocessed), failed(BAD)]
    source = put(store, key_of(BAD) if single else FIREHOSE_KEY, *lines)
    entry = entry_of(remake(store, source), source)
    uncut = InMemoryObjects(dict(store.objects))
    settle(uncut, entry, **ending)
    ends = list(cut_off(store, lambda objects: settle(objects, entry, **ending)))
    assert ends
    for end in ends:
        assert without_notices(end) == without_notices(uncut.objects)


def without_notices(objects):
    return {place: body for place, body in objects.items() if not place[1].startswith("notices/")}


def test_an_object_may_hold_changes_of_the_release_before_packs_and_anything_else():
    store = InMemoryObjects()
    damaged = pack_of(GOOD)[:-1]
    lines = [failed(GOOD), failed(pack_of(GOOD, BAD)), failed(OTHER_BAD), failed(damaged), b"nothing\n"]
    put(store, FIREHOSE_KEY, *lines)
    for _ in range(2):
        settled = take_up(store, FIREHOSE_KEY)
        kept = [record.data for record in read_failed(store, FIREHOSE_KEY)]
        assert kept == [encode_change(OTHER_BAD), damaged, b"nothing"]
    assert settled["rejected"].keys() == {"payload (required)", "record (record)"}
    assert [record.reprocessed for record in read_failed(store, FIREHOSE_KEY)] == [2, 2, 2]
    assert listed(store) == sorted([FIREHOSE_KEY, key_of(BAD)])


def test_a_settlement_of_a_run_that_began_under_the_release_before_is_settled():
    store = InMemoryObjects()
    source = put(store, FIREHOSE_KEY, failed(), failed(BAD))
    entry = json.loads(json.dumps(entry_of(remake(store, source), source)))
    for settlement in entry["settlements"]:
        del settlement["refused"]
    settle(store, entry, imported=IMPORTED)
    assert [record.data for record in read_failed(store, FIREHOSE_KEY)] == [encode_change(BAD)]


def test_a_record_is_split_into_its_changes_with_all_that_is_known_of_it():
    record = decode_failed_record(failed(pack_of(GOOD, BAD), attempts=4, reprocessed=2))
    singles = split_record(record)
    assert [single.data for single in singles] == [encode_change(GOOD), encode_change(BAD)]
    assert {dataclasses.replace(single, data=b"") for single in singles} == {dataclasses.replace(record, data=b"")}
    assert split_record(singles[0]) == [singles[0]]


def test_a_refused_change_that_is_written_aside_is_read_back():
    change = RefusedChange("a" * 64, decode_failed_record(failed(BAD)))
    assert RefusedChange.decode(change.encode()) == change


def test_single_changes_are_taken_up_four_times_as_many_at_a_time():
    store = InMemoryObjects()
    for number in range(400):
        put(store, keys.refused_change(MAPPING, f"{number:064}"), failed())
    for number in range(60):
        put(store, f"{FIREHOSE_KEY}-{number:03}", failed())
    entries = [len(entry["objects"]) for entry in plan_reprocess(PLACE, store, prefix=None, parked=False)]
    assert sum(entries) == 460
    assert entries[0] == 50
    assert max(entries) == 200
    sizes = [len(json.dumps(entry)) for entry in plan_reprocess(PLACE, store, prefix=None, parked=False)]
    assert max(sizes) < 256 * 1024 / 3


def test_rows_of_packs_are_those_of_the_current_mapping_whatever_they_are_stamped_with():
    store = InMemoryObjects()
    stamped = encode_pack("f" * 64, [encode_change(GOOD)])
    assert decode_pack(stamped).digest != MAPPER.mapping.digest
    remade = remake(store, put(store, FIREHOSE_KEY, failed(stamped)))
    assert [row[1] for row in read_rows(store, remade)] == ["7"]
