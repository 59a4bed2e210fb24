"""How far the stream has been imported, and whose keys wait: from what is in the landing bucket."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf

import pytest

from dynaurora.batches.batch import IMPORTED, Batch, BatchObject
from dynaurora.dynamodb.changes import Change
from dynaurora.dynamodb.versions import make_version
from dynaurora.failures.list_failures import Place
from dynaurora.mappings.csv_format import encode_row, row_label
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.verification import pending_batches
from dynaurora.verification.expectations import Expecter
from dynaurora.verification.pending_batches import Pending, PendingBatches
from dynaurora.verification.watermark import Watermark
from tests.support.example import load_example
from tests.support.factories import click_item
from tests.support.fakes import InMemoryObjects

CLICKS = load_example()
MAPPER = RowMapper(CLICKS)
LABEL = row_label(CLICKS)
PLACE = Place("landing", CLICKS.name, "Clicks")
NOW = 1_800_000_000.0
ODD = 'it\'s, a "page"\n\\'


class Bucket(InMemoryObjects):
    """Objects of which each landed at a time of its own."""

    def __init__(self):
        super().__init__()
        self.times = {}

    def land(self, name, at, *lines, folder=PLACE.processed, imported=True):
        hour = f"{datetime.fromtimestamp(at, UTC):%Y/%m/%d/%H}/" if folder == PLACE.processed else ""
        key = f"{folder}{hour}{name}"
        self.times[key] = datetime.fromtimestamp(at, UTC)
        self.write_tagged("landing", key, b"".join(lines), IMPORTED if imported else {})
        return key

    def list(self, bucket, prefix, after=""):
        for listed in super().list(bucket, prefix, after):
            yield replace(listed, modified_at=self.times[listed.key])


def line(page_id, second=NOW, label=LABEL):
    item = click_item(page_id=page_id)
    return label + encode_row(MAPPER.row(Change(make_version(int(second), 5), 0, item, item)))


def fail(bucket, name, objects, first_failed_at=NOW - 60, source="stream"):
    batch = Batch(CLICKS.name, source, None, None, tuple(BatchObject("landing", key, "e", 1) for key in objects))
    record = {"batch": batch.as_dict(), "first_failed_at": datetime.fromtimestamp(first_failed_at, UTC).isoformat()}
    bucket.land(f"{name}.json", NOW, json.dumps(record).encode(), folder=f"failed_batches/mapping={CLICKS.name}/")


def look(bucket):
    batches = PendingBatches(PLACE, bucket, CLICKS)
    batches.look(NOW)
    return batches


def find(batches, page_id):
    (expected,) = Expecter(MAPPER).expect(
        {name: click_item(page_id=page_id)[name] for name in CLICKS.key_attributes}, None
    )
    return batches.find("WebAnalytics", expected.expectation)


def watermark(bucket, **more):
    batches = PendingBatches(PLACE, bucket, CLICKS)
    return Watermark(batches, 180, clock=lambda: NOW, **more).find()


def test_a_waiting_batch_concerns_its_own_keys():
    bucket = Bucket()
    bucket.land("a", NOW - 10, line("home"), line(ODD), imported=False)
    bucket.land("b", NOW - 5, line("cart"))
    found = look(bucket)
    assert [find(found, page) for page in ("home", ODD, "cart", "hom")] == [
        Pending.WAITING,
        Pending.WAITING,
        None,
        None,
    ]
    assert (found.unknown_since, watermark(bucket)) == (inf, NOW - 180)


def test_a_batch_that_is_kept_as_failed_concerns_its_own_keys_however_old_it_is():
    bucket = Bucket()
    key = bucket.land("old", NOW - 80_000, line("home"), line(ODD), imported=False)
    recent = bucket.land("recent", NOW - 100, line("cart"), imported=False)
    fail(bucket, "one", [key], NOW - 70_000)
    fail(bucket, "two", [recent])
    found = look(bucket)
    assert [find(found, page) for page in ("home", ODD, "cart", "else")] == [*[Pending.FAILED] * 3, None]
    assert (found.unknown_since, watermark(bucket)) == (inf, NOW - 180)


def test_batches_of_a_verification_and_of_records_that_are_kept_themselves_concern_nobody():
    bucket = Bucket()
    key = bucket.land("x", NOW, b"0,1,home\n", folder="batches/")
    fail(bucket, "one", [key], source="verify")
    fail(bucket, "two", [key], source="reprocess")
    assert (find(look(bucket), "home"), watermark(bucket)) == (None, NOW - 180)


@pytest.mark.parametrize(
    "lines",
    [
        [b"not a batch\n"],
        [line("home"), line("home", label=b"\x1aElsewhere.0123456789abcdef,")],
        [line("home", label=b"\x1aWebAnalytics.0123456789abcdef,")],
        [line("home")[:-1]],
        [line(f"page-{number}") for number in range(4)],
    ],
    ids=["no batch", "of another target", "of another mapping", "cut off", "too many to remember"],
)
def test_a_batch_whose_keys_nobody_can_tell_may_concern_every_key(lines, monkeypatch):
    monkeypatch.setattr(pending_batches, "MOST_PENDING_KEYS", 3)
    bucket = Bucket()
    bucket.land("a", NOW - 1000, *lines, imported=False)
    assert (look(bucket).unknown_since, watermark(bucket)) == (NOW - 1000, NOW - 1180)


def test_a_batch_that_was_never_converted_may_concern_every_key():
    bucket = Bucket()
    bucket.land("x.json", NOW, b'{"batch": null}', folder=f"failed_batches/mapping={CLICKS.name}/")
    assert watermark(bucket) == NOW - 180
    bucket.times[f"failed_batches/mapping={CLICKS.name}/x.json"] -= timedelta(hours=5)
    assert watermark(bucket) == NOW - 180 - 5 * 3600


def test_a_late_reader_makes_the_watermark_as_late_as_what_landed_last():
    bucket = Bucket()
    bucket.land("a", NOW - 500, line("home", NOW - 510))
    assert watermark(bucket) == NOW - 180  # it was on time when anything landed last
    bucket.land("b", NOW - 20, line("home", NOW - 30))
    bucket.land("c", NOW - 10, line("cart", NOW - 1000), line("home", NOW - 1500))  # another shard's reader
    bucket.land("d", NOW - 5, line("cart", NOW - 10))
    assert watermark(bucket) == NOW - 1490


def test_nothing_counts_as_landed_since_the_stream_is_not_read():
    bucket = Bucket()
    assert watermark(bucket, is_read=lambda: False) == 0
    bucket.land("a", NOW - 500, line("home", NOW - 510))
    assert watermark(bucket, is_read=lambda: False) == NOW - 510


def test_what_is_no_batch_says_nothing_of_the_reader():
    bucket = Bucket()
    bucket.land("a", NOW - 1, b"not a batch\n", b"0,x,y\n", b"\n")
    assert watermark(bucket) == NOW - 180
