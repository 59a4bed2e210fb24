import gzip
import json
from collections import Counter
from dataclasses import replace

import pytest

from dynaurora import keys
from dynaurora.dynamodb.changes import decode_change
from dynaurora.dynamodb.versions import incremental_version, snapshot_version
from dynaurora.errors import ChecksumMismatchError, InvalidExportError, ObjectMissingError
from dynaurora.exports.convert_export import Converted, Converter
from dynaurora.exports.plan import PlannedBatch
from dynaurora.exports.plan_backfill import ExportToPlan, plan_backfill
from dynaurora.failures.failed_records import decode_failed_record
from dynaurora.mappings.reasons import MAX_COUNTED_REASONS, OTHER_REASONS, count_apart
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.mappings.unmapped import Unmapped
from tests.support.csv_reader import read_line
from tests.support.example import load_example
from tests.support.export_factory import BUCKET, Export, changed, incremental, md5_of
from tests.support.factories import TABLE_ARN, click, click_item
from tests.support.several_targets import OPEN, USERS, several

SECOND = 1_700_000_000
CSV_KEY = keys.backfill_batch("web_analytics", "r1", 1)
REJECTS_KEY = keys.backfill_rejects("web_analytics", "r1", 1)


TEXTS = (0, 1, 4, 5, 6)
"""Positions of the example's columns of text."""


def plan_and_converter(export):
    plan = plan_backfill(
        export.store, BUCKET, "web_analytics", "r1", ExportToPlan(BUCKET, export.summary_key, TABLE_ARN)
    )
    (entry,) = json.loads(export.store.read(BUCKET, plan.key))
    mapper = RowMapper(load_example())
    converter = Converter(mapper, export.store, BUCKET, plan.export_bucket, "r1", plan.export_second, "arn:function")
    return PlannedBatch.from_dict(entry), converter


def convert(export):
    planned, converter = plan_and_converter(export)
    return converter.convert(planned)


def test_items_become_rows_at_the_snapshots_version():
    export = Export().add("a", [click_item(page_id="x")]).add("b", [click_item(page_id="y")]).write()
    batch = convert(export)
    rows = [read_line(line) for line in export.store.read(BUCKET, CSV_KEY).splitlines(keepends=True)]
    assert [row[2] for row in rows] == ["x", "y"]
    assert {(row[0], int(row[1])) for row in rows} == {("0", snapshot_version(SECOND))}
    assert (batch.source, batch.run, batch.rows, batch.mapping) == ("backfill", "r1", 2, "web_analytics")
    (item,) = batch.objects
    tail = export.store.tail(BUCKET, CSV_KEY)
    assert (item.key, item.etag, item.size) == (CSV_KEY, tail.etag, tail.size)
    assert item.widths == tuple(
        len(row[number + 2]) if number in TEXTS else 0 for row in rows[:1] for number in range(7)
    )
    assert batch.rejected == {}
    assert (BUCKET, REJECTS_KEY) not in export.store.objects


def test_a_refused_item_is_kept_with_its_version_and_reason():
    export = Export().add("a", [click_item("{", page_id="bad"), click_item(page_id="good")]).write()
    batch = convert(export)
    assert (batch.rows, batch.rejected) == (1, {"payload (json)": 1})
    (line,) = export.store.read(BUCKET, REJECTS_KEY).splitlines()
    record = decode_failed_record(line)
    change = decode_change(record.data)
    assert (change.version, change.keys["page_id"]) == (snapshot_version(SECOND), {"S": "bad"})
    assert record.error_code == "dynaurora.Rejected"
    assert "payload" in record.error_message


def test_the_key_of_a_refused_item_is_kept_with_the_reason_that_the_report_counts():
    export = Export().add("a", [click_item("{", page_id="bad"), click_item(page_id="good")]).write()
    batch = convert(export)
    (refused,) = map(
        json.loads, export.store.read(BUCKET, keys.backfill_refused("web_analytics", "r1", 1)).splitlines()
    )
    assert (refused["Keys"]["page_id"], refused["Target"]) == ({"S": "bad"}, "WebAnalytics")
    assert batch.rejected == {refused["Reason"]: 1}


def test_converting_again_makes_the_same_batch():
    export = Export().add("a", [click_item()]).write()
    assert convert(export).id == convert(export).id


def test_what_is_converted_is_not_converted_again():
    export = Export().add("a", [click_item(), click_item("{")]).write()
    planned, converter = plan_and_converter(export)
    first = converter.convert_once(planned)
    del export.store.objects[BUCKET, export.key("a")]
    assert converter.convert_once(planned) == first


@pytest.mark.parametrize("change", ["expired", "overwritten", "of another plan"])
def test_what_is_not_there_as_it_was_is_converted_again(change):
    export = Export().add("a", [click_item()]).write()
    planned, converter = plan_and_converter(export)
    first = converter.convert_once(planned)
    if change == "expired":
        del export.store.objects[BUCKET, CSV_KEY]
    elif change == "overwritten":
        export.store.write(BUCKET, CSV_KEY, b"something else")
    else:
        export.store.write(
            BUCKET, keys.backfill_descriptor("web_analytics", "r1", 1), b'{"fingerprint": "another", "batch": {}}'
        )
    assert converter.convert_once(planned) == first
    assert export.store.tail(BUCKET, CSV_KEY).etag == first.objects[0].etag


def test_only_the_most_frequent_reasons_are_counted_apart():
    converted = Converted(reasons=Counter({f"tags.{index} (type)": 1 for index in range(60)} | {"hits (type)": 9}))
    assert converted.rejected["hits (type)"] == 9
    assert len(converted.rejected) == 51
    assert converted.rejected["other reasons"] == 11
    assert sum(converted.rejected.values()) == 69


def test_other_reasons_that_were_counted_together_before_stay_counted():
    reasons = Counter({f"tags.{index} (type)": 2 for index in range(60)} | {OTHER_REASONS: 500})
    counted = count_apart(reasons)
    assert len(counted) <= MAX_COUNTED_REASONS + 1
    assert sum(counted.values()) == reasons.total()
    assert counted[OTHER_REASONS] > 500


def test_a_batch_of_which_every_item_is_refused_has_no_rows():
    batch = convert(Export().add("a", [click_item("{")]).write())
    assert (batch.rows, batch.rows_rejected, batch.objects[0].size) == (0, 1, 0)


GOOD = json.dumps({"Item": click_item()}).encode() + b"\n"
NAMED = b"\x1f\x8b\x08\x08" + bytes(6)
"""The begin of a gzip member that says the name of its file (RFC 1952, section 2.3)."""


def broken(body, count=1):
    """Return an export whose one data file is `body`, as its manifest says: only its contents are wrong."""
    export = Export()
    export.files["a"], export.counts["a"] = body, count
    return export.write()


@pytest.mark.parametrize(
    ("export", "error", "says"),
    [
        pytest.param(broken(gzip.compress(bytes(64 << 20), 1)), InvalidExportError, "more than 16777216", id="no end"),
        pytest.param(
            broken(gzip.compress(b"\n" * (32 << 20), 1)),
            InvalidExportError,
            "more lines than the 1 items",
            id="no items",
        ),
        pytest.param(broken(b"plain text"), InvalidExportError, "not gzip", id="not gzip"),
        pytest.param(broken(NAMED + b"n" * 2_000_000), InvalidExportError, "not gzip", id="a name without end"),
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


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(gzip.compress(GOOD + b"\n \r\n" + GOOD + b"\n"), id="blank lines"),
        pytest.param(gzip.compress(GOOD) + gzip.compress(GOOD), id="several members"),
        pytest.param(gzip.compress((GOOD + GOOD).replace(b"\n", b"\r\n")), id="CRLF"),
        pytest.param(gzip.compress(GOOD + GOOD.rstrip(b"\n")), id="no newline at its end"),
        pytest.param(gzip.compress(b"\xef\xbb\xbf" + GOOD + GOOD), id="BOM"),
    ],
)
def test_a_file_may_be_written_in_more_ways_than_dynamodbs(body):
    assert convert(broken(body, count=2)).rows == 2


def test_a_file_of_blank_lines_is_not_read_to_its_end_whatever_its_manifest_says():
    export = broken(gzip.compress(GOOD + b"\n" * 2_000_000), count=2**53)
    with pytest.raises(InvalidExportError, match=r"has 1,000 blank lines by line [0-9]{6}, and no items"):
        convert(export)


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


UNMAPPED_KEY = keys.backfill_unmapped("web_analytics", "r1", 1)


def test_what_no_column_takes_is_kept_beside_the_batch_where_there_is_anything():
    plain, more = click_item(page_id="a"), click_item(click(referrer="x"), page_id="b") | {"phone": {"S": "1"}}
    export = Export().add("a", [plain]).write()
    convert(export)
    assert (BUCKET, UNMAPPED_KEY) not in export.store.objects
    export = Export().add("a", [plain, more, click_item("{", page_id="bad") | {"phone": {"S": "2"}}]).write()
    planned, converter = plan_and_converter(export)
    converter.convert_once(planned)
    kept = Unmapped.from_dict(json.loads(export.store.read(BUCKET, UNMAPPED_KEY)))
    assert {name: found.items for name, found in kept.attributes.items()} == {"payload.referrer": 1, "phone": 1}
    assert kept.attributes["phone"].keys == [{"page_id": {"S": "b"}, "activity_dt": {"S": "2026-01-01"}}]
    assert converter.unmapped == kept


def test_a_batch_that_was_converted_before_counts_nothing_again():
    export = Export().add("a", [click_item() | {"phone": {"S": "1"}}]).write()
    planned, converter = plan_and_converter(export)
    converter.convert_once(planned)
    again = replace(converter, unmapped=Unmapped())
    again.convert_once(planned)
    assert (converter.unmapped.total, again.unmapped.total) == (1, 0)


def test_what_a_batch_that_failed_had_is_not_the_next_ones():
    broken = Export().add("a", [click_item() | {"phone": {"S": "1"}}]).write()
    planned, converter = plan_and_converter(broken)
    planned = replace(planned, files=tuple(replace(file, md5="other") for file in planned.files))
    with pytest.raises(ChecksumMismatchError):
        converter.convert(planned)
    good = Export().add("a", [click_item() | {"fax": {"S": "1"}}]).write()
    planned, other = plan_and_converter(good)
    batch = replace(other, mapper=converter.mapper, unmapped=other.unmapped).convert(planned)
    assert batch.objects[0].widths == convert(good).objects[0].widths
    assert other.unmapped.attributes.keys() == {"fax"}


def test_what_the_columns_of_several_targets_leave_is_kept_for_each():
    mapping = several(USERS, OPEN, table="web_analytics")
    user = {"PK": {"S": "p"}, "SK": {"S": "USER#1"}, "email": {"S": "a@b"}, "phone": {"S": "1"}}
    export = Export().add("a", [user]).write()
    planned, converter = plan_and_converter(export)
    replace(converter, mapper=RowMapper(mapping)).convert_once(planned)
    kept = json.loads(export.store.read(BUCKET, keys.backfill_unmapped("app", "r1", 1)))
    assert {table: list(found["attributes"]) for table, found in kept["targets"].items()} == {
        "Users": ["phone"],
        "OpenOrders": [],
    }


WINDOW = incremental("2023-11-14T21:13:20.000Z", "2023-11-14T22:13:20.000Z", "NEW_IMAGE")
KEY = {"page_id": {"S": "a"}, "activity_dt": click_item(page_id="a")["activity_dt"]}
EARLY, LATE = (SECOND - 121) * 1_000_000 + 5, (SECOND - 120) * 1_000_000


def convert_changes(*lines):
    export = Export(summary=WINDOW).add_changes("a", list(lines)).write()
    batch = convert(export)
    rows = [read_line(line) for line in export.store.read(BUCKET, CSV_KEY).splitlines(keepends=True)]
    return export, batch, rows


@pytest.mark.parametrize("micros", [EARLY, LATE])
@pytest.mark.parametrize("image", [click_item(page_id="a"), None], ids=["put", "delete"])
def test_changes_become_rows_and_tombstones_at_their_own_versions(image, micros):
    old = {"OldImage": click_item(page_id="a")}
    _, batch, (row,) = convert_changes(changed(KEY, image, micros, **old))
    assert (row[0], row[2]) == ("1" if image is None else "0", "a")
    assert int(row[1]) == incremental_version(micros, SECOND)
    assert (batch.source, batch.rows, batch.rejected) == ("backfill", 1, {})


def test_a_refused_change_is_kept_with_its_version():
    put = changed(KEY, click_item(page_id="a"), EARLY)
    export, batch, rows = convert_changes(changed(KEY, click_item("{", page_id="a"), EARLY), put)
    assert (len(rows), batch.rejected) == (1, {"payload (json)": 1})
    (line,) = export.store.read(BUCKET, REJECTS_KEY).splitlines()
    assert decode_change(decode_failed_record(line).data).version == incremental_version(EARLY, SECOND)


def test_changes_are_routed_to_the_targets_that_take_them():
    mapping = several()
    keys_of = {"PK": {"S": "c"}, "SK": {"S": "ORDER#1"}}
    image = {**keys_of, "status": {"S": "shut"}, "total": {"N": "3"}}
    export = Export(summary=WINDOW).add_changes("a", [changed(keys_of, image, EARLY)]).write()
    planned, converter = plan_and_converter(export)
    batch = replace(converter, mapper=RowMapper(mapping)).convert(planned)
    assert {table: (share.rows, share.skipped) for table, share in batch.targets.items()} == {
        "Users": (0, 1),
        "OpenOrders": (1, 0),  # a tombstone: before, it may have been open
        "ShutOrders": (1, 0),
    }


def broken_change(**members):
    return changed(KEY, None, EARLY) | members


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"Item": click_item()}, "is not a change of an incremental export: KeyError 'Metadata'"),
        (broken_change(Metadata=7), "is not a change"),
        (broken_change(Metadata={"WriteTimestampMicros": {"N": "soon"}}), "no whole number of microseconds"),
        (broken_change(Metadata={"WriteTimestampMicros": {"N": "9" * 30}}), "at most 10 digits"),
        (broken_change(Metadata={"WriteTimestampMicros": (SECOND + 121) * 1_000_000}), "after its export's window"),
        (broken_change(Keys=[]), "Keys or NewImage is no object"),
        (broken_change(NewImage=None), "Keys or NewImage is no object"),
    ],
)
def test_a_line_that_is_no_change_stops_its_batch(line, says):
    with pytest.raises(InvalidExportError, match=says):
        convert_changes(line)


def test_a_time_may_be_a_bare_number():
    _, _, (row,) = convert_changes(broken_change(Metadata={"WriteTimestampMicros": EARLY}))
    assert int(row[1]) == incremental_version(EARLY, SECOND)


def test_items_under_the_summary_of_full_are_not_taken_for_changes():
    export = Export().add_changes("a", [changed(KEY, None, EARLY)]).write()
    with pytest.raises(InvalidExportError, match="no object with an"):
        convert(export)
