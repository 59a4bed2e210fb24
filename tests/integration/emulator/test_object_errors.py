"""S3 that turns requests away, and whose events come twice."""

import json
import uuid

import pytest

pytestmark = pytest.mark.integration


def test_requests_for_objects_are_turned_away_on_demand(emulator, error_of):
    s3, bucket = emulator.client("s3"), emulator.create_bucket()
    s3.put_object(Bucket=bucket, Key="a", Body=b"a")
    emulator.set_faults(fail_gets=2, fail_puts=1)
    assert error_of(s3.put_object, Bucket=bucket, Key="a", Body=b"b") == "SlowDown"
    s3.list_objects_v2(Bucket=bucket)
    assert error_of(s3.get_object, Bucket=bucket, Key="a") == "SlowDown"
    assert error_of(s3.head_object, Bucket=bucket, Key="a") == "503"  # an answer to HEAD has no body to say more
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"a"


def test_the_objects_of_a_registry_are_listed_as_older_on_demand(emulator):
    s3, bucket = emulator.client("s3"), emulator.create_bucket()
    for key in ("mappings/mapping=a/current.json", "batches/mappings/b"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"a")
    before = {found["Key"]: found["LastModified"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    emulator.set_faults(age_mappings_seconds=3600)
    after = {found["Key"]: found["LastModified"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    emulator.set_faults(age_mappings_seconds=0)
    assert {key: round((before[key] - after[key]).total_seconds()) for key in before} == {
        "mappings/mapping=a/current.json": pytest.approx(3600, abs=2),
        "batches/mappings/b": 0,
    }


def test_parts_of_uploads_are_turned_away_too(emulator, error_of):
    s3, bucket = emulator.client("s3"), emulator.create_bucket()
    emulator.set_faults(fail_puts=1)
    assert error_of(s3.create_multipart_upload, Bucket=bucket, Key="a") == "SlowDown"
    upload = {"Bucket": bucket, "Key": "a", "UploadId": s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]}
    emulator.set_faults(fail_puts=1)
    assert error_of(s3.upload_part, **upload, PartNumber=1, Body=b"a") == "SlowDown"
    s3.abort_multipart_upload(**upload)


def test_events_of_objects_come_twice_on_demand(emulator):
    s3, events, sqs = (emulator.client(service) for service in ("s3", "events", "sqs"))
    bucket, name = emulator.create_bucket(), f"rule-{uuid.uuid4().hex[:8]}"
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(
        Name=name, EventPattern=json.dumps({"source": ["aws.s3"], "detail": {"bucket": {"name": [bucket]}}})
    )
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    emulator.set_faults(duplicate_events=1)
    for key in ("first", "second"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
        emulator.wait_until(lambda key=key: count_messages(sqs, queue) >= {"first": 2, "second": 3}[key])
    assert count_messages(sqs, queue) == 3


def count_messages(sqs, queue):
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"])


@pytest.mark.parametrize(
    ("stop", "start", "code"),
    [
        ("disable_key", "enable_key", "KMS.DisabledException"),
        ("schedule_key_deletion", "cancel_key_deletion", "KMS.KMSInvalidStateException"),
    ],
)
def test_objects_are_neither_read_nor_written_while_their_key_cannot_be_used(emulator, error_of, stop, start, code):
    s3, kms, bucket = emulator.client("s3"), emulator.client("kms"), emulator.create_bucket()
    key = kms.create_key()["KeyMetadata"]["Arn"]
    s3.put_object(Bucket=bucket, Key="open", Body=b"a")
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    s3.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": default}]},
    )
    s3.put_object(Bucket=bucket, Key="a", Body=b"a")
    source = {"Bucket": bucket, "Key": "a"}
    getattr(kms, stop)(KeyId=key)
    assert error_of(s3.get_object, **source) == code
    assert error_of(s3.put_object, Bucket=bucket, Key="b", Body=b"b") == code
    assert error_of(s3.create_multipart_upload, Bucket=bucket, Key="b") == code
    assert error_of(s3.copy_object, Bucket=bucket, Key="b", CopySource=source) == code
    assert s3.head_object(**source)["ContentLength"] == 1
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["a", "open"]
    assert s3.get_object(Bucket=bucket, Key="open")["Body"].read() == b"a", "it has no key of KMS's"
    getattr(kms, start)(KeyId=key)
    kms.enable_key(KeyId=key)  # one whose deletion is cancelled is disabled
    assert s3.get_object(**source)["Body"].read() == b"a"
