"""Table exports: what AWS writes to S3, of the table as it was at the time that was asked for."""

import base64
import contextlib
import gzip
import hashlib
import json
import math
import re
import threading
import time
import uuid
from datetime import UTC, datetime

import pytest

from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

MD5 = "md5Checksum"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory, run_emulator):
    """An emulator with short exports, short windows and small files."""
    settings = {
        "DYNAURORA_EXPORT_SECONDS": "0.1",
        "DYNAURORA_EXPORT_WINDOW_SECONDS": "1",
        "DYNAURORA_EXPORT_FILE_BYTES": "4000",
    }
    with run_emulator(tmp_path_factory.mktemp("exports"), **settings) as running:
        yield running


@pytest.fixture
def bucket(emulator):
    return emulator.create_bucket()


class Table:
    """A table with a sort key and short ways to write to it and export it."""

    def __init__(self, emulator, bucket):
        self.emulator, self.bucket = emulator, bucket
        self.client = emulator.client("dynamodb")
        self.name = f"table-{uuid.uuid4().hex[:12]}"
        self.arn = self.client.create_table(
            TableName=self.name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}],
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "n", "AttributeType": "N"},
            ],
        )["TableDescription"]["TableArn"]

    def set_recovery(self, enabled, **more):
        specification = {"PointInTimeRecoveryEnabled": enabled, **more}
        self.client.update_continuous_backups(TableName=self.name, PointInTimeRecoverySpecification=specification)

    def recovery(self):
        description = self.client.describe_continuous_backups(TableName=self.name)
        return description["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]

    def put(self, value, *identifiers):
        for identifier in identifiers:
            self.client.put_item(TableName=self.name, Item=item(identifier, value))

    def delete(self, *identifiers):
        for identifier in identifiers:
            self.client.delete_item(TableName=self.name, Key=key(identifier))

    def start(self, **settings):
        request = {"TableArn": self.arn, "S3Bucket": self.bucket, **settings}
        return self.client.export_table_to_point_in_time(**request)["ExportDescription"]

    def finish(self, started):
        def describe():
            found = self.client.describe_export(ExportArn=started["ExportArn"])["ExportDescription"]
            return found if found["ExportStatus"] != "IN_PROGRESS" else None

        return self.emulator.wait_until(describe)

    def export(self, **settings):
        """Export and wait; the description and the records."""
        description = self.finish(self.start(**settings))
        assert description["ExportStatus"] == "COMPLETED", description
        return description, read_records(self.emulator, description)

    def values(self, **settings):
        """Export; value by identifier."""
        _, records = self.export(**settings)
        return {record["Item"]["id"]["S"]: record["Item"]["v"]["S"] for record in records}

    def changes(self, start, end, **specification):
        """Export the changes of a window; them by identifier."""
        specification = {"ExportFromTime": start, "ExportToTime": end, **specification}
        _, records = self.export(ExportType="INCREMENTAL_EXPORT", IncrementalExportSpecification=specification)
        assert len({record["Keys"]["id"]["S"] for record in records}) == len(records)
        return {record["Keys"]["id"]["S"]: record for record in records}


@pytest.fixture
def table(emulator, bucket):
    table = Table(emulator, bucket)
    table.set_recovery(True)
    return table


def key(identifier):
    return {"id": {"S": identifier}, "n": {"N": "1"}}


def item(identifier, value):
    return key(identifier) | {"v": {"S": value}}


def read_manifests(emulator, description):
    """The summary and the lines of the files' manifest, their checksums compared."""
    s3 = emulator.client("s3")

    def read(object_key):
        content = s3.get_object(Bucket=description["S3Bucket"], Key=object_key)["Body"].read()
        checksum = object_key.removesuffix(".json") + ".md5"
        assert s3.get_object(Bucket=description["S3Bucket"], Key=checksum)["Body"].read() == base64_md5(content)
        return content

    summary = json.loads(read(description["ExportManifest"]))
    return summary, [json.loads(line) for line in read(summary["manifestFilesS3Key"]).splitlines()]


def base64_md5(content):
    return base64.b64encode(hashlib.md5(content).digest())


def read_records(emulator, description):
    """All records, after a comparison of each file with the manifest."""
    s3 = emulator.client("s3")
    records = []
    for file in read_manifests(emulator, description)[1]:
        found = s3.get_object(Bucket=description["S3Bucket"], Key=file["dataFileS3Key"])
        content = found["Body"].read()
        assert file[MD5].encode() == base64_md5(content)
        assert file["etag"] == found["ETag"].strip('"')
        assert found["ServerSideEncryption"] == {"KMS": "aws:kms"}.get(description["S3SseAlgorithm"], "AES256")
        lines = gzip.decompress(content).splitlines(keepends=True)
        assert len(lines) == file["itemCount"]
        assert all(line.endswith(b"\n") for line in lines)
        records += map(json.loads, lines)
    assert len(records) == description["ItemCount"]
    return records


def next_second():
    """Wait for the next whole second; it."""
    second = int(time.time()) + 1
    wait_until(lambda: time.time() >= second)
    return second


def seconds_since(second):
    """Wait for a second, and return how many it is then: writing takes a loaded machine more than one."""
    time.sleep(1)
    return math.ceil(time.time() - second)


@pytest.mark.parametrize("prefix", [None, "exports/run=a b+c/é"])
def test_layout_and_summary(emulator, table, bucket, prefix):
    table.put("x", *(f"item-{number}" for number in range(20)))
    description, records = table.export(**({"S3Prefix": prefix} if prefix else {}))
    root = f"{prefix}/AWSDynamoDB" if prefix else "AWSDynamoDB"
    assert re.fullmatch(re.escape(table.arn) + r"/export/\d{14}-[0-9a-f]{8}", description["ExportArn"])
    folder = f"{root}/{description['ExportArn'].rpartition('/')[2]}"
    assert description["ExportManifest"] == f"{folder}/manifest-summary.json"
    summary, files = read_manifests(emulator, description)
    names = ["_started", "manifest-files.json", "manifest-files.md5", "manifest-summary.json", "manifest-summary.md5"]
    data = {file["dataFileS3Key"] for file in files}
    objects = emulator.objects(bucket)
    assert set(objects) == {f"{folder}/{name}" for name in names} | data
    assert objects[f"{folder}/_started"] == b""
    assert all(re.fullmatch(re.escape(folder) + r"/data/[a-z2-7]{26}\.json\.gz", name) for name in data)
    assert all(re.fullmatch(r"[0-9a-f]{32}-1", file["etag"]) for file in files)
    assert 0 in {file["itemCount"] for file in files}
    assert sum(file["itemCount"] > 0 for file in files) > 1
    assert sorted(record["Item"]["id"]["S"] for record in records) == sorted(f"item-{n}" for n in range(20))
    assert summary == {
        "version": "2023-08-01",
        "exportArn": description["ExportArn"],
        "startTime": to_text(description["StartTime"]),
        "endTime": to_text(description["EndTime"]),
        "tableArn": table.arn,
        "tableId": table.client.describe_table(TableName=table.name)["Table"]["TableId"],
        "exportTime": to_text(description["ExportTime"]),
        "s3Bucket": bucket,
        "s3Prefix": prefix,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"{folder}/manifest-files.json",
        "billedSizeBytes": description["BilledSizeBytes"],
        "itemCount": 20,
        "outputFormat": "DYNAMODB_JSON",
        "exportType": "FULL_EXPORT",
    }


def to_text(instant):
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_every_type_comes_out_as_it_went_in(table):
    kept = key("a") | {
        "s": {"S": 'é \u2028 😀 "\\'},
        "n2": {"N": "12345678901234567890123456789012345678"},
        "b": {"B": b"\x00\xff"},
        "null": {"NULL": True},
        "m": {"M": {"l": {"L": [{"BOOL": False}, {"M": {}}, {"L": []}, {"S": ""}]}}},
        "ss": {"SS": ["x", "y"]},
        "bs": {"BS": [b"\x01"]},
    }
    table.client.put_item(TableName=table.name, Item=kept)
    _, (record,) = table.export()
    kept["b"] = {"B": "AP8="}
    kept["bs"] = {"BS": ["AQ=="]}
    assert record == {"Item": kept}


def test_more_data_makes_more_files_and_a_partition_is_in_one_of_them(emulator, table):
    table.put("x" * 200, *(f"item-{number}" for number in range(100)))
    for number in range(2, 6):
        table.client.put_item(TableName=table.name, Item=item("item-0", "y") | {"n": {"N": str(number)}})
    description, _ = table.export()
    files = read_manifests(emulator, description)[1]
    assert len(files) == 8  # 26 kB in files of 4 kB, and an empty one
    homes = set()
    for file in files:
        content = emulator.objects(description["S3Bucket"], file["dataFileS3Key"])[file["dataFileS3Key"]]
        if b'"item-0"' in gzip.decompress(content):
            homes.add(file["dataFileS3Key"])
    assert len(homes) == 1


def test_an_empty_table_has_empty_files(emulator, table):
    description, records = table.export()
    assert records == []
    assert {file["itemCount"] for file in read_manifests(emulator, description)[1]} == {0}
    assert description["BilledSizeBytes"] == 0


def test_the_table_as_it_was(emulator, bucket):
    table = Table(emulator, bucket)
    table.put("base", "kept", "updated", "deleted", "deleted and put")
    table.set_recovery(True)
    switched_on = int(time.time())
    first = next_second()
    table.put("1", "updated", "put", "put and deleted")
    table.delete("deleted", "deleted and put")
    second = next_second()
    table.put("2", "updated", "deleted and put")
    table.delete("put and deleted")
    base = dict.fromkeys(("kept", "updated", "deleted", "deleted and put"), "base")
    assert table.values(ExportTime=switched_on) == base
    assert table.values(ExportTime=first) == base
    at_second = {"kept": "base", "updated": "1", "put": "1", "put and deleted": "1"}
    assert table.values(ExportTime=second) == at_second
    assert table.values(ExportTime=datetime.fromtimestamp(second + 0.9, UTC)) == at_second
    assert table.values() == {"kept": "base", "updated": "2", "put": "1", "deleted and put": "2"}


def test_every_way_to_write_is_known(table):
    client, name = table.client, table.name
    names = ("batch", "transaction", "statement", "update", "expired", "batch deleted")
    table.put("old", *names)
    then = next_second()
    client.batch_write_item(
        RequestItems={
            name: [
                {"PutRequest": {"Item": item("batch", "new")}},
                {"DeleteRequest": {"Key": key("batch deleted")}},
            ]
        }
    )
    update = {
        "TableName": name,
        "UpdateExpression": "SET v = :v",
        "ExpressionAttributeValues": {":v": {"S": "new"}},
    }
    client.transact_write_items(TransactItems=[{"Update": {**update, "Key": key("transaction")}}])
    client.execute_statement(Statement=f"UPDATE \"{name}\" SET v='new' WHERE id='statement' AND n=1")
    client.update_item(**update, Key=key("update"))
    setting = {"Enabled": True, "AttributeName": "expires"}
    client.update_time_to_live(TableName=name, TimeToLiveSpecification=setting)
    client.put_item(TableName=name, Item=item("expired", "new") | {"expires": {"N": "1"}})
    table.emulator.wait_until(lambda: "Item" not in client.get_item(TableName=name, Key=key("expired")))
    assert table.values(ExportTime=then) == dict.fromkeys(names, "old")
    assert table.values() == dict.fromkeys(("batch", "transaction", "statement", "update"), "new")


def test_a_transaction_that_is_rolled_back_was_never_there(table):
    table.put("old", "a")
    start = next_second()
    statements = [
        {"Statement": f"UPDATE \"{table.name}\" SET v='new' WHERE id='a' AND n=1"},
        {"Statement": f"UPDATE \"{table.name}\" SET v='new' WHERE id='missing' AND n=1"},
    ]
    with pytest.raises(table.client.exceptions.TransactionCanceledException):
        table.client.execute_transaction(TransactStatements=statements)
    table.put("new", "b")
    assert set(table.changes(start, next_second())) == {"b"}
    assert table.values(ExportTime=start) == {"a": "old"}
    assert table.values() == {"a": "old", "b": "new"}


def test_writing_goes_on_while_an_export_runs(table):
    table.put("old", *(f"item-{number}" for number in range(200)))
    then = next_second()
    stop = threading.Event()

    def write():
        for number in range(200):
            if stop.is_set():
                break
            table.delete(f"item-{number}") if number % 2 else table.put("new", f"item-{number}")
            table.put("new", f"later-{number}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = [table.values(ExportTime=then) for _ in range(2)]
    finally:
        stop.set()
        writer.join()
    assert seen == [{f"item-{number}": "old" for number in range(200)}] * 2


def test_in_progress_first(emulator, table, error_of):
    started = table.start(ClientToken="token")
    assert started["ExportStatus"] == "IN_PROGRESS"
    assert started["ClientToken"] == "token"
    assert not {"EndTime", "ItemCount", "ExportManifest"} & set(started)
    listed = table.client.list_exports(TableArn=table.arn)["ExportSummaries"]
    arn = started["ExportArn"]
    assert listed == [{"ExportArn": arn, "ExportStatus": "IN_PROGRESS", "ExportType": "FULL_EXPORT"}]
    assert table.finish(started)["EndTime"] > started["StartTime"]
    assert table.client.list_exports(TableArn=table.arn)["ExportSummaries"][0]["ExportStatus"] == "COMPLETED"
    assert error_of(table.client.describe_export, ExportArn=arn[:-1] + "x") == "ExportNotFoundException"


def test_client_token(table, error_of):
    then = int(time.time())
    first = table.start(ClientToken="a", ExportTime=then)
    assert table.start(ClientToken="a", ExportTime=then)["ExportArn"] == first["ExportArn"]
    finished = table.finish(first)
    assert table.start(ClientToken="a", ExportTime=then) == finished
    assert error_of(table.start, ClientToken="a", ExportTime=then, S3Prefix="x") == "ExportConflictException"
    assert table.start(ClientToken="b", ExportTime=then)["ExportArn"] != first["ExportArn"]
    assert len(table.client.list_exports(TableArn=table.arn)["ExportSummaries"]) == 2


def test_recovery_is_needed_and_its_window_holds(emulator, bucket, error_of):
    table = Table(emulator, bucket)
    assert error_of(table.start) == "PointInTimeRecoveryUnavailableException"
    assert error_of(table.client.describe_continuous_backups, TableName="missing") == "TableNotFoundException"
    assert table.recovery() == {"PointInTimeRecoveryStatus": "DISABLED"}
    began = time.time()
    table.set_recovery(True, RecoveryPeriodInDays=7)
    recovery = table.recovery()
    assert recovery["RecoveryPeriodInDays"] == 7
    earliest = recovery["EarliestRestorableDateTime"].timestamp()
    assert began - 1 <= earliest <= recovery["LatestRestorableDateTime"].timestamp()
    assert error_of(table.start, ExportTime=earliest - 1) == "InvalidExportTimeException"
    assert error_of(table.start, ExportTime=time.time() + 3600) == "InvalidExportTimeException"
    assert table.values(ExportTime=earliest) == {}
    table.put("x", "a")
    next_second()
    table.set_recovery(False)
    assert error_of(table.start) == "PointInTimeRecoveryUnavailableException"
    table.set_recovery(True)
    assert error_of(table.start, ExportTime=earliest) == "InvalidExportTimeException"
    assert table.values() == {"a": "x"}


def test_a_table_of_the_same_name_has_its_own_past(table, error_of):
    table.put("x", "a")
    definition = table.client.describe_table(TableName=table.name)["Table"]
    table.client.delete_table(TableName=table.name)
    assert error_of(table.start) == "TableNotFoundException"
    kept = ("TableName", "KeySchema", "AttributeDefinitions")
    table.client.create_table(BillingMode="PAY_PER_REQUEST", **{name: definition[name] for name in kept})
    assert error_of(table.start) == "PointInTimeRecoveryUnavailableException"
    table.set_recovery(True)
    assert table.values(ExportTime=int(time.time())) == {}


def test_what_is_refused(table, error_of):
    for wrong in ({"ExportFormat": "ION"}, {"ExportType": "x"}, {"ExportType": "INCREMENTAL_EXPORT"}):
        assert error_of(table.start, **wrong) == "ValidationException"
    second = int(time.time()) - 1  # whole, as they are sent: half a second more is then the same one
    window = {"ExportFromTime": second, "ExportToTime": second}
    for end in (0, 0.5, 90_000):
        request = {"IncrementalExportSpecification": window | {"ExportToTime": window["ExportFromTime"] + end}}
        assert error_of(table.start, ExportType="INCREMENTAL_EXPORT", **request) == "ValidationException"
    window = {"ExportFromTime": time.time() - 60, "ExportToTime": time.time()}
    request = {"IncrementalExportSpecification": window}
    assert error_of(table.start, ExportType="INCREMENTAL_EXPORT", **request) == "InvalidExportTimeException"


def test_a_missing_bucket_fails_the_export(table):
    started = table.start(S3Bucket="no-such-bucket")
    assert started["ExportStatus"] == "IN_PROGRESS"
    failed = table.finish(started)
    assert (failed["ExportStatus"], failed["FailureCode"]) == ("FAILED", "S3NoSuchBucket")
    assert failed["FailureMessage"] == "The specified bucket does not exist"
    assert not {"ItemCount", "ExportManifest"} & set(failed)


def test_encryption_is_passed_on(table):
    table.put("x", "a")
    description, _ = table.export(S3SseAlgorithm="KMS", S3SseKmsKeyId="alias/mine")
    assert (description["S3SseAlgorithm"], description["S3SseKmsKeyId"]) == ("KMS", "alias/mine")


def test_changes_of_a_window(emulator, table):
    table.put("old", "updated", "deleted", "untouched", "later")
    start = next_second()
    table.put("1", "updated")
    table.put("new", "updated", "inserted", "inserted and deleted", "rewritten")
    table.put("old", "untouched")  # which changes nothing
    table.delete("deleted", "inserted and deleted", "rewritten")
    table.put("final", "rewritten")
    end = next_second()
    table.put("later", "later", "updated", "too late")
    changes = table.changes(start, end)
    assert set(changes) == {"updated", "deleted", "inserted", "rewritten"}
    for change in changes.values():
        (kind, micros) = change.pop("Metadata")["WriteTimestampMicros"].popitem()
        assert (kind, start <= int(micros) / 1e6 < end) == ("N", True)
    expected = {
        "updated": {"OldImage": item("updated", "old"), "NewImage": item("updated", "new")},
        "deleted": {"OldImage": item("deleted", "old")},
        "inserted": {"NewImage": item("inserted", "new")},
        "rewritten": {"NewImage": item("rewritten", "final")},
    }
    assert changes == {name: {"Keys": key(name), **images} for name, images in expected.items()}
    without_old = table.changes(start, end, ExportViewType="NEW_IMAGE")
    assert set(without_old["deleted"]) == {"Metadata", "Keys"}
    assert set(without_old["updated"]) == {"Metadata", "Keys", "NewImage"}


def test_layout_and_summary_of_an_incremental_export(emulator, table, bucket):
    start = next_second()
    table.put("x", "a")
    end = next_second()
    for view in ("NEW_AND_OLD_IMAGES", "NEW_IMAGE"):
        window = {"ExportFromTime": start, "ExportToTime": end, "ExportViewType": view}
        description, records = table.export(
            S3Prefix="p", ExportType="INCREMENTAL_EXPORT", IncrementalExportSpecification=window
        )
        assert len(records) == 1
        assert description["IncrementalExportSpecification"]["ExportViewType"] == view
        summary, files = read_manifests(emulator, description)
        export_id = description["ExportArn"].rpartition("/")[2]
        assert description["ExportManifest"] == f"p/AWSDynamoDB/{export_id}/manifest-summary.json"
        assert all(file["dataFileS3Key"].startswith("p/AWSDynamoDB/data/") for file in files)
        assert 0 in {file["itemCount"] for file in files}
        assert summary["version"] == "2023-08-01"
        assert (summary["exportType"], summary["outputView"]) == ("INCREMENTAL_EXPORT", view)
        expected = [to_text(datetime.fromtimestamp(second, UTC)) for second in (start, end)]
        assert [summary["exportFromTime"], summary["exportToTime"]] == expected
        assert "exportTime" not in summary
    assert len(emulator.objects(bucket, "p/AWSDynamoDB/data/")) == 2 * len(files)


def test_the_cut_can_be_off_by_a_minute(emulator, table):
    table.put("1", "a")
    then = next_second()
    table.put("2", "a", "b")
    with faults(emulator, shift_export_cut_seconds=60):
        assert table.values(ExportTime=then) == {"a": "2", "b": "2"}
    with faults(emulator, shift_export_cut_seconds=-60):
        assert table.values(ExportTime=then) == {}
    assert table.values(ExportTime=then) == {"a": "1"}


def test_each_item_can_have_a_cut_of_its_own(emulator, table):
    pages = [f"page-{number:02}" for number in range(40)]
    table.put("1", *pages)
    then = next_second()
    table.put("2", *pages)
    with faults(emulator, spread_export_cuts_seconds=seconds_since(then)):
        values = table.values(ExportTime=then)
    assert set(values) <= set(pages)
    assert set(values.values()) == {"1", "2"}
    assert table.values(ExportTime=then) == dict.fromkeys(pages, "1")


def test_either_end_of_a_window_can_be_of_each_items_own(emulator, table):
    pages = [f"page-{number:02}" for number in range(60)]
    start = next_second()
    table.put("1", *pages)
    end = next_second()
    table.put("2", *pages)
    with faults(emulator, spread_export_cuts_seconds=seconds_since(end)):
        changes = table.changes(start, end)
    assert {change["NewImage"]["v"]["S"] for change in changes.values()} == {"1", "2"}
    assert {change["NewImage"]["v"]["S"] for change in table.changes(start, end).values()} == {"1"}


def test_writes_and_recovery_can_be_made_to_be_of_minutes_ago(emulator, bucket):
    table, now = Table(emulator, bucket), int(time.time())
    table.put("before", "a", "b")
    with faults(emulator, age_recovery_seconds=3600, age_writes_seconds=600):
        table.set_recovery(True)
        assert table.recovery()["EarliestRestorableDateTime"].timestamp() <= now - 3599
        table.put("after", "a")
        table.delete("b")
        changes = table.changes(now - 3000, now - 300)
        assert table.changes(now - 3000, now - 900) == table.changes(now - 300, now - 10) == {}
        assert table.values(ExportTime=now - 900) == {"a": "before", "b": "before"}
    assert {name: "NewImage" in change for name, change in changes.items()} == {"a": True, "b": False}
    written = int(changes["a"]["Metadata"]["WriteTimestampMicros"]["N"]) // 1_000_000
    assert now - 600 <= written <= time.time() - 600


def test_an_export_can_be_made_to_fail(emulator, table):
    with faults(emulator, fail_exports=1):
        assert table.finish(table.start())["FailureCode"] == "InternalServerError"
    assert table.values() == {}


def test_an_export_ends_no_sooner_than_it_is_let(emulator, table):
    with faults(emulator, hold_exports=1):
        started = table.start()
        time.sleep(0.7)  # longer than an export takes
        described = table.client.describe_export(ExportArn=started["ExportArn"])["ExportDescription"]
        assert described["ExportStatus"] == "IN_PROGRESS"
    assert table.finish(started)["ExportStatus"] == "COMPLETED"


def test_a_state_machine_can_start_and_describe_an_export(emulator, table):
    table.put("x", "a")
    then = next_second()
    states = {
        "Start": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:dynamodb:exportTableToPointInTime",
            "Parameters": {
                "TableArn": table.arn,
                "S3Bucket": table.bucket,
                "ExportTime": to_text(datetime.fromtimestamp(then, UTC)),
                "ClientToken.$": "$$.Execution.Name",
            },
            "Next": "Describe",
        },
        "Describe": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:dynamodb:describeExport",
            "Parameters": {"ExportArn.$": "$.ExportDescription.ExportArn"},
            "End": True,
        },
    }
    step_functions = emulator.client("stepfunctions")
    arn = step_functions.create_state_machine(
        name=table.name,
        roleArn="arn:aws:iam::000000000000:role/anything",
        definition=json.dumps({"StartAt": "Start", "States": states}),
    )["stateMachineArn"]
    execution = step_functions.start_execution(stateMachineArn=arn)["executionArn"]

    def ended():
        found = step_functions.describe_execution(executionArn=execution)
        return found if found["status"] != "RUNNING" else None

    found = emulator.wait_until(ended)
    assert found["status"] == "SUCCEEDED", found
    description = json.loads(found["output"])["ExportDescription"]
    assert description["ExportStatus"] == "IN_PROGRESS"
    finished = table.finish(description)
    assert finished["ExportTime"].timestamp() == then
    assert [record["Item"] for record in read_records(emulator, finished)] == [item("a", "x")]


EXPORT = """
import boto3
dynamodb = boto3.client("dynamodb")
def handler(event, context):
    try:
        arn = dynamodb.export_table_to_point_in_time(**event)["ExportDescription"]["ExportArn"]
        return dynamodb.describe_export(ExportArn=arn)["ExportDescription"]["ExportArn"]
    except dynamodb.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
"""


def test_with_authorization_a_role_decides(start_emulator):
    emulator = start_emulator(AUTH="true", DYNAURORA_EXPORT_SECONDS="0")
    table = Table(emulator, emulator.create_bucket())
    table.set_recovery(True)
    iam = emulator.client("iam")
    arns = {}
    for name, actions in {"exports": ["ExportTableToPointInTime", "DescribeExport"], "idles": ["GetItem"]}.items():
        trusted = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trusted]}))["Role"]
        allowed = [f"dynamodb:{action}" for action in actions]
        statement = {"Effect": "Allow", "Action": allowed, "Resource": [table.arn, f"{table.arn}/export/*"]}
        iam.put_role_policy(RoleName=name, PolicyName="x", PolicyDocument=json.dumps({"Statement": [statement]}))
        function = emulator.create_function(EXPORT, Role=role["Arn"])
        arns[name], _ = emulator.invoke(function, {"TableArn": table.arn, "S3Bucket": table.bucket})
    assert arns["idles"] == "AccessDeniedException"
    assert table.finish({"ExportArn": arns["exports"]})["ExportStatus"] == "COMPLETED"


@contextlib.contextmanager
def faults(emulator, **settings):
    emulator.set_faults(**settings)
    try:
        yield
    finally:
        emulator.set_faults(**dict.fromkeys(settings, 0))
