"""Exports: those that a run makes, and those that it is given."""

import json
import time
import uuid

import pytest

from dynaurora import keys
from tests.integration.backfill.deployed import (
    EXPORTS_BUCKET,
    MAPPING,
    Deployed,
    ExportFiles,
    make_item,
    make_items,
    wait_for_next_second,
)

pytestmark = pytest.mark.integration


def test_an_export_that_dynamodb_gives_up_fails_the_run_with_its_reason(deployed: Deployed, run: str) -> None:
    deployed.put(make_items(4))
    deployed.set_faults(fail_exports=1)
    view = deployed.backfill(run, status=1)
    assert view["failure"]["error"] == "ExportFailedError"
    assert "start a new run" in view["failure"]["remedy"]
    deployed.check_failure(run, "ExportFailedError", "InternalServerError", is_mended_by_repeating=False)
    assert deployed.backfill(f"{run}b")["rows"]["imported"] == 4


def test_an_export_is_encrypted_with_the_buckets_key(deployed: Deployed, run: str) -> None:
    deployed.put(make_items(4))
    deployed.backfill(run)
    s3 = deployed.client("s3")
    (rule,) = s3.get_bucket_encryption(Bucket=deployed.bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    prefix = keys.export_prefix(MAPPING, run)
    written = [entry["Key"] for entry in s3.list_objects_v2(Bucket=deployed.bucket, Prefix=prefix)["Contents"]]
    assert len(written) > 4
    for key in written:
        head = s3.head_object(Bucket=deployed.bucket, Key=key)
        assert head["ServerSideEncryption"] == "aws:kms"
        assert head["SSEKMSKeyId"] == rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"]


@pytest.mark.parametrize("fault", ["throttle_exports", "limit_exports"])
def test_dynamodb_that_is_busy_is_asked_again(deployed: Deployed, run: str, fault: str) -> None:
    deployed.put(make_items(4))
    deployed.set_faults(**{fault: 3})
    assert deployed.backfill(run)["rows"]["imported"] == 4
    assert len(deployed.exports_of(run)) == 1


@pytest.mark.parametrize("prefix", ["someone/else's exports", None], ids=["with a prefix", "without a prefix"])
def test_an_export_that_someone_made_is_imported_as_it_is(deployed: Deployed, run: str, prefix: str | None) -> None:
    deployed.put(make_items(4))
    export = deployed.export(prefix)
    deployed.put([make_item("later")])
    deployed.set_recovery(enabled=False)  # it takes none to import what is exported
    try:
        view = deployed.backfill(run, "--export-arn", export.arn)
    finally:
        deployed.set_recovery(enabled=True)
    assert view["export_arn"] == export.arn
    assert deployed.exports_of(run) == set()
    assert set(deployed.hits()) == {f"page-{number:05}" for number in range(4)}
    assert deployed.report(run)["export"]["arn"] == deployed.row(run)["export_arn"] == export.arn


def test_an_export_in_the_bucket_that_the_stack_names_can_be_given(deployed: Deployed, run: str) -> None:
    deployed.put(make_items(4))
    export = deployed.export(S3Bucket=EXPORTS_BUCKET)
    assert deployed.backfill(run, "--export-arn", export.arn)["rows"]["imported"] == 4


def test_an_export_in_any_other_bucket_is_named_and_the_run_takes_another(deployed: Deployed, run: str) -> None:
    deployed.put(make_items(4))
    bucket = f"unknown-{run}"
    deployed.api.s3.create_bucket(Bucket=bucket)
    deployed.backfill(run, "--export-arn", deployed.export(S3Bucket=bucket).arn, status=1)
    deployed.check_failure(run, "AccessDeniedError", f"s3://{bucket}/", "manifest-summary.json", "GetObject")
    assert deployed.backfill(run, "--new-export")["rows"]["imported"] == 4


def move(export: ExportFiles, folder: str, **summary: str) -> str:
    """Move an export to the other bucket, as people copy them; return where its summary is."""
    top = export.summary_key.rpartition("AWSDynamoDB/")[0]
    if summary:
        body = json.dumps(export.summary | summary).encode()
        export.write(export.summary_key, body)
        export.delete(export.summary_key.replace(".json", ".md5"))
    listed = export.s3.list_objects_v2(Bucket=export.bucket, Prefix=f"{top}AWSDynamoDB/")["Contents"]
    for key in (each["Key"] for each in listed):
        moved = folder + key.removeprefix(top)
        export.s3.copy_object(CopySource={"Bucket": export.bucket, "Key": key}, Bucket=EXPORTS_BUCKET, Key=moved)
        export.delete(key)
    return f"s3://{EXPORTS_BUCKET}/{folder}{export.summary_key.removeprefix(top)}"


def test_an_export_that_was_copied_from_another_account_is_read_beside_its_summary(
    deployed: Deployed, run: str
) -> None:
    deployed.put(make_items(4))
    other = deployed.table_arn.replace("000000000000", "111111111111")
    address = move(deployed.export(f"exports/of={run}"), f"copied-{run}/", tableArn=other, s3Bucket="theirs")

    view = deployed.backfill(run, "--export", address, status=1)
    assert view["failure"]["error"] == "InvalidExportError"
    deployed.check_failure(run, "InvalidExportError", other, "--source-table-arn")
    view = deployed.backfill(run, "--source-table-arn", other)

    assert (view["rows"]["imported"], set(deployed.hits())) == (4, {f"page-{number:05}" for number in range(4)})
    options = deployed.report(run)["options"]
    assert (options["export_summary"], options["source_table_arn"]) == (address, other)


def test_a_copy_without_its_data_says_so_and_the_run_takes_another(deployed: Deployed, run: str) -> None:
    deployed.put(make_items(4))
    export = deployed.export(f"exports/of={run}")
    for file in export.files:
        export.delete(file["dataFileS3Key"])
    deployed.backfill(run, "--export", move(export, f"copied-{run}/"), status=1)
    report = deployed.check_failure(run, "ExportIncompleteError", "moved or copied", f"copied-{run}/AWSDynamoDB")
    assert "Copy the export as a whole" in report["failure"]["remedy"]
    assert deployed.backfill(run, "--new-export")["rows"]["imported"] == 4


def test_a_summary_in_any_other_bucket_is_the_platforms_to_be_allowed(deployed: Deployed, run: str) -> None:
    address = f"s3://unknown-{run}/AWSDynamoDB/0179/manifest-summary.json"
    deployed.api.s3.create_bucket(Bucket=f"unknown-{run}")
    view = deployed.backfill(run, "--export", address, status=1)
    assert view["failure"]["error"] == "AccessDeniedError"
    assert f"the bucket of {address} as ExportsBucketName" in view["failure"]["remedy"]


def test_an_incremental_export_brings_changes_and_deletes_and_sweeps_nothing(deployed: Deployed, run: str) -> None:
    deployed.put(make_items(4))
    deployed.backfill(run)
    deployed.set_recovery(enabled=False)
    deployed.set_faults(age_recovery_seconds=7200)
    deployed.set_recovery(enabled=True)
    deployed.put([make_item("page-00000", 7), make_item("new", 8)])
    deployed.delete([make_item("page-00001")])
    window = {"ExportFromTime": int(time.time()) - 3600, "ExportToTime": int(time.time())}
    export = deployed.export(
        f"exports/of={run}", ExportType="INCREMENTAL_EXPORT", IncrementalExportSpecification=window
    )
    address = f"s3://{export.bucket}/{export.summary_key}"
    deployed.backfill(f"{run}-s", "--export", address, "--sweep", status=1)
    deployed.check_failure(f"{run}-s", "InvalidExportError", "A sweep would take all other rows for deleted")

    view = deployed.backfill(f"{run}-i", "--export", address)
    assert (view["items"], view["rows"]["rejected"]) == (3, 0)
    assert deployed.hits() == {"page-00000": 7, "page-00002": 1, "page-00003": 1, "new": 8}
    assert deployed.report(f"{run}-i")["export"]["window_from"] is not None


def test_a_given_export_that_goes_on_is_waited_for(deployed: Deployed, run: str) -> None:
    deployed.put(make_items(4))
    deployed.set_faults(hold_exports=1)
    started = deployed.start(run, "--export-arn", deployed.begin_export())
    deployed.wait_for_state(started["execution"], "Wait for export")
    assert deployed.ask("status", run)["phase"] == "exporting"
    deployed.set_faults(hold_exports=0)
    assert deployed.watch(run)["rows"]["imported"] == 4


def test_an_export_that_dynamodb_does_not_know_is_named(deployed: Deployed, run: str) -> None:
    arn = f"{deployed.table_arn}/export/01700000000000-0123abcd"
    view = deployed.backfill(run, "--export-arn", arn, status=1)
    assert view["failure"]["error"] == "DynamoDb.ExportNotFoundException"
    assert "list-exports" in view["failure"]["remedy"]
    deployed.check_failure(run, "DynamoDb.ExportNotFoundException", arn)


def test_an_export_of_another_table_is_refused(deployed: Deployed, run: str) -> None:
    other = f"other_{uuid.uuid4().hex[:8]}"
    described = deployed.api.dynamodb.create_table(
        TableName=other,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "page_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "page_id", "AttributeType": "S"}],
    )["TableDescription"]
    deployed.api.dynamodb.update_continuous_backups(
        TableName=other, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    export = deployed.export(TableArn=described["TableArn"])

    answer = deployed.run_command("start", MAPPING, "--run", run, "--export-arn", export.arn, status=2)
    assert other in answer.stderr
    assert MAPPING in answer.stderr

    # The command is not the only way to start a run.
    document = {"mapping": MAPPING, "run": run, "export_arn": export.arn}
    started = deployed.client("stepfunctions").start_execution(
        stateMachineArn=deployed.backfill_table_arn, name=f"{MAPPING}-{run}", input=json.dumps(document)
    )
    assert deployed.wait_for_end(started["executionArn"])["error"] == "NotReadyError"
    deployed.check_failure(run, "NotReadyError", described["TableArn"], deployed.table_arn)


def test_an_export_from_before_the_stream_is_refused(deployed: Deployed, run: str) -> None:
    deployed.put(make_items(4))
    export = deployed.export()
    wait_for_next_second()  # its time is a whole one
    deployed.replace_stream()
    view = deployed.backfill(run, "--export-arn", export.arn, status=1)
    assert view["failure"]["error"] == "NotReadyError"
    deployed.check_failure(run, "NotReadyError", "before the table's stream was switched on", "Export again")
    assert deployed.hits() == {}
