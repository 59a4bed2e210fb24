"""Delivery streams buffer, transform and deliver as Firehose does."""

import base64
import gzip
import json
import re
import signal
import time
import uuid

import pytest

from dynaurora.aws import sdk
from dynaurora.aws.delivery_stream import FirehoseStream
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.integration

UPPERCASE = """
import base64
def handler(event, context):
    return {"records": [
        {"recordId": r["recordId"], "result": "Ok",
         "data": base64.b64encode(base64.b64decode(r["data"]).upper() + b"\\n").decode()}
        for r in event["records"]
    ]}
"""

BY_CONTENT = """
import base64
def handler(event, context):
    def answer(record):
        content = base64.b64decode(record["data"]).decode()
        return {"recordId": record["recordId"], "result": content.split("-")[0], "data": record["data"]}
    return {"records": [answer(record) for record in event["records"]]}
"""


class Stream:
    """A delivery stream to a bucket of its own, with its time set so that a test decides when it is due."""

    def __init__(self, emulator, source=None, retries=None, processing_seconds=0, seconds=0, **settings):
        self.emulator = emulator
        self.bucket = emulator.create_bucket()
        self.name = f"stream-{uuid.uuid4().hex[:12]}"
        self.firehose = emulator.client("firehose")
        if source is not None:
            self.function = emulator.create_function(source)
            parameters = {
                "LambdaArn": emulator.function_arn(self.function),
                "BufferIntervalInSeconds": str(processing_seconds),
                **({"NumberOfRetries": str(retries)} if retries is not None else {}),
            }
            settings["ProcessingConfiguration"] = {
                "Enabled": True,
                "Processors": [
                    {
                        "Type": "Lambda",
                        "Parameters": [{"ParameterName": k, "ParameterValue": v} for k, v in parameters.items()],
                    }
                ],
            }
        destination = {
            "BucketARN": f"arn:aws:s3:::{self.bucket}",
            "RoleARN": "arn:aws:iam::000000000000:role/anything",
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": seconds},
            "Prefix": "good/!{timestamp:yyyy/MM/dd/HH}/",
            "ErrorOutputPrefix": "bad/!{firehose:error-output-type}/",
            **settings,
        }
        self.firehose.create_delivery_stream(
            DeliveryStreamName=self.name, ExtendedS3DestinationConfiguration=destination
        )

    def put(self, *contents):
        return self.firehose.put_record_batch(
            DeliveryStreamName=self.name, Records=[{"Data": content.encode()} for content in contents]
        )

    def delivered(self):
        return list(self.emulator.objects(self.bucket, "good/").values())

    def errors(self):
        lines = b"".join(self.emulator.objects(self.bucket, "bad/processing-failed/").values()).splitlines()
        return [json.loads(line) for line in lines]

    def wait_for_errors(self, count):
        return self.emulator.wait_until(lambda: len(self.errors()) >= count and self.errors())


def test_records_are_concatenated_in_order_into_one_object(emulator):
    stream = Stream(emulator, seconds=3)
    before = time.gmtime()
    answer = stream.put("a,", "b,")
    stream.firehose.put_record(DeliveryStreamName=stream.name, Record={"Data": b"c"})
    assert answer["FailedPutCount"] == 0
    assert len({entry["RecordId"] for entry in answer["RequestResponses"]}) == 2
    ((key, body),) = emulator.wait_until(lambda: emulator.objects(stream.bucket)).items()
    assert body == b"a,b,c"
    folder = time.strftime("%Y/%m/%d/%H", before)
    stamp = r"\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d"
    assert re.fullmatch(rf"good/{folder}/{stream.name}-1-{stamp}-[0-9a-f-]{{36}}", key), key


def test_records_that_forwarding_sends_arrive_as_they_are(emulator, monkeypatch):
    stream = Stream(emulator)
    sent = [b"pack\n", bytes(range(256)), b"last"]
    monkeypatch.setattr(sdk, "client", lambda _service: stream.firehose)
    assert FirehoseStream(stream.name).put(sent) == [None] * 3
    assert emulator.wait_until(stream.delivered) == [b"".join(sent)]


def test_a_full_buffer_is_delivered_before_its_interval(emulator):
    stream = Stream(emulator, seconds=900)
    stream.put(*["x" * 600_000] * 2)
    assert [len(body) for body in emulator.wait_until(stream.delivered)] == [600_000]


def test_records_are_transformed_in_batches(emulator):
    source = UPPERCASE.replace("def handler(event, context):", "def handler(event, context):\n    print(event)")
    stream = Stream(emulator, source, processing_seconds=3)
    stream.put("a", "b")
    stream.put("c")
    assert emulator.wait_until(stream.delivered) == [b"A\nB\nC\n"]
    (logged,) = emulator.logged(stream.function)
    event = eval(logged)
    assert set(event) == {"invocationId", "deliveryStreamArn", "region", "records"}
    assert event["deliveryStreamArn"].endswith(f":deliverystream/{stream.name}")
    records = event["records"]
    assert [base64.b64decode(record["data"]) for record in records] == [b"a", b"b", b"c"]
    assert len({record["recordId"] for record in records}) == 3
    assert all(abs(record["approximateArrivalTimestamp"] / 1000 - time.time()) < 60 for record in records)


def test_results_decide_what_becomes_of_a_record(emulator):
    stream = Stream(emulator, BY_CONTENT, processing_seconds=1)
    stream.put("Ok-1", "Dropped-2", "ProcessingFailed-3", "Ok-4")
    (error,) = stream.wait_for_errors(1)
    assert emulator.wait_until(stream.delivered) == [b"Ok-1Ok-4"]
    assert isinstance(error.pop("arrivalTimestamp"), int)
    assert isinstance(error.pop("attemptEndingTimestamp"), int)
    assert error == {
        "attemptsMade": 1,
        "errorCode": "Lambda.ProcessingFailedStatus",
        "errorMessage": "ProcessingFailed status set for record",
        "rawData": base64.b64encode(b"ProcessingFailed-3").decode(),
        "lambdaArn": emulator.function_arn(stream.function),
    }


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("None", "Lambda.FunctionError"),
        ("{'records': 'none'}", "Lambda.FunctionError"),
        ("{'records': [r | {'result': 'Fine'} for r in records]}", "Lambda.FunctionError"),
        ("{'records': [{'recordId': r['recordId'], 'result': 'Ok'} for r in records]}", "Lambda.FunctionError"),
        ("{'records': [r | {'result': 'Ok', 'data': '?'} for r in records]}", "Lambda.FunctionError"),
        ("{'records': [records[0] | {'result': 'Ok'} for r in records]}", "Lambda.DuplicatedRecordId"),
    ],
)
def test_a_broken_contract_fails_the_whole_batch_at_once(emulator, answer, code):
    stream = Stream(emulator, f"def handler(event, context):\n    records = event['records']\n    return {answer}")
    stream.put("a", "b")
    errors = stream.wait_for_errors(2)
    assert [(error["errorCode"], error["attemptsMade"]) for error in errors] == [(code, 1)] * 2
    assert [base64.b64decode(error["rawData"]) for error in errors] == [b"a", b"b"]
    assert not stream.delivered()


def test_a_record_that_does_not_come_back_fails_alone(emulator):
    stream = Stream(
        emulator,
        "def handler(event, context): return {'records': [r | {'result': 'Ok'} for r in event['records'][:1]]}",
    )
    stream.put("a", "b")
    (error,) = stream.wait_for_errors(1)
    assert (error["errorCode"], base64.b64decode(error["rawData"])) == ("Lambda.MissingRecordId", b"b")
    assert emulator.wait_until(stream.delivered) == [b"a"]


def test_a_function_that_raises_is_retried_then_its_batch_fails(emulator):
    stream = Stream(emulator, "def handler(event, context):\n    print('called')\n    raise ValueError", retries=1)
    stream.put("a", "b")
    errors = stream.wait_for_errors(2)
    assert {(error["errorCode"], error["attemptsMade"]) for error in errors} == {("Lambda.FunctionError", 2)}
    assert emulator.logged(stream.function).count("called") == 2


def test_three_retries_are_the_default(emulator):
    stream = Stream(emulator, UPPERCASE)
    emulator.client("lambda").put_function_concurrency(FunctionName=stream.function, ReservedConcurrentExecutions=0)
    stream.put("a")
    (error,) = stream.wait_for_errors(1)
    assert (error["errorCode"], error["attemptsMade"]) == ("Lambda.InvokeLimitExceeded", 4)


def test_a_passing_failure_is_retried_without_a_trace(emulator):
    state = emulator.create_bucket()
    flaky = f"""
import boto3
s3 = boto3.client("s3")
def once():
    if s3.list_objects_v2(Bucket="{state}")["KeyCount"] == 0:
        s3.put_object(Bucket="{state}", Key="failed")
        raise ConnectionError
"""
    stream = Stream(emulator, flaky + UPPERCASE.replace("event, context):", "event, context):\n    once()"))
    stream.put("a")
    assert emulator.wait_until(stream.delivered) == [b"A\n"]
    assert not stream.errors()


def test_requests_to_the_function_stay_below_six_megabytes(emulator):
    source = (
        "import json\ndef handler(event, context):\n    size = len(json.dumps(event)); print(size)\n"
        "    return {'records': [r | {'result': 'Dropped', 'data': ''} for r in event['records']]}"
    )
    stream = Stream(emulator, source, processing_seconds=2)
    for _ in range(80):
        stream.put(*["x"] * 500)  # far below the buffer's size, but each record needs more than 100 bytes in a request
    emulator.wait_until(lambda: len(emulator.logged(stream.function)) >= 2)
    assert all(1_000 < int(size) <= 6_291_456 for size in emulator.logged(stream.function))


def test_limits(emulator, error_of):
    stream = Stream(emulator)
    put = stream.firehose.put_record_batch

    def refused(records):
        return error_of(put, DeliveryStreamName=stream.name, Records=records)

    assert refused([{"Data": b"x"}] * 501) == "ValidationException"
    assert refused([{"Data": b"x" * 1_024_001}]) == "ValidationException"
    assert refused([{"Data": b"x" * 1_000_000}] * 4 + [{"Data": b"x" * 194_305}]) == "InvalidArgumentException"
    one = stream.firehose.put_record
    assert error_of(one, DeliveryStreamName=stream.name, Record={"Data": b"x" * 1_024_001}) == "ValidationException"
    assert error_of(put, DeliveryStreamName="missing", Records=[{"Data": b"x"}]) == "ResourceNotFoundException"
    records = [{"Data": b"x" * 1_000_000}] * 4 + [{"Data": b"x" * 194_304}]
    assert put(DeliveryStreamName=stream.name, Records=records)["FailedPutCount"] == 0


def test_entries_can_be_rejected_on_demand(emulator):
    stream = Stream(emulator)
    emulator.set_faults(reject_entries=2)
    answer = stream.put("a", "b", "c", "d", "e", "f")
    assert answer["FailedPutCount"] == 2
    rejected = {"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."}
    entries = answer["RequestResponses"]
    assert [entries[1], entries[3]] == [rejected] * 2
    assert all("RecordId" in entries[index] for index in (0, 2, 4, 5))
    assert emulator.wait_until(stream.delivered) == [b"acef"]


def test_calls_can_be_throttled_on_demand(emulator, error_of):
    stream = Stream(emulator)
    emulator.set_faults(throttle_calls=1)
    refused = error_of(stream.firehose.put_record, DeliveryStreamName=stream.name, Record={"Data": b"a"})
    assert refused == "ServiceUnavailableException"
    assert stream.put("b")["FailedPutCount"] == 0


def test_objects_can_be_delivered_twice_on_demand(emulator):
    stream = Stream(emulator)
    emulator.set_faults(duplicate_objects=1)
    stream.put("a")
    emulator.wait_until(lambda: len(stream.delivered()) == 2)
    assert stream.delivered() == [b"a", b"a"]


def test_compression(emulator):
    stream = Stream(emulator, CompressionFormat="GZIP")
    stream.put("a")
    ((key, body),) = emulator.wait_until(lambda: emulator.objects(stream.bucket)).items()
    assert key.endswith(".gz")
    assert gzip.decompress(body) == b"a"


@pytest.mark.parametrize(
    "settings",
    [
        {"ErrorOutputPrefix": ""},
        {"ErrorOutputPrefix": "bad/!{timestamp:yyyy}/"},
        {"Prefix": "!{firehose:error-output-type}/"},
        {"BufferingHints": {"SizeInMBs": 129, "IntervalInSeconds": 0}},
        {"BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 901}},
        {"CompressionFormat": "ZIP"},
    ],
)
def test_settings_that_are_refused(emulator, settings):
    with pytest.raises(emulator.client("firehose").exceptions.InvalidArgumentException):
        Stream(emulator, **settings)


def test_a_missing_bucket_delays_but_loses_nothing(emulator):
    stream = Stream(emulator)
    emulator.client("s3").delete_bucket(Bucket=stream.bucket)
    stream.put("a")
    emulator.wait_until(lambda: f"{stream.name}: s3://{stream.bucket}" in emulator.log())
    emulator.client("s3").create_bucket(Bucket=stream.bucket)
    assert emulator.wait_until(stream.delivered) == [b"a"]


def test_delivery_starts_executions_through_eventbridge(emulator):
    stream = Stream(emulator)
    sfn, events = emulator.client("stepfunctions"), emulator.client("events")
    emulator.client("s3").put_bucket_notification_configuration(
        Bucket=stream.bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    machine = sfn.create_state_machine(
        name=stream.name,
        roleArn="arn:aws:iam::000000000000:role/anything",
        definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}),
    )["stateMachineArn"]
    pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": {"bucket": {"name": [stream.bucket]}}}
    events.put_rule(Name=stream.name, EventPattern=json.dumps(pattern))
    events.put_targets(
        Rule=stream.name,
        Targets=[{"Id": "1", "Arn": machine, "RoleArn": "arn:aws:iam::000000000000:role/anything"}],
    )
    stream.put("four")
    (execution,) = emulator.wait_until(lambda: sfn.list_executions(stateMachineArn=machine)["executions"])
    detail = json.loads(sfn.describe_execution(executionArn=execution["executionArn"])["input"])["detail"]
    ((key, body),) = emulator.objects(stream.bucket).items()
    assert detail["object"]["key"] == key
    assert detail["object"]["size"] == len(body)
    assert detail["object"]["etag"]


def test_what_was_accepted_is_delivered_before_the_emulator_stops(start_emulator):
    emulator = start_emulator(S3_PERSIST="1")
    stream = Stream(emulator, UPPERCASE, processing_seconds=900, seconds=900)
    stream.put("a", "b")
    emulator.process.send_signal(signal.SIGTERM)
    assert emulator.process.wait(PATIENCE_SECONDS) == 0
    contents = [path.read_bytes() for path in (emulator.directory / "s3").rglob("*") if path.is_file()]
    assert b"A\nB\n" in contents
