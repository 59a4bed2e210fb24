"""Exports that are not whole: what is broken is named, kept, announced, and not imported; what is whole is."""

import gzip
from collections.abc import Callable

import pytest

from tests.integration.backfill.deployed import Deployed, Document, ExportFiles, make_items, wait_for_next_second

pytestmark = pytest.mark.integration

Breaker = Callable[[ExportFiles, Document], None]


def lose(export: ExportFiles, file: Document) -> None:
    export.delete(file["dataFileS3Key"])


def truncate(export: ExportFiles, file: Document) -> None:
    body = export.read(file["dataFileS3Key"])
    export.write(file["dataFileS3Key"], body[: len(body) // 2])


def unpack(export: ExportFiles, file: Document) -> None:
    export.write(file["dataFileS3Key"], gzip.decompress(export.read(file["dataFileS3Key"])))


def change(export: ExportFiles, file: Document) -> None:
    lines = export.read_lines(file)
    export.write_file(file["dataFileS3Key"], [*lines[:-1], lines[0]])


def drop_line(export: ExportFiles, file: Document) -> None:
    """Leave out a line in a file and its MD5, but not in its count."""
    written = export.write_file(file["dataFileS3Key"], export.read_lines(file)[1:])
    export.rewrite([written | {"itemCount": file["itemCount"]} if file == other else other for other in export.files])


def spoil_line(export: ExportFiles, file: Document) -> None:
    """Cut off a line in a file and its MD5."""
    first, *others = export.read_lines(file)
    written = export.write_file(file["dataFileS3Key"], [*others, first[:-2]])
    export.rewrite([written if file == other else other for other in export.files])


REPAIRABLE: dict[str, tuple[Breaker, str, str]] = {
    "missing": (lose, "ObjectMissingError", "does not exist"),
    "truncated": (truncate, "InvalidExportError", "is not gzip, or is cut off"),
    "not gzip": (unpack, "InvalidExportError", "is not gzip, or is cut off"),
    "changed": (change, "ChecksumMismatchError", "and its manifest says"),
}
HOPELESS: dict[str, tuple[Breaker, str, str]] = {
    "too few items": (drop_line, "InvalidExportError", "has 1 items, and its manifest says 2"),
    "a line that is not JSON": (spoil_line, "InvalidExportError", "line 2 is not an item"),
}
"""Broken before DynamoDB took the checksum: no repair of the file would fit it."""


def check_broken(deployed: Deployed, run: str, key: str, error: str, reason: str, batches: int) -> None:
    """Assert that a run has failed for its last batch, which is kept, announced and named with what is wrong."""
    (record,) = deployed.failed_batches(run)
    assert record["error"] == error
    assert key in record["reason"]
    assert reason in record["reason"]
    assert record["batch"] is None
    assert [file["key"] for file in record["conversion"]["batch"]["files"]] == [key]
    assert [subject.rpartition(": ")[2] for subject in deployed.messages()] == [error, "BatchesFailedError"]
    row, report = deployed.row(run), deployed.report(run)
    assert row["state"] == report["state"] == "FAILED"
    assert report["failure"]["error"] == "BatchesFailedError"
    assert "start the run again" in report["failure"]["remedy"]
    (failure,) = report["failures"]
    assert failure["error"] == error
    assert failure["reason"] == record["reason"]
    assert failure["remedy"]
    assert key in deployed.read(failure["key"]).decode()
    totals = report["totals"]
    assert (totals["batches_planned"], totals["batches_imported"], totals["batches_failed"]) == (
        batches,
        batches - 1,
        1,
    )
    assert totals["unaccounted"] == totals["exported"] - totals["imported"] == 2


@pytest.mark.parametrize(("spoil", "error", "reason"), REPAIRABLE.values(), ids=REPAIRABLE)
def test_a_broken_file_stops_its_batch_alone_and_once_repaired_nothing_else_is_repeated(
    deployed: Deployed, run: str, spoil: Breaker, error: str, reason: str
) -> None:
    export = deployed.plan_batches(run, make_items(6), 3)
    last = export.files[-1]
    whole = export.read(last["dataFileS3Key"])
    spoil(export, last)
    view = deployed.backfill(run, "--max-concurrency", "1", status=1)
    assert (view["batches"]["imported"], view["batches"]["failed"]) == (2, 1)
    check_broken(deployed, run, last["dataFileS3Key"], error, reason, batches=3)
    assert len(deployed.hits()) == 4
    done = deployed.ledger(run)

    export.write(last["dataFileS3Key"], whole)
    wait_for_next_second()  # a failure's time has no fractions, and is to be before the repeat's
    deployed.backfill(run)
    again = deployed.ledger(run)
    assert [row for row in again if row in done] == done
    assert len(again) == 3
    totals = deployed.report(run)["totals"]
    assert (totals["imported"], totals["unaccounted"], totals["batches_failed"]) == (6, 0, 0)
    assert deployed.row(run)["state"] == "SUCCEEDED"
    assert deployed.report(run)["failures"] == []
    assert deployed.compare().identical == 6


@pytest.mark.parametrize(("spoil", "error", "reason"), HOPELESS.values(), ids=HOPELESS)
def test_a_file_that_is_not_what_its_manifest_says_stops_its_batch(
    deployed: Deployed, run: str, spoil: Breaker, error: str, reason: str
) -> None:
    deployed.put(make_items(6))
    export = deployed.export(f"exports/of={run}")
    export.split(3)
    spoil(export, export.files[-1])
    deployed.plan_ahead(run, export)
    deployed.backfill(run, "--max-concurrency", "1", status=1)
    check_broken(deployed, run, export.files[-1]["dataFileS3Key"], error, reason, batches=3)
    assert deployed.backfill(f"{run}b")["rows"]["imported"] == 6


def spoil_summary(export: ExportFiles) -> str:
    export.write(export.summary_key, export.read(export.summary_key) + b" ")
    return export.summary_key


def spoil_list(export: ExportFiles) -> str:
    key = str(export.summary["manifestFilesS3Key"])
    export.write(key, export.read(key).replace(b"itemCount", b"itemcount", 1))
    return key


def lose_list(export: ExportFiles) -> str:
    key = str(export.summary["manifestFilesS3Key"])
    export.delete(key)
    return key


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (spoil_summary, "ChecksumMismatchError"),
        (spoil_list, "ChecksumMismatchError"),
        (lose_list, "ExportIncompleteError"),
    ],
)
def test_manifests_that_are_not_whole_stop_the_run_before_anything_is_imported(
    deployed: Deployed, run: str, spoil: Callable[[ExportFiles], str], error: str
) -> None:
    deployed.put(make_items(4))
    export = deployed.export(f"exports/of={run}")
    key = spoil(export)
    view = deployed.backfill(run, "--export-arn", export.arn, status=1)
    assert view["failure"]["error"] == error
    report = deployed.check_failure(run, error, key)
    assert report["totals"] is None
    assert deployed.ledger(run) == []
