from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dynaurora.dynamodb.source import AwsSource, SourceState
from dynaurora.errors import AccessDeniedError, NotReadyError, ThrottledError
from tests.support.factories import TABLE_ARN
from tests.support.sources import BUCKET, GIVEN, MAPPING_ID, NOW, READY, STREAM_ARN
from tests.unit.exports.test_check_readiness import check

TABLE = {
    "TableArn": TABLE_ARN,
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    "LatestStreamArn": STREAM_ARN,
    "LatestStreamLabel": "2026-11-23T08:00:00.123",
}
MAPPING = {"State": "Enabled", "EventSourceArn": STREAM_ARN, "LastModified": NOW}


@pytest.fixture
def stubs(stub):
    """The two services that are asked, each with answers to give."""
    return stub("dynamodb"), stub("lambda")


def describe(stubs, table, status="ENABLED", mapping=MAPPING):
    dynamodb, functions = stubs
    dynamodb.add_response("describe_table", {"Table": table}, {"TableName": "web_analytics"})
    recovery = {"PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": status}} if status else {}
    dynamodb.add_response(
        "describe_continuous_backups",
        {"ContinuousBackupsDescription": {"ContinuousBackupsStatus": "ENABLED", **recovery}},
    )
    if mapping is None:
        functions.add_client_error("get_event_source_mapping", "ResourceNotFoundException", http_status_code=404)
    else:
        functions.add_response("get_event_source_mapping", mapping, {"UUID": MAPPING_ID})
    return AwsSource("web_analytics", MAPPING_ID).describe()


def test_the_source_is_described_by_aws(stubs):
    assert describe(stubs, TABLE) == replace(
        READY,
        stream_view="NEW_IMAGE",
        stream_enabled_at=datetime(2026, 11, 23, 8, 0, 0, 123_000, tzinfo=UTC),
        mapping_changed_at=NOW,
    )


@pytest.mark.parametrize(
    ("default", "key"),
    [
        ({"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "arn:own"}, "arn:own"),
        ({"SSEAlgorithm": "aws:kms"}, "alias/aws/s3"),
        ({"SSEAlgorithm": "AES256"}, "alias/aws/s3"),
    ],
)
def test_the_key_of_an_export_is_the_buckets(stub, default, key):
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}]}
    stub("s3").add_response("get_bucket_encryption", {"ServerSideEncryptionConfiguration": rules}, {"Bucket": BUCKET})
    assert AwsSource("web_analytics", MAPPING_ID).find_key(BUCKET) == key


@pytest.mark.parametrize("status", ["DISABLED", None])
def test_recovery_is_off_where_it_is_not_said_to_be_on(stubs, status):
    assert not describe(stubs, TABLE, status).recovery


@pytest.mark.parametrize(
    "stream", [{}, {"StreamSpecification": {"StreamEnabled": False}}], ids=["none ever", "switched off"]
)
def test_a_stream_that_is_off_is_none(stubs, stream):
    state = describe(stubs, {"TableArn": TABLE_ARN, "LatestStreamArn": STREAM_ARN, **stream})
    assert (state.stream_arn, state.stream_enabled_at) == (None, None)


@pytest.mark.parametrize("label", [None, "first", ""])
def test_a_label_without_a_time_says_nothing(stubs, label):
    table = TABLE | ({"LatestStreamLabel": label} if label is not None else {})
    if label is None:
        table.pop("LatestStreamLabel")
    state = describe(stubs, table)
    assert (state.stream_arn, state.stream_enabled_at) == (STREAM_ARN, None)


def test_a_table_that_aws_does_not_know_is_not_there(stubs):
    stubs[0].add_client_error("describe_table", "ResourceNotFoundException", http_status_code=400)
    assert AwsSource("web_analytics", MAPPING_ID).describe() == SourceState("web_analytics")


def test_a_mapping_that_aws_does_not_know_is_not_there(stubs):
    state = describe(stubs, TABLE, mapping=None)
    assert (state.mapping, state.mapping_state, state.mapping_stream_arn) == (MAPPING_ID, None, None)


@pytest.mark.parametrize(
    ("code", "error"), [("ThrottlingException", ThrottledError), ("AccessDeniedException", AccessDeniedError)]
)
def test_an_answer_that_is_no_description_is_one_of_our_errors(stubs, code, error):
    stubs[0].add_client_error("describe_table", code, http_status_code=400)
    with pytest.raises(error):
        AwsSource("web_analytics", MAPPING_ID).describe()


def test_an_export_of_another_table_is_named():
    other = GIVEN.replace("web_analytics", "orders")
    with pytest.raises(NotReadyError, match="orders/export/01700000000000-abcdef12 is of another table"):
        check(export_arn=other)
