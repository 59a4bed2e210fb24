"""Exports as DynamoDB writes them, from their manifests to rows."""

import json

import pytest

from dynaurora import keys
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.errors import ChecksumMismatchError, InvalidExportError, ObjectMissingError
from dynaurora.exports.convert_export import Converter
from dynaurora.exports.plan import PlannedBatch
from dynaurora.exports.plan_backfill import ExportToPlan, plan_backfill
from dynaurora.mappings.row_mapper import RowMapper
from tests.exports import export_names, load_export
from tests.support.csv_reader import read_line
from tests.support.fakes import InMemoryObjects

BUCKET = "landing"
SECOND = 1_795_421_700
"""2026-11-23T08:15:00Z: the point in time of each of them."""


def store_of(export):
    return InMemoryObjects({(BUCKET, key): body for key, body in export.objects.items()})


def plan(export, store):
    to_plan = ExportToPlan(BUCKET, export.summary_key, export.summary["tableArn"])
    return plan_backfill(store, BUCKET, "web_analytics", "r1", to_plan)


def convert(export, store):
    """Return the CSV fields of every row of an export, those of the system first."""
    planned = plan(export, store)
    converter = Converter(
        RowMapper(export.mapping), store, BUCKET, planned.export_bucket, "r1", planned.export_second, "arn:function"
    )
    lines = []
    for entry in json.loads(store.read(BUCKET, planned.key)):
        batch = converter.convert_once(PlannedBatch.from_dict(entry))
        assert batch.rejected == {}
        lines += store.read(BUCKET, batch.objects[0].key).splitlines(keepends=True)
    return [read_line(line) for line in lines]


def as_documents(mapping, rows):
    """Return rows as rows.json has them."""
    found = []
    for _, _, *fields in rows:
        named = zip(mapping.columns, fields, strict=True)
        found.append(
            {
                column.name: json.loads(text) if column.type.kind == "JSON" else text
                for column, text in named
                if text is not None
            }
        )
    return found


@pytest.mark.parametrize("name", export_names())
def test_a_recorded_export_becomes_its_rows(name):
    export = load_export(name)
    store = store_of(export)
    rows = convert(export, store)
    keys = [column.name for column in export.mapping.key_columns]
    in_order = sorted(export.rows, key=lambda row: [row[name].encode() for name in keys])
    assert as_documents(export.mapping, rows) == in_order
    assert {(deleted, int(version)) for deleted, version, *_ in rows} <= {("0", snapshot_version(SECOND))}


@pytest.mark.parametrize("name", export_names())
def test_the_plan_of_a_recorded_export_is_what_its_summary_says(name):
    export = load_export(name)
    planned = plan(export, store_of(export))
    files = [key for key in export.objects if key.endswith(".json.gz")]
    empty = [line for line in manifest_lines(export) if line["itemCount"] == 0]
    assert (planned.items, planned.files, planned.files_empty) == (len(export.rows), len(files), len(empty))
    assert planned.export_second == SECOND
    assert planned.export_arn == export.summary["exportArn"]


def manifest_lines(export):
    return [json.loads(line) for line in export.objects[export.summary["manifestFilesS3Key"]].splitlines()]


def test_the_recorded_exports_are_of_every_form():
    exports = [load_export(name) for name in export_names()]
    assert {export.summary["version"] for export in exports} == {"2020-06-30", "2023-08-01"}
    assert {export.summary.get("exportType") for export in exports} == {None, "FULL_EXPORT"}
    assert {bool(export.summary.get("s3Prefix")) for export in exports} == {True, False}
    suffixes = {key.rpartition(".")[2] for export in exports for key in export.objects if "manifest" in key}
    assert suffixes == {"json", "md5", "checksum"}
    keys_of_files = "".join(export.summary["manifestFilesS3Key"] for export in exports)
    assert not set("' \"%+&ü✓") - set(keys_of_files)
    assert any(not export.rows for export in exports)


BROKEN = "md5_names_and_a_prefix"


def broken(change):
    """Return a recorded export after something happened to its objects."""
    export = load_export(BROKEN)
    change(export)
    return export, store_of(export)


def assert_nothing_is_left(store):
    assert not [key for _, key in store.objects if key.startswith("batches/run=web_analytics-r1/batch-")]
    assert (BUCKET, keys.backfill_rejects("web_analytics", "r1", 1)) not in store.objects


@pytest.mark.parametrize("name", ["manifest-summary", "manifest-files"])
@pytest.mark.parametrize("checksum", [b"", b"1B2M2Y8AsgTpgAmY7PhCfg==", b"\xff\xfe", b"1b2m2y8asgtpgamy7phcfg==\n"])
def test_a_manifest_with_another_checksum_is_refused(name, checksum):
    def change(export):
        (key,) = (key for key in export.objects if key.endswith(f"{name}.md5"))
        export.objects[key] = checksum

    export, store = broken(change)
    with pytest.raises(ChecksumMismatchError, match=f"{name}.json has the MD5"):
        plan(export, store)
    assert (BUCKET, keys.planned("web_analytics", "r1")) not in store.objects


def test_a_data_file_that_is_missing_is_named():
    key = first_file(load_export(BROKEN))
    export, store = broken(lambda export: export.objects.pop(key))
    with pytest.raises(ObjectMissingError, match=key):
        convert(export, store)
    assert_nothing_is_left(store)


def first_file(export):
    return next(key for key in export.objects if key.endswith(".json.gz"))


WHOLE = load_export(BROKEN).objects[first_file(load_export(BROKEN))]


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        pytest.param(WHOLE[:-5], InvalidExportError, "is not gzip, or is cut off", id="truncated"),
        pytest.param(WHOLE[:3], InvalidExportError, "is not gzip, or is cut off", id="nearly gone"),
        pytest.param(b"", ChecksumMismatchError, "has the MD5", id="gone"),
        pytest.param(b'{"Item":{}}\n', InvalidExportError, "is not gzip", id="not gzip"),
        pytest.param(WHOLE + b"more", InvalidExportError, "is not gzip", id="something behind it"),
        pytest.param(WHOLE + bytes(2), ChecksumMismatchError, "has the MD5", id="padded"),
        pytest.param(WHOLE + WHOLE, ChecksumMismatchError, "has the MD5", id="twice"),
    ],
)
def test_a_data_file_that_is_not_what_it_was_is_refused_by_name(body, error, says):
    key = first_file(load_export(BROKEN))
    export, store = broken(lambda export: export.objects.update({key: body}))
    with pytest.raises(error, match=says) as caught:
        convert(export, store)
    assert key in str(caught.value)
    assert_nothing_is_left(store)
