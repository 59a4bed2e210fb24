import time

import pytest

from dynaurora.errors import ChecksumMismatchError, ExportIncompleteError, InvalidExportError
from dynaurora.exports.manifests import DataFile, read_data_files, read_summary
from tests.support.export_factory import BUCKET, Export, changed, incremental, md5_of
from tests.support.factories import EXPORT_ARN, TABLE_ARN, click_item


def read(export, warn=str):
    summary = read_summary(export.store, BUCKET, export.summary_key, warn)
    return summary, list(read_data_files(export.store, summary, warn))


@pytest.mark.parametrize("suffix", [".md5", ".checksum", ""], ids=["md5", "checksum", "no checksum"])
@pytest.mark.parametrize("prefix", ["exports/run=r1", ""], ids=["prefix", "no prefix"])
def test_manifests_are_read_wherever_and_however_their_checksums_are_named(prefix, suffix):
    export = Export(prefix, suffix).add("a", [click_item()]).add("empty", []).write()
    summary, files = read(export)
    assert (summary.export_arn, summary.table_arn, summary.export_second) == (EXPORT_ARN, TABLE_ARN, 1_700_000_000)
    assert (summary.items, summary.billed_bytes) == (1, 1000)
    assert files == [
        DataFile(export.key("a"), 1, md5_of(export.files["a"])),
        DataFile(export.key("empty"), 0, md5_of(export.files["empty"])),
    ]


@pytest.mark.parametrize(("suffix", "warned"), [(".md5", []), (".checksum", []), ("", ["summary", "files"])])
def test_a_manifest_that_has_no_checksum_is_warned_of(suffix, warned):
    warnings = []
    read(Export(checksum_suffix=suffix).add("a", [click_item()]).write(), warnings.append)
    assert len(warnings) == len(warned)
    for warning, name in zip(warnings, warned, strict=True):
        assert f"manifest-{name}.json has no checksum beside it" in warning


@pytest.mark.parametrize("extra", [{}, {"version": "2023-08-01", "exportType": "FULL_EXPORT"}], ids=["2020", "2023"])
def test_both_versions_of_the_summary_are_full_exports(extra):
    assert read(Export(summary=extra).add("a", [click_item()]).write())[0].items == 1


@pytest.mark.parametrize("key", ["exports/it's odd/%41+b/ünï ✓/manifest-files.json", "x/manifest-files.json"])
def test_the_list_of_files_may_have_any_key(key):
    assert len(read(Export(summary={"manifestFilesS3Key": key}).add("a", [click_item()]).write())[1]) == 1


@pytest.mark.parametrize(
    "spelling",
    [
        "2023-11-14T22:13:20.000Z",
        "2023-11-14T22:13:20Z",
        "2023-11-14T22:13:20.999999999Z",
        "2023-11-14T22:13:20",
        "2023-11-14 22:13:20+00:00",
        "2023-11-15T03:43:20+05:30",
        "20231114T221320Z",
    ],
)
def test_the_point_in_time_is_a_second_however_it_is_spelt(spelling, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")  # a time that does not say where is UTC all the same
    time.tzset()
    try:
        assert read(Export(summary={"exportTime": spelling}).write())[0].export_second == 1_700_000_000
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda body: body.replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(lambda body: b"\xef\xbb\xbf" + body, id="BOM"),
        pytest.param(lambda body: b"\n" + body.replace(b"\n", b"\n \n") + b"\n\n", id="blank lines"),
        pytest.param(lambda body: body.rstrip(b"\n"), id="no newline at its end"),
    ],
)
def test_the_list_of_files_may_have_passed_through_an_editor(change):
    export = Export(checksum_suffix="").add("a", [click_item()]).add("b", [click_item()]).write()
    key = BUCKET, f"{export.folder}/manifest-files.json"
    export.store.objects[key] = change(export.store.objects[key])
    assert [file.key for file in read(export)[1]] == [export.key("a"), export.key("b")]


def test_an_empty_table_has_an_export_without_items():
    summary, files = read(Export().add("empty", []).write())
    assert (summary.items, [file.items for file in files]) == (0, [0])


@pytest.mark.parametrize("name", ["manifest-summary", "manifest-files"])
def test_a_manifest_that_changed_is_refused(name):
    export = Export().add("a", [click_item()]).write()
    key = f"{export.folder}/{name}.json"
    export.store.objects[BUCKET, key] += b" "
    with pytest.raises(ChecksumMismatchError, match=name):
        read(export)


@pytest.mark.parametrize("name", ["manifest-summary", "manifest-files"])
def test_a_manifest_that_is_missing_is_named(name):
    export = Export().add("a", [click_item()]).write()
    del export.store.objects[BUCKET, f"{export.folder}/{name}.json"]
    with pytest.raises(ExportIncompleteError, match=rf"{name}\.json .*Copy the export as a whole"):
        read(export)


@pytest.mark.parametrize(
    ("summary", "says"),
    [
        ({"exportType": "INCREMENTAL_EXPORT"}, "needs a FULL_EXPORT"),
        ({"outputFormat": "ION"}, "reads DYNAMODB_JSON"),
        ({"exportTime": "yesterday"}, "exportTime is missing, or no time"),
        ({"exportTime": 1_700_000_000}, "exportTime is missing, or no time"),
        ({"exportTime": "1970-01-01T00:01:00Z"}, "exportTime is missing, or no time"),
        ({"exportTime": "9999-12-31T23:59:59Z"}, "exportTime is missing, or no time"),
        ({"itemCount": None}, "itemCount is missing, or no count"),
        ({"itemCount": 1.5}, "itemCount is missing, or no count"),
        ({"itemCount": True}, "itemCount is missing, or no count"),
        ({"itemCount": -1}, "itemCount is missing, or no count"),
        ({"itemCount": 10**20}, "itemCount is missing, or no count"),
        ({"exportType": "FULL\nNext: run curl"}, r"is of type FULL\\nNext: run curl, and"),
        ({"outputFormat": "\x1b" * 9000}, r"is in (\\x1b){80}, and a backfill"),
        ({"tableArn": "arn:\x1b]0;owned\x07"}, r"tableArn is no name that AWS gives: arn:\\x1b"),
        ({"exportArn": "a" * 3000}, "exportArn is no name that AWS gives: a{80}[.]"),
        ({"s3Bucket": "landing\u202e"}, "s3Bucket is no name that AWS gives"),
        ({"billedSizeBytes": "much"}, "billedSizeBytes is missing, or no count"),
        ({"manifestFilesS3Key": ""}, "manifestFilesS3Key is missing, or no text"),
        ({"manifestFilesS3Key": "\ud800"}, "manifestFilesS3Key is no key"),
        ({"manifestFilesS3Key": "a" * 1025}, "manifestFilesS3Key is no key"),
        ({"tableArn": ""}, "tableArn is missing, or no text"),
        ({"s3Bucket": 7}, "s3Bucket is missing, or no text"),
    ],
)
def test_a_summary_of_something_else_is_refused(summary, says):
    export = Export(summary=summary).add("a", [click_item()]).write()
    with pytest.raises(InvalidExportError, match=says):
        read(export)


BAD_LINES = [
    b"not JSON\n",
    b"[]\n",
    b'{"itemCount": 1}\n',
    b'{"itemCount": 1, "md5Checksum": "m", "dataFileS3Key": null}\n',
    b'{"itemCount": 1, "md5Checksum": null, "dataFileS3Key": "k"}\n',
    b'{"itemCount": -1, "md5Checksum": "m", "dataFileS3Key": "k"}\n',
    b'{"itemCount": true, "md5Checksum": "m", "dataFileS3Key": "k"}\n',
]


@pytest.mark.parametrize("body", BAD_LINES)
def test_a_list_with_a_line_that_is_no_file_is_refused_by_line(body):
    export = Export(checksum_suffix="").add("a", [click_item()]).write()
    export.store.objects[BUCKET, f"{export.folder}/manifest-files.json"] += body
    with pytest.raises(InvalidExportError, match="line 2"):
        read(export)


WINDOW = incremental("2023-11-14T21:13:20.000Z", "2023-11-14T22:13:20.000Z")


def changes(**summary):
    line = changed({"page_id": {"S": "a"}}, None, 1_700_000_000_000_000)
    return Export(summary=WINDOW | summary).add_changes("a", [line]).write()


def read_changes(export, bucket=BUCKET, key=None):
    summary = read_summary(export.store, bucket, key or export.summary_key, str, takes_incremental=True)
    return summary, list(read_data_files(export.store, summary, str))


@pytest.mark.parametrize("view", ["NEW_AND_OLD_IMAGES", "NEW_IMAGE", "NEW_IMAGES"])
def test_an_incremental_export_is_read_where_it_is_taken(view):
    summary, (file,) = read_changes(changes(outputView=view))
    assert (summary.window_from, summary.export_second) == (1_700_000_000 - 3600, 1_700_000_000)
    assert (summary.is_incremental, file.key) == (True, "exports/run=r1/AWSDynamoDB/data/a.json.gz")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"outputView": None}, "outputView is None"),
        ({"outputView": "KEYS_ONLY"}, "outputView is KEYS_ONLY"),  # a put without its image would be taken for a delete
        ({"exportFromTime": None}, "exportFromTime is missing"),
        ({"exportToTime": "soon"}, "exportToTime is missing, or no time"),
        ({"exportToTime": "2023-11-14T21:13:20.000Z"}, "exportFromTime is not before exportToTime"),
    ],
)
def test_an_incremental_export_without_its_window_or_images_is_refused(wrong, says):
    with pytest.raises(InvalidExportError, match=says):
        read_changes(changes(**wrong))


@pytest.mark.parametrize("export", [Export().add("a", [click_item()]), changes()], ids=["full", "incremental"])
@pytest.mark.parametrize(
    ("bucket", "folder"),
    [("other", "copied/AWSDynamoDB"), (BUCKET, "AWSDynamoDB"), ("other", "exports/run=r1/AWSDynamoDB")],
)
def test_an_export_that_was_moved_is_read_beside_its_summary(export, bucket, folder):
    export.write()
    moved = export.move(bucket, folder)
    summary, (file,) = read_changes(export, bucket, moved)
    assert export.store.read(bucket, file.key) == export.files["a"]
    assert (summary.bucket, file.key.startswith(f"{folder}/")) == (bucket, True)


def test_a_copy_of_one_folder_has_the_data_beside_the_summary():
    export = changes()
    body = export.store.objects.pop((BUCKET, export.key("a")))
    moved = export.move("other", "flat/AWSDynamoDB")
    beside = moved.replace("manifest-summary.json", "data/a.json.gz")
    export.store.write("other", beside, body)
    assert [file.key for file in read_changes(export, "other", moved)[1]] == [beside]


def test_a_copy_that_lacks_its_data_says_where_it_was_looked_for_and_whence_it_came():
    export = changes()
    moved = export.move("other", "copied/AWSDynamoDB")
    del export.store.objects["other", "copied/AWSDynamoDB/data/a.json.gz"]
    with pytest.raises(ExportIncompleteError) as raised:
        read_changes(export, "other", moved)
    assert "s3://other/copied/AWSDynamoDB/data/a.json.gz" in raised.value.problem
    assert f"DynamoDB wrote it to s3://{BUCKET}: it was moved or copied" in raised.value.problem
