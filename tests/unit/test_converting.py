import gzip
import json

import pytest

from dynaurora import keys
from dynaurora.changes import decode_change
from dynaurora.converting import Converter
from dynaurora.errors import ChecksumMismatchError, InvalidExportError, ObjectMissingError
from dynaurora.failed_records import decode_failed_record
from dynaurora.mapping import load_mapping
from dynaurora.planning import PlannedBatch, plan_backfill
from dynaurora.rows import RowMapper
from dynaurora.versions import snapshot_version
from tests.unit.csv_reader import read_line
from tests.unit.export_factory import BUCKET, TABLE_ARN, Export, md5_of
from tests.unit.factories import click_item

SECOND = 1_700_000_000
CSV_KEY = keys.backfill_batch("r1", 1)
REJECTS_KEY = keys.backfill_rejects("web_analytics", "r1", 1)


def convert(export):
    plan = plan_backfill(export.store, BUCKET, "r1", export.summary_key, TABLE_ARN)
    (entry,) = json.loads(export.store.read(BUCKET, plan.key))
    converter = Converter(
        RowMapper(load_mapping("web_analytics")), export.store, BUCKET, "r1", plan.export_second, "arn:function"
    )
    return converter.convert(PlannedBatch.from_dict(entry))


def test_items_become_rows_at_the_snapshots_version():
    export = Export().add("a", [click_item(page_id="x")]).add("b", [click_item(page_id="y")]).write()
    batch, converted = convert(export)
    rows = [read_line(line) for line in export.store.read(BUCKET, CSV_KEY).splitlines(keepends=True)]
    assert [row[2] for row in rows] == ["x", "y"]
    assert {(row[0], int(row[1])) for row in rows} == {("0", snapshot_version(SECOND))}
    assert (batch.source, batch.run, batch.rows, batch.mapping) == ("backfill", "r1", 2, "web_analytics")
    (item,) = batch.objects
    tail = export.store.tail(BUCKET, CSV_KEY)
    assert (item.key, item.etag, item.size) == (CSV_KEY, tail.etag, tail.size)
    assert (converted.items, converted.rows, converted.rejected) == (2, 2, 0)
    assert (BUCKET, REJECTS_KEY) not in export.store.objects


def test_a_refused_item_is_kept_with_its_version_and_reason():
    export = Export().add("a", [click_item("{", page_id="bad"), click_item(page_id="good")]).write()
    batch, converted = convert(export)
    assert (batch.rows, converted.rejected, dict(converted.reasons)) == (1, 1, {"payload (json)": 1})
    (line,) = export.store.read(BUCKET, REJECTS_KEY).splitlines()
    record = decode_failed_record(line)
    change = decode_change(record.data)
    assert (change.version, change.keys["page_id"]) == (snapshot_version(SECOND), {"S": "bad"})
    assert record.error_code == "dynaurora.Rejected"
    assert "payload" in record.error_message


def test_converting_again_makes_the_same_batch():
    export = Export().add("a", [click_item()]).write()
    assert convert(export)[0].id == convert(export)[0].id


def test_a_batch_of_which_every_item_is_refused_has_no_rows():
    batch, converted = convert(Export().add("a", [click_item("{")]).write())
    assert (batch.rows, converted.rejected) == (0, 1)


GOOD = json.dumps({"Item": click_item()}).encode() + b"\n"


def broken(body, count=1):
    """Return an export whose one data file is `body`, as its manifest says: only its contents are wrong."""
    export = Export()
    export.files["a"], export.counts["a"] = body, count
    return export.write()


@pytest.mark.parametrize(
    ("export", "error", "says"),
    [
        pytest.param(broken(b"plain text"), InvalidExportError, "not gzip", id="not gzip"),
        pytest.param(broken(gzip.compress(GOOD)[:-9]), InvalidExportError, "cut off", id="truncated"),
        pytest.param(broken(gzip.compress(GOOD + b"nonsense\n"), 2), InvalidExportError, "line 2", id="not JSON"),
        pytest.param(broken(gzip.compress(b'{"Keys": {}}\n')), InvalidExportError, "line 1", id="no item"),
        pytest.param(broken(gzip.compress(b'{"Item": 1}\n')), InvalidExportError, "line 1", id="item is no object"),
        pytest.param(
            broken(gzip.compress(GOOD), 2), InvalidExportError, "1 items, and its manifest says 2", id="count"
        ),
    ],
)
def test_a_broken_file_leaves_nothing_behind(export, error, says):
    with pytest.raises(error, match=says):
        convert(export)
    assert (BUCKET, CSV_KEY) not in export.store.objects
    assert (BUCKET, REJECTS_KEY) not in export.store.objects


def test_a_file_that_is_not_the_manifests_is_refused():
    export = Export().add("a", [click_item()]).write()
    export.store.write(BUCKET, export.key("a"), gzip.compress(GOOD, compresslevel=1, mtime=5))
    with pytest.raises(ChecksumMismatchError, match=md5_of(export.files["a"]).replace("+", r"\+")):
        convert(export)
    assert (BUCKET, CSV_KEY) not in export.store.objects


def test_a_missing_file_is_named():
    export = Export().add("a", [click_item()]).write()
    del export.store.objects[BUCKET, export.key("a")]
    with pytest.raises(ObjectMissingError, match="data/a"):
        convert(export)
