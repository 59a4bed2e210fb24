"""Event source mappings of DynamoDB streams keep Lambda's contract.

The functions record what they are given as objects in a bucket: one per invocation, named by its time, holding the
items' identifiers. Items whose identifier starts with "bad" fail.
"""

import json
import re
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

pytestmark = pytest.mark.integration

RECORDING = """
import boto3, json, time
s3 = boto3.client("s3")

def record(bucket, event):
    identifiers = [r["dynamodb"]["Keys"]["id"]["S"] for r in event["Records"]]
    s3.put_object(Bucket=bucket, Key=f"calls/{time.time_ns()}", Body=json.dumps(identifiers))
    return identifiers
"""

FAILS_BY_EXCEPTION = """
from recording import record
def handler(event, context):
    if any(identifier.startswith("bad") for identifier in record("BUCKET", event)):
        raise ValueError("bad item")
"""

REPORTS_ITEMS = """
from recording import record
def handler(event, context):
    given = zip(record("BUCKET", event), event["Records"])
    failed = [r["dynamodb"]["SequenceNumber"] for identifier, r in given if identifier.startswith("bad")]
    return {"batchItemFailures": [{"itemIdentifier": number} for number in reversed(failed)]}
"""


class Pipeline:
    """A table, a function that records its invocations, and a mapping between them."""

    def __init__(self, emulator, source, **settings):
        self.emulator = emulator
        self.bucket = emulator.create_bucket()
        self.table, self.stream = emulator.create_table()
        self.function = emulator.create_function(
            source.replace("BUCKET", self.bucket), files={"recording.py": RECORDING}
        )
        settings = {"StartingPosition": "TRIM_HORIZON", "BatchSize": 10} | settings
        if settings.pop("to_bucket", False):
            settings["DestinationConfig"] = {"OnFailure": {"Destination": f"arn:aws:s3:::{self.bucket}"}}
        self.settings = settings

    def map(self):
        """Create the mapping, once the items are there, so that batches are what a test expects."""
        self.mapping = self.emulator.client("lambda").create_event_source_mapping(
            FunctionName=self.function, EventSourceArn=self.stream, **self.settings
        )["UUID"]
        return self

    def put(self, *identifiers):
        self.emulator.put_items(self.table, *identifiers)
        return self

    def calls(self):
        return [json.loads(body) for _, body in sorted(self.emulator.objects(self.bucket, "calls/").items())]

    def discarded(self):
        return self.emulator.objects(self.bucket, "aws/lambda/")

    def wait_for_calls(self, expected):
        self.emulator.wait_until(lambda: len(self.calls()) >= len(expected))
        assert self.calls() == expected

    def wait_for(self, identifier):
        """Wait until an item written after the first invocation has been given to the function too."""
        self.emulator.wait_until(self.calls)
        self.put(identifier)
        self.emulator.wait_until(lambda: any(identifier in call for call in self.calls()))


def test_batches_hold_what_was_written_in_order(emulator):
    pipeline = Pipeline(emulator, "from recording import record\ndef handler(e, c): record('BUCKET', e)", BatchSize=2)
    pipeline.put("a", "b", "c", "d", "e").map().wait_for_calls([["a", "b"], ["c", "d"], ["e"]])


def test_the_age_of_what_a_function_is_invoked_with_is_measured(emulator):
    pipeline = Pipeline(emulator, REPORTS_ITEMS, BatchSize=2).put("a", "b", "c")
    time.sleep(1)
    pipeline.map().wait_for_calls([["a", "b"], ["c"]])
    now = datetime.now(UTC)
    statistics = emulator.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="IteratorAge",
        Dimensions=[{"Name": "FunctionName", "Value": pipeline.function}],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=1),
        Period=600,
        Statistics=["SampleCount", "Minimum", "Maximum"],
    )["Datapoints"]
    assert sum(each["SampleCount"] for each in statistics) == 2
    assert 1_000 <= min(each["Minimum"] for each in statistics) <= max(each["Maximum"] for each in statistics) < 60_000


def test_a_batch_comes_twice_on_demand(emulator):
    emulator.set_faults(duplicate_invocations=1)
    pipeline = Pipeline(emulator, REPORTS_ITEMS, BatchSize=2).put("a", "b", "c").map()
    pipeline.wait_for_calls([["a", "b"], ["a", "b"], ["c"]])


def test_a_batching_window_waits_for_a_full_batch(emulator):
    pipeline = Pipeline(
        emulator,
        "from recording import record\ndef handler(e, c): record('BUCKET', e)",
        BatchSize=3,
        MaximumBatchingWindowInSeconds=30,
    )
    pipeline.put("a").map().put("b").put("c").wait_for_calls([["a", "b", "c"]])


def test_latest_starts_behind_what_is_there(emulator):
    pipeline = Pipeline(
        emulator, "from recording import record\ndef handler(e, c): record('BUCKET', e)", StartingPosition="LATEST"
    )
    pipeline.put("before").map().put("after").wait_for_calls([["after"]])


def test_a_reported_failure_is_retried_from_the_lowest_sequence_number(emulator):
    pipeline = Pipeline(
        emulator,
        REPORTS_ITEMS,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        MaximumRetryAttempts=1,
        to_bucket=True,
    )
    pipeline.put("a", "bad-1", "c", "bad-2").map()
    # The first attempt settles "a"; the second is the only retry of what is left, which is then given up on together.
    pipeline.wait_for("next")
    assert pipeline.calls() == [["a", "bad-1", "c", "bad-2"], ["bad-1", "c", "bad-2"], ["next"]]
    (document,) = map(json.loads, pipeline.discarded().values())
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert document["DDBStreamBatchInfo"]["batchSize"] == 3


def test_bisecting_isolates_a_reported_item(emulator):
    pipeline = Pipeline(
        emulator,
        REPORTS_ITEMS,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=1,
        to_bucket=True,
    )
    pipeline.put("a", "b", "bad", "c", "d").map().wait_for("next")
    calls = pipeline.calls()
    assert calls[:2] == [["a", "b", "bad", "c", "d"], ["bad", "c", "d"]]
    assert calls.count(["bad"]) == 2  # splitting has used up no retry: one attempt and one retry alone
    assert ["c", "d"] in calls
    (document,) = map(json.loads, pipeline.discarded().values())
    assert document["DDBStreamBatchInfo"]["batchSize"] == 1


def test_bisecting_isolates_an_item_that_raises(emulator):
    pipeline = Pipeline(
        emulator, FAILS_BY_EXCEPTION, BisectBatchOnFunctionError=True, MaximumRetryAttempts=0, to_bucket=True
    )
    pipeline.put("a", "b", "bad", "c").map().wait_for("next")
    assert pipeline.calls() == [["a", "b", "bad", "c"], ["a", "b"], ["bad", "c"], ["bad"], ["c"], ["next"]]
    assert len(pipeline.discarded()) == 1


def test_the_destination_gets_the_whole_invocation(emulator):
    pipeline = Pipeline(emulator, FAILS_BY_EXCEPTION, MaximumRetryAttempts=2, to_bucket=True)
    pipeline.put("bad").map()
    ((key, body),) = emulator.wait_until(pipeline.discarded).items()
    assert pipeline.calls() == [["bad"]] * 3
    document = json.loads(body)
    (record,) = json.loads(document["payload"])["Records"]
    number = record["dynamodb"]["SequenceNumber"]
    shard = document["DDBStreamBatchInfo"]["shardId"]
    moment = r"\d{4}/\d\d/\d\d/\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d"
    assert_matches(rf"aws/lambda/{pipeline.mapping}/{shard}/{moment}-[0-9a-f-]{{36}}", key)
    assert record["dynamodb"]["Keys"] == {"id": {"S": "bad"}}
    assert document["version"] == "1.0"
    assert_matches(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document["timestamp"])
    assert document["requestContext"] | {"requestId": ""} == {
        "requestId": "",
        "functionArn": emulator.function_arn(pipeline.function),
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 3,
    }
    assert document["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    arrived = document["DDBStreamBatchInfo"].pop("approximateArrivalOfFirstRecord")
    assert_matches(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", arrived)
    assert document["DDBStreamBatchInfo"] == {
        "shardId": shard,
        "startSequenceNumber": number,
        "endSequenceNumber": number,
        "approximateArrivalOfLastRecord": arrived,
        "batchSize": 1,
        "streamArn": pipeline.stream,
    }


def test_a_queue_gets_a_description_only(emulator):
    sqs = emulator.client("sqs")
    queue = sqs.create_queue(QueueName=f"queue-{uuid.uuid4().hex}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pipeline = Pipeline(
        emulator,
        FAILS_BY_EXCEPTION,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": arn}},
    )
    pipeline.put("bad").map()
    (message,) = emulator.wait_until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
    document = json.loads(message["Body"])
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert "payload" not in document


def test_records_that_are_too_old_are_given_up_on(emulator):
    pipeline = Pipeline(emulator, FAILS_BY_EXCEPTION, MaximumRecordAgeInSeconds=3, to_bucket=True)
    pipeline.put("bad").map()
    (document,) = map(json.loads, emulator.wait_until(pipeline.discarded).values())
    assert document["requestContext"]["condition"] == "MaxRecordAgeExceeded"
    pipeline.put("next")
    emulator.wait_until(lambda: any("next" in call for call in pipeline.calls()))


@pytest.mark.parametrize(
    "answer",
    ["None", "{}", "{'batchItemFailures': []}", "{'batchItemFailures': None}", "''"],
)
def test_answers_that_are_a_success(emulator, answer):
    source = f"from recording import record\ndef handler(e, c): record('BUCKET', e); return {answer}"
    pipeline = Pipeline(emulator, source, FunctionResponseTypes=["ReportBatchItemFailures"], MaximumRetryAttempts=0)
    pipeline.put("a", "b").map().wait_for("next")
    assert pipeline.calls() == [["a", "b"], ["next"]]


@pytest.mark.parametrize(
    "failure",
    ["{'itemIdentifier': ''}", "{'itemIdentifier': None}", "{'wrong': 'name'}", "{'itemIdentifier': '1'}", "{}"],
)
def test_answers_that_fail_the_whole_batch(emulator, failure):
    answer = f"{{'batchItemFailures': [{failure}]}}"
    source = f"from recording import record\ndef handler(e, c): record('BUCKET', e); return {answer}"
    pipeline = Pipeline(
        emulator,
        source,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        MaximumRetryAttempts=1,
        to_bucket=True,
    )
    pipeline.put("a", "b").map()
    (document,) = map(json.loads, emulator.wait_until(pipeline.discarded).values())
    assert document["DDBStreamBatchInfo"]["batchSize"] == 2
    assert pipeline.calls() == [["a", "b"], ["a", "b"]]


def test_item_failures_are_ignored_unless_the_mapping_asks_for_them(emulator):
    pipeline = Pipeline(emulator, REPORTS_ITEMS)
    pipeline.put("bad").map().wait_for("next")
    assert pipeline.calls() == [["bad"], ["next"]]


def test_throttling_uses_up_no_retry(emulator):
    pipeline = Pipeline(emulator, FAILS_BY_EXCEPTION, MaximumRetryAttempts=0, to_bucket=True)
    concurrency = {"FunctionName": pipeline.function}
    emulator.client("lambda").put_function_concurrency(**concurrency, ReservedConcurrentExecutions=0)
    pipeline.put("a").map()
    emulator.wait_until(lambda: throttles(emulator, pipeline.function) >= 3)
    emulator.client("lambda").delete_function_concurrency(**concurrency)
    pipeline.wait_for_calls([["a"]])
    assert not pipeline.discarded()


def test_a_poisoned_record_blocks_no_other_mapping(emulator):
    poisoned = Pipeline(emulator, FAILS_BY_EXCEPTION)
    poisoned.put("bad").map()
    emulator.wait_until(lambda: len(poisoned.calls()) >= 2)
    healthy = Pipeline(emulator, FAILS_BY_EXCEPTION)
    healthy.put("a").map().wait_for_calls([["a"]])
    emulator.client("lambda").delete_event_source_mapping(UUID=poisoned.mapping)


def test_a_slow_function_blocks_no_other_mapping(emulator):
    slow = Pipeline(
        emulator, "import time\nfrom recording import record\ndef handler(e, c): record('BUCKET', e); time.sleep(19)"
    )
    slow.put("a").map().wait_for_calls([["a"]])
    quick = Pipeline(emulator, FAILS_BY_EXCEPTION)
    quick.put("a").map().wait_for_calls([["a"]])
    assert len(slow.calls()) == 1


def test_a_disabled_mapping_goes_on_where_it_stopped(emulator):
    pipeline = Pipeline(emulator, FAILS_BY_EXCEPTION)
    pipeline.put("a").map().wait_for_calls([["a"]])
    switch = emulator.client("lambda").update_event_source_mapping
    switch(UUID=pipeline.mapping, Enabled=False)
    pipeline.put("b")
    switch(UUID=pipeline.mapping, Enabled=True)
    pipeline.wait_for_calls([["a"], ["b"]])


def test_a_filter_passes_over_records(emulator):
    pattern = {"dynamodb": {"Keys": {"id": {"S": [{"prefix": "good"}]}}}}
    pipeline = Pipeline(emulator, FAILS_BY_EXCEPTION, FilterCriteria={"Filters": [{"Pattern": json.dumps(pattern)}]})
    pipeline.put("bad", "good-1", "bad-2", "good-2").map().wait_for_calls([["good-1", "good-2"]])


def test_defaults_and_required_settings(emulator, error_of):
    _, stream = emulator.create_table()
    function = emulator.create_function("def handler(event, context): pass")
    create = emulator.client("lambda").create_event_source_mapping
    assert error_of(create, FunctionName=function, EventSourceArn=stream) == "InvalidParameterValueException"
    mapping = create(FunctionName=function, EventSourceArn=stream, StartingPosition="LATEST")
    assert mapping["BatchSize"] == 100
    assert mapping["MaximumRetryAttempts"] == -1
    assert mapping["MaximumRecordAgeInSeconds"] == -1
    assert mapping["BisectBatchOnFunctionError"] is False


def assert_matches(pattern, text):
    assert re.fullmatch(pattern, text), text


def throttles(emulator, function):
    now = datetime.now(UTC)
    points = emulator.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Throttles",
        Dimensions=[{"Name": "FunctionName", "Value": function}],
        StartTime=now - timedelta(minutes=10),
        EndTime=now + timedelta(minutes=1),
        Period=3600,
        Statistics=["Sum"],
    )["Datapoints"]
    return sum(point["Sum"] for point in points)


def test_the_age_of_a_mapping(emulator, start_emulator):
    def read_age(running, client, mapping):
        modified = client.get_event_source_mapping(UUID=mapping)["LastModified"]
        (listed,) = client.list_event_source_mappings()["EventSourceMappings"]
        assert listed["LastModified"] == modified
        return time.time() - modified.timestamp()

    running = start_emulator(DYNAURORA_STREAM_AGE_SECONDS="600")
    client = running.client("lambda")
    function = running.create_function("def handler(event, context): pass")
    _, stream = running.create_table()
    created = client.create_event_source_mapping(
        FunctionName=function, EventSourceArn=stream, StartingPosition="LATEST", Enabled=False
    )
    mapping = created["UUID"]
    assert created["State"] == "Disabled"
    assert 600 <= read_age(running, client, mapping) < 900
    running.set_faults(age_stream_mappings_seconds=0)
    time.sleep(1.1)
    assert 1 <= read_age(running, client, mapping) < 300
    began = time.time()
    assert client.update_event_source_mapping(UUID=mapping, Enabled=True)["State"] == "Enabled"
    assert read_age(running, client, mapping) < 1.1 + time.time() - began


def test_a_table_tells_of_its_stream(emulator):
    dynamodb = emulator.client("dynamodb")
    table, stream = emulator.create_table()
    described = dynamodb.describe_table(TableName=table)["Table"]
    assert described["StreamSpecification"]["StreamEnabled"] is True
    assert stream.endswith(f"/stream/{described['LatestStreamLabel']}")
    age = datetime.now(UTC) - datetime.fromisoformat(described["LatestStreamLabel"]).replace(tzinfo=UTC)
    assert timedelta(0) <= age < timedelta(seconds=60)
    dynamodb.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
    described = dynamodb.describe_table(TableName=table)["Table"]
    assert not (described.get("StreamSpecification") or {}).get("StreamEnabled")


def test_a_stream_is_read_no_sooner_than_it_is_polled(start_emulator):
    emulator, seconds = start_emulator(DYNAURORA_STREAM_POLL_SECONDS="2"), 2
    pipeline = Pipeline(emulator, FAILS_BY_EXCEPTION).put("a")
    began = time.time_ns()
    pipeline.map().wait_for_calls([["a"]])
    pipeline.put("b").wait_for_calls([["a"], ["b"]])
    last = max(emulator.objects(pipeline.bucket, "calls/"))
    assert int(last.removeprefix("calls/")) >= began + seconds * 1_000_000_000
