"""Event source mappings of DynamoDB streams, to Lambda's contract.

What the emulator does otherwise: ``ReportBatchItemFailures`` is ignored (which loses data), and so are bisecting, the
retry count and the on-failure destination; a record that always fails blocks every later one; all mappings share one
thread.

Here every mapping has its own thread, which reads the stream in order:

- **Batches** hold up to BatchSize records and 6 MB; MaximumBatchingWindowInSeconds waits for a batch to fill.
- **Polling**: a stream is read again after DYNAURORA_STREAM_POLL_SECONDS, at the soonest. That is 0 unless set, so that
  changes do not wait; AWS reads a shard four times a second.
- **ReportBatchItemFailures**: the lowest reported sequence number is the checkpoint; the batch is retried from there.
  A null or empty answer is a success; an identifier that is null, empty, misspelt or not of this batch fails the
  whole batch.
- **BisectBatchOnFunctionError**: a failed batch is halved, or cut at the reported sequence number; neither uses up a
  retry.
- **MaximumRetryAttempts** counts failed attempts of a batch or what is left of it (that progress does not start the
  count anew is inferred, not documented). An invocation that is throttled never reached the function: it is
  repeated until the records are too old.
- **MaximumRecordAgeInSeconds**: older records are given up on, before an invocation as between two of them.
- **Repeated batches**: a batch that a function has taken may be delivered to it again (``faults``).
- **IteratorAge**: a metric of the function, the age of the last record of each batch that it is invoked with.
- **On-failure destination**: records given up on are described to SQS or SNS, or written to S3 together with the
  event.

Sources: Lambda developer guide, "Using AWS Lambda with Amazon DynamoDB": "Configuring partial batch response",
"Retain discarded records for a DynamoDB event source" (also: retries before and during invocation), "Parameters";
"Types of metrics for Lambda functions".

Deviations: a stream is one shard and ParallelizationFactor is ignored; retries wait up to 5 s, not minutes; a
MaximumRecordAgeInSeconds below AWS's minimum of 60 is accepted; tumbling windows are not supported; writing to the
destination does not ask the function's role.
"""

import contextvars
import json
import logging
import os
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ministack.core import responses
from ministack.services import dynamodb, lambda_svc

from local.emulator import embedded_metrics, faults
from local.emulator.lambda_runtime import MAXIMUM_REQUEST_BYTES
from local.emulator.objects import ObjectNotWrittenError, put_object, require_objects
from local.emulator.replacements import Replacements
from local.emulator.values import read_bool, read_int

logger = logging.getLogger("dynaurora.mappings")

DEFAULT_BATCH_SIZE = 100
"""BatchSize of a DynamoDB mapping that names none (developer guide, "Parameters")."""

POLL_VARIABLE = "DYNAURORA_STREAM_POLL_SECONDS"

SHARD_ID = "shardId-00000000000000000000-00000000"
"""The one shard that the emulator's streams have."""

FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 5.0
"""Waiting doubles from the first to the longest. AWS waits longer; a local run should not."""

_IDLE_SECONDS = 1.0
_EVENT_OVERHEAD_BYTES = 64


@dataclass(frozen=True)
class StreamRecord:
    """One record and its place in the stream (an index that only grows)."""

    position: int
    content: dict[str, Any]

    @property
    def sequence_number(self) -> str:
        """The record's sequence number, as the function sees it."""
        return str(self.content["dynamodb"]["SequenceNumber"])

    @property
    def created(self) -> float:
        """Epoch seconds at which the change was made, floored."""
        return float(self.content["dynamodb"]["ApproximateCreationDateTime"])


@dataclass(frozen=True)
class Batch:
    """Records that are invoked with together; ``failures`` counts the attempts that used up a retry."""

    records: list[StreamRecord]
    failures: int = 0

    def after(self, count: int) -> "Batch":
        """Return the batch without its first ``count`` records."""
        return replace(self, records=self.records[count:])

    def halves(self) -> list["Batch"]:
        """Split the batch in two."""
        middle = len(self.records) // 2
        return [replace(self, records=self.records[:middle]), replace(self, records=self.records[middle:])]


@dataclass(frozen=True)
class Answer:
    """What an invocation said about its batch.

    ``first_failed`` is an index into the batch: its length for a complete success, 0 for a complete failure.
    """

    first_failed: int
    throttled: bool = False
    function_error: str | None = None


class MappingReader:
    """Reads one mapping's stream and invokes its function, in a thread of its own."""

    def __init__(self, mapping_id: str) -> None:
        self.mapping_id = mapping_id
        self.wake = threading.Event()
        self._consecutive_failures = 0
        self._poll_seconds = float(os.environ.get(POLL_VARIABLE, "0"))
        self._polled_at = time.monotonic() - self._poll_seconds
        context = contextvars.copy_context()  # the emulator's stores are scoped by account and region
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), name=f"mapping-{mapping_id}", daemon=True
        )

    def start(self) -> None:
        """Begin reading at the mapping's checkpoint."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether it still reads; it stops when the mapping is disabled or deleted."""
        return self._thread.is_alive()

    def _mapping(self) -> dict[str, Any] | None:
        """Return the mapping as it is now; None once it is disabled or deleted."""
        mapping: dict[str, Any] | None = lambda_svc._esms.get(self.mapping_id)
        return mapping if mapping is not None and _is_enabled(mapping) else None

    def _run(self) -> None:
        while (mapping := self._mapping()) is not None:
            try:
                if not self._process_next(mapping):
                    self.wake.wait(_IDLE_SECONDS)
                    self.wake.clear()
            except Exception:
                logger.exception("Mapping %s failed inside the emulator; it goes on", self.mapping_id)
                time.sleep(_IDLE_SECONDS)

    def _process_next(self, mapping: dict[str, Any]) -> bool:
        """Read and settle one batch. False if there was nothing to read."""
        table_name, position = _stream_position(mapping)
        if table_name is None:
            return False
        read = self._gather(mapping, table_name, position)
        if not read:
            return False
        wanted = lambda_svc._apply_filter_criteria([record.content for record in read], mapping)
        kept = {id(content) for content in wanted}
        self._settle(Batch([record for record in read if id(record.content) in kept]))
        if self._mapping() is not None:
            self._checkpoint(read[-1].position + 1)
        return True

    def _gather(self, mapping: dict[str, Any], table_name: str, position: int) -> list[StreamRecord]:
        """Read up to a batch, waiting for more as long as the batching window is open."""
        size = read_int(mapping.get("BatchSize"), DEFAULT_BATCH_SIZE)
        time.sleep(max(0.0, self._polled_at + self._poll_seconds - time.monotonic()))
        self._polled_at = time.monotonic()
        closes = self._polled_at + read_int(mapping.get("MaximumBatchingWindowInSeconds"), 0)
        while True:
            found = dynamodb.stream_records_since(table_name, position, size)
            if not found or len(found) >= size or time.monotonic() >= closes or self._mapping() is None:
                break
            self.wake.wait(max(0.0, min(_IDLE_SECONDS, closes - time.monotonic())))
            self.wake.clear()
        start = max(position, dynamodb.stream_start_position(table_name))
        return _limit_bytes([StreamRecord(start + index, content) for index, content in enumerate(found)])

    def _settle(self, batch: Batch) -> None:
        """Invoke until every record of the batch has been taken or given up on, or the mapping is gone."""
        pending = deque([batch])
        while pending and (mapping := self._mapping()) is not None:
            current = self._give_up_on_old(mapping, pending.popleft())
            if current.records:
                pending.extendleft(reversed(self._attempt(mapping, current)))

    def _attempt(self, mapping: dict[str, Any], batch: Batch) -> list[Batch]:
        """Invoke once; what is left to do, in order."""
        measure_age(mapping, batch)
        answer = self._invoke(mapping, batch)
        if answer.throttled:
            self._wait_before_retry()
            return [batch]
        if answer.first_failed:
            self._checkpoint(batch.records[answer.first_failed - 1].position + 1)
        rest = batch.after(answer.first_failed)
        if not rest.records:
            self._consecutive_failures = 0
            return []
        return self._plan_retry(mapping, rest, answer)

    def _plan_retry(self, mapping: dict[str, Any], rest: Batch, answer: Answer) -> list[Batch]:
        """Split, repeat, or give up on what failed."""
        if read_bool(mapping.get("BisectBatchOnFunctionError"), False):
            if answer.first_failed:
                return [rest]
            if len(rest.records) > 1:
                time.sleep(FIRST_RETRY_SECONDS)
                return rest.halves()
        failed = replace(rest, failures=rest.failures + 1)
        retries = read_int(mapping.get("MaximumRetryAttempts"), -1)
        if 0 <= retries < failed.failures:
            self._give_up(mapping, failed, "RetryAttemptsExhausted", answer)
            return []
        self._wait_before_retry()
        return [failed]

    def _invoke(self, mapping: dict[str, Any], batch: Batch) -> Answer:
        function, _ = lambda_svc._get_func_record_for_qualifier(mapping["FunctionName"], mapping.get("Qualifier"))
        if function is None:
            return Answer(0, throttled=True)  # it may yet be created; the records wait
        event = {"Records": [record.content for record in batch.records]}
        result = lambda_svc._execute_function(function, event)
        if not result.get("throttle") and not result.get("error") and faults.take("duplicate_invocations"):
            result = lambda_svc._execute_function(function, event)
        if result.get("throttle"):
            return Answer(0, throttled=True)
        if result.get("error"):
            mapping["LastProcessingResult"] = "PROBLEM: Function call failed"
            logger.warning("Mapping %s: %s", self.mapping_id, result.get("body"))
            return Answer(0, function_error=result.get("function_error") or "Unhandled")
        first_failed = len(batch.records)
        if "ReportBatchItemFailures" in (mapping.get("FunctionResponseTypes") or []):
            first_failed = find_first_failed(result.get("body"), [record.sequence_number for record in batch.records])
        complete = first_failed == len(batch.records)
        mapping["LastProcessingResult"] = "OK" if complete else "PROBLEM: Function call failed"
        return Answer(first_failed)

    def _give_up_on_old(self, mapping: dict[str, Any], batch: Batch) -> Batch:
        """Discard the records that are older than the mapping allows; they are the first ones."""
        age = read_int(mapping.get("MaximumRecordAgeInSeconds"), -1)
        if age < 0:
            return batch
        oldest = time.time() - age
        count = sum(1 for record in batch.records if record.created < oldest)
        if count:
            self._give_up(mapping, replace(batch, records=batch.records[:count]), "MaxRecordAgeExceeded", Answer(0))
        return batch.after(count)

    def _give_up(self, mapping: dict[str, Any], batch: Batch, condition: str, answer: Answer) -> None:
        """Hand the records to the on-failure destination, and go on behind them."""
        logger.error("Mapping %s gives up on %d records: %s", self.mapping_id, len(batch.records), condition)
        destination = ((mapping.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination") or ""
        if destination.startswith("arn:aws:s3:::"):
            self._write_to_bucket(mapping, batch, condition, answer, destination.removeprefix("arn:aws:s3:::"))
        elif destination:
            function, _ = lambda_svc._get_func_record_for_qualifier(mapping["FunctionName"], mapping.get("Qualifier"))
            contents = [record.content for record in batch.records]
            lambda_svc._send_ddb_stream_failure_record(
                mapping, function or {}, contents, mapping["EventSourceArn"], {}, condition
            )
        self._checkpoint(batch.records[-1].position + 1)
        self._consecutive_failures = 0

    def _write_to_bucket(
        self, mapping: dict[str, Any], batch: Batch, condition: str, answer: Answer, bucket: str
    ) -> None:
        document = describe_failure(mapping, batch, condition, answer)
        now = datetime.now(UTC)
        key = f"aws/lambda/{self.mapping_id}/{SHARD_ID}/{now:%Y/%m/%d}/{now:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
        try:
            put_object(bucket, key, json.dumps(document).encode())
        except ObjectNotWrittenError as error:
            logger.error(
                "Mapping %s could not keep %d discarded records: %s", self.mapping_id, len(batch.records), error
            )

    def _checkpoint(self, position: int) -> None:
        with lambda_svc._dynamodb_stream_positions_lock:
            lambda_svc._dynamodb_stream_positions[self.mapping_id] = position

    def _wait_before_retry(self) -> None:
        time.sleep(min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0**self._consecutive_failures))
        self._consecutive_failures = min(self._consecutive_failures + 1, 10)


def measure_age(mapping: dict[str, Any], batch: Batch) -> None:
    """Record how old the newest record of a batch is that its function is invoked with."""
    now = time.time()
    age = max(0.0, (now - batch.records[-1].created) * 1000)
    dimensions = {"FunctionName": mapping["FunctionArn"].split(":")[6]}
    embedded_metrics.record("AWS/Lambda", {"Name": "IteratorAge", "Unit": "Milliseconds"}, dimensions, now, age)


def find_first_failed(response: Any, sequence_numbers: list[str]) -> int:
    """Return the index of the first record that a partial batch response fails.

    It is the number of records for a complete success, and 0 for a response that names no record of the batch.
    ``response`` is what the function returned, as a value or as JSON text.
    """
    if isinstance(response, str | bytes):
        response = json.loads(response) if response else None
    if not response:
        return len(sequence_numbers)
    if not isinstance(response, dict):
        return 0
    failures = response.get("batchItemFailures")
    if not failures:
        return len(sequence_numbers)
    try:
        return min(sequence_numbers.index(failure["itemIdentifier"]) for failure in failures)
    except (KeyError, TypeError, ValueError):
        return 0


def describe_failure(mapping: dict[str, Any], batch: Batch, condition: str, answer: Answer) -> dict[str, Any]:
    """Return the invocation record for records that were given up on, with the whole event as ``payload``."""
    first, last = batch.records[0], batch.records[-1]
    response = {"statusCode": 200, "executedVersion": "$LATEST"}
    if answer.function_error:
        response["functionError"] = answer.function_error
    return {
        "requestContext": {
            "requestId": str(uuid.uuid4()),
            "functionArn": mapping["FunctionArn"],
            "condition": condition,
            "approximateInvokeCount": batch.failures,
        },
        "responseContext": response,
        "version": "1.0",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "DDBStreamBatchInfo": {
            "shardId": SHARD_ID,
            "startSequenceNumber": first.sequence_number,
            "endSequenceNumber": last.sequence_number,
            "approximateArrivalOfFirstRecord": _format_time(first.created),
            "approximateArrivalOfLastRecord": _format_time(last.created),
            "batchSize": len(batch.records),
            "streamArn": mapping["EventSourceArn"],
        },
        "payload": json.dumps({"Records": [record.content for record in batch.records]}),
    }


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    service, store = lambda_svc.__name__, dynamodb.__name__
    require_objects(emulator)
    emulator.require(service, "_iter_all_esms", "()")
    emulator.require(service, "_execute_function", "(func: dict, event: dict) -> dict")
    emulator.require(service, "_apply_filter_criteria", "(records: list[dict], esm: dict) -> list[dict]")
    emulator.require(
        service,
        "_get_func_record_for_qualifier",
        "(name: str, qualifier: str | None) -> tuple[dict | None, dict | None]",
    )
    emulator.require(service, "_init_stream_position", "(esm_id, source_arn, starting)")
    emulator.require(
        service, "_send_ddb_stream_failure_record", "(esm, func_rec, batch, stream_arn, result, condition)"
    )
    emulator.require(store, "stream_start_position", "(table_name: str, *, account_id=None, region=None) -> int")
    emulator.require(
        store,
        "stream_records_since",
        "(table_name: str, position: int, limit: int, *, account_id=None, region=None) -> list[dict]",
    )
    emulator.replace(service, "_poll_dynamodb_streams", "()", wake_readers)
    emulator.wrap(service, "_create_esm", "(data: dict)", _complete_request)
    emulator.wrap(service, "_update_esm", "(esm_id: str, data: dict)", _wake_after_update)
    emulator.wrap(service, "_delete_esm", "(esm_id: str)", _wake_after_deletion)
    emulator.wrap(service, "_esm_response", "(esm: dict) -> dict", _date_back)


_readers: dict[str, MappingReader] = {}
_readers_lock = threading.Lock()


def wake_readers() -> bool:
    """Let every enabled mapping of a DynamoDB stream look for records, starting readers that are missing.

    The emulator's poller calls this whenever a stream has gained a record. False: the poller itself has done nothing.
    """
    for account, region, mapping in lambda_svc._iter_all_esms():
        if _is_dynamodb(mapping.get("EventSourceArn", "")) and _is_enabled(mapping):
            with _readers_lock:
                reader = _readers.get(mapping["UUID"])
                if reader is None or not reader.is_alive():
                    reader = _start_reader(account, region, mapping["UUID"])
            reader.wake.set()
    return False


def complete_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Add AWS's defaults for what a mapping's settings leave out, if it reads a DynamoDB stream."""
    if not _is_dynamodb(settings.get("EventSourceArn", "")):
        return settings
    defaults = {
        "BatchSize": DEFAULT_BATCH_SIZE,
        "BisectBatchOnFunctionError": False,
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "ParallelizationFactor": 1,
        "DestinationConfig": {"OnFailure": {}},
    }
    return {**defaults, **settings}


def _complete_request(original: Any) -> Any:
    def create(data: dict[str, Any]) -> Any:
        if _is_dynamodb(data.get("EventSourceArn", "")) and not data.get("StartingPosition"):
            return responses.error_response_json(
                "InvalidParameterValueException", "1 validation error detected: StartingPosition is required.", 400
            )
        answer = original(complete_settings(data))
        wake_readers()
        return answer

    return create


def _wake_after_update(original: Any) -> Any:
    def update(esm_id: str, data: dict[str, Any]) -> Any:
        answer = original(esm_id, data)
        wake_readers()
        return answer

    return update


def _wake_after_deletion(original: Any) -> Any:
    def delete(esm_id: str) -> Any:
        answer = original(esm_id)
        with _readers_lock:
            reader = _readers.pop(esm_id, None)
        if reader is not None:
            reader.wake.set()
        return answer

    return delete


def _date_back(original: Any) -> Any:
    """Say that a mapping was last modified earlier than it was, if that is asked for (``faults``)."""

    def describe(esm: dict[str, Any]) -> dict[str, Any]:
        described: dict[str, Any] = original(esm)
        if _is_dynamodb(esm.get("EventSourceArn", "")):
            described["LastModified"] -= faults.read_mapping_age()
        return described

    return describe


def _start_reader(account: str, region: str, mapping_id: str) -> MappingReader:
    def create() -> MappingReader:
        responses._request_account_id.set(account)
        responses._request_region.set(region)
        return MappingReader(mapping_id)

    reader = contextvars.copy_context().run(create)
    _readers[mapping_id] = reader
    reader.start()
    return reader


def _is_dynamodb(source_arn: str) -> bool:
    return ":dynamodb:" in source_arn and "/stream/" in source_arn


def _is_enabled(mapping: dict[str, Any]) -> bool:
    return read_bool(mapping.get("Enabled"), True)


def _stream_position(mapping: dict[str, Any]) -> tuple[str | None, int]:
    """Return the table whose stream the mapping reads and where it goes on; no table if that stream is gone."""
    source_arn = mapping["EventSourceArn"]
    table_name = source_arn.split("/stream/")[0].rsplit("/", 1)[-1]
    table = dynamodb._tables.get(table_name)
    if not table or table.get("LatestStreamArn") != source_arn:
        return None, 0
    lambda_svc._init_stream_position(mapping["UUID"], source_arn, mapping.get("StartingPosition", "LATEST"))
    position = int(lambda_svc._dynamodb_stream_positions[mapping["UUID"]])
    return table_name, max(position, int(dynamodb.stream_start_position(table_name)))


def _limit_bytes(records: list[StreamRecord]) -> list[StreamRecord]:
    """As many of the records as one invocation's 6 MB hold; at least one."""
    total, count = _EVENT_OVERHEAD_BYTES, 0
    for record in records:
        total += len(json.dumps(record.content)) + 2
        if count and total > MAXIMUM_REQUEST_BYTES:
            break
        count += 1
    return records[:count]


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
