import tracemalloc
from dataclasses import replace

from dynaurora import keys
from dynaurora.batches.isolating import RefusedRow
from dynaurora.dynamodb.changes import encode_change
from dynaurora.dynamodb.packs import encode_pack
from dynaurora.failures.refused_rows import RefusedRows
from dynaurora.verification.compare_items import Suspect
from dynaurora.verification.kept_failures import KeptFailures
from dynaurora.verification.verdicts import Found, RowVerdict
from tests.support.factories import click_change
from tests.support.failed_objects import BACKFILL_KEY, FIREHOSE_KEY, MAPPING, PLACE, RECORDS, failed, put
from tests.support.fakes import InMemoryObjects


class CountedObjects(InMemoryObjects):
    """Tells which objects were opened."""

    def __init__(self):
        super().__init__()
        self.opened = []

    def open(self, bucket, key):
        self.opened.append(key)
        return super().open(bucket, key)


def suspect(key):
    return Suspect("WebAnalytics", key, Found(RowVerdict.MISSING))


def test_a_key_is_kept_whatever_its_failure_is_kept_in():
    store = InMemoryObjects()
    pack = encode_pack("0" * 64, [encode_change(click_change(page_id=name)) for name in ("packed", "beside")])
    put(store, FIREHOSE_KEY, failed(click_change(page_id="alone")), failed(pack), failed(b"no change"))
    put(store, keys.parked(MAPPING, BACKFILL_KEY), failed(click_change(page_id="parked")))
    row = RefusedRow("WebAnalytics", {"page_id": "7", "activity_dt": "now"}, 9, 1406, "hits", 70)
    RefusedRows(store, "landing", "arn:f")(MAPPING, "0f1e", [row], 0)
    kept = KeptFailures(PLACE, store)
    for name in ("alone", "packed", "beside", "parked"):
        assert kept.has(suspect(click_change(page_id=name).keys))
    assert kept.has(suspect({"page_id": {"N": "7"}, "activity_dt": {"S": "now"}}))
    assert not kept.has(suspect(click_change(page_id="another").keys))


def test_a_key_is_kept_however_its_number_is_spelled():
    store = InMemoryObjects()
    change = replace(click_change(), keys={"page_id": {"N": "1E2"}, "activity_dt": {"S": "now"}}, new_image=None)
    put(store, FIREHOSE_KEY, failed(change))
    row = RefusedRow("WebAnalytics", {"page_id": "-7.500", "activity_dt": "now"}, 9, 1406, "hits", 70)
    RefusedRows(store, "landing", "arn:f")(MAPPING, "0f1e", [row], 0)
    kept = KeptFailures(PLACE, store, frozenset({"page_id"}))
    for number in ("100", "100.0", "-7.5", "-7.500"):
        assert kept.has(suspect({"page_id": {"N": number}, "activity_dt": {"S": "now"}}))


def test_objects_are_read_once_and_keys_are_not_held():
    store, number = CountedObjects(), 2000
    for each in range(number):
        put(store, f"{RECORDS}refused/{each:05}", failed(click_change(page_id=f"{each:05}" * 40)))
    tracemalloc.start()
    kept = KeptFailures(PLACE, store)
    assert all(kept.has(suspect(click_change(page_id=f"{each:05}" * 40).keys)) for each in range(0, number, 100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(store.opened) == number
    assert peak < 1_000_000
