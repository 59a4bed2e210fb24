"""Exports: those that a run makes, and those that it is given."""

import json
import uuid

import pytest

from dynaurora import keys
from tests.integration.backfill.deployed import (
    EXPORTS_BUCKET,
    MAPPING,
    Deployed,
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
