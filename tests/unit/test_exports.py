import pytest

from dynaurora.errors import ChecksumMismatchError, InvalidExportError, ObjectMissingError
from dynaurora.exports import DataFile, read_data_files, read_summary
from tests.unit.export_factory import BUCKET, Export, md5_of
from tests.unit.factories import EXPORT_ARN, TABLE_ARN, click_item


def read(export):
    summary = read_summary(export.store, BUCKET, export.summary_key)
    return summary, list(read_data_files(export.store, summary))


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


@pytest.mark.parametrize("extra", [{}, {"version": "2023-08-01", "exportType": "FULL_EXPORT"}], ids=["2020", "2023"])
def test_both_versions_of_the_summary_are_full_exports(extra):
    assert read(Export(summary=extra).add("a", [click_item()]).write())[0].items == 1


@pytest.mark.parametrize("key", ["exports/it's odd/%41+b/ünï ✓/manifest-files.json", "x/manifest-files.json"])
def test_the_list_of_files_may_have_any_key(key):
    assert len(read(Export(summary={"manifestFilesS3Key": key}).add("a", [click_item()]).write())[1]) == 1


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
    with pytest.raises(ObjectMissingError, match=name):
        read(export)


@pytest.mark.parametrize(
    ("summary", "says"),
    [
        ({"exportType": "INCREMENTAL_EXPORT"}, "needs a FULL_EXPORT"),
        ({"outputFormat": "ION"}, "reads DYNAMODB_JSON"),
        ({"exportTime": "yesterday"}, "lacks a field"),
        ({"itemCount": None}, "lacks a field"),
    ],
)
def test_a_summary_of_something_else_is_refused(summary, says):
    export = Export(summary=summary).add("a", [click_item()]).write()
    with pytest.raises(InvalidExportError, match=says):
        read(export)


@pytest.mark.parametrize("body", [b"not JSON\n", b"[]\n", b'{"itemCount": 1}\n'])
def test_a_list_with_a_line_that_is_no_file_is_refused_by_line(body):
    export = Export(checksum_suffix="").add("a", [click_item()]).write()
    export.store.objects[BUCKET, f"{export.folder}/manifest-files.json"] += body
    with pytest.raises(InvalidExportError, match="line 2"):
        read(export)
