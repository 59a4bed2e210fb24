"""Firehose, Direct PUT to S3: buffering, transformation by batch, error output.

What the emulator does otherwise: it invokes the function and writes an object for every single record, drops records
that are ProcessingFailed, and delivers records untransformed when the function fails.

Here each delivery stream has three threads and as many buffers::

    PutRecord(Batch) → processing buffer → function → delivery buffer → s3://bucket/<Prefix>…
                                             └──────→ error buffer    → s3://bucket/<ErrorOutputPrefix>…

A buffer is due when it holds its size or its oldest record has waited for its interval: the processor's
BufferSizeInMBs and BufferIntervalInSeconds (default 1 MiB, 60 s), the destination's BufferingHints (5 MiB, 300 s) for
the other two. Intervals may be as short as 0 here. The data of a buffer is concatenated in order into one object,
named ``<stream>-<version>-YYYY-MM-dd-HH-mm-ss-<uuid>``; S3 tells its subscribers as for any other object. Delivery is
at least once, and what was accepted is delivered before the emulator stops (``drain``).

Limits (API reference, PutRecord and PutRecordBatch): a record of 1,000 KiB, 500 records and 4 MiB in a request.
Prefixes (developer guide, "Understand custom prefixes for Amazon S3 objects"): the time is that of the oldest record.

Left to the emulator: other destinations and sources, dynamic partitioning, format conversion. Not emulated: backup of
source records, compression other than GZIP, service quotas (see ``faults`` for throttling on demand), delivery role.
"""

import base64
import binascii
import contextvars
import gzip
import itertools
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ministack.core import responses
from ministack.services import firehose

from local.emulator import faults
from local.emulator.objects import ObjectNotWrittenError, put_object, require_objects
from local.emulator.record_transformation import (
    Processor,
    Record,
    find_processor,
    require_transformation,
    transform,
)
from local.emulator.replacements import Replacements
from local.emulator.values import read_bool, read_float, read_int

logger = logging.getLogger("dynaurora.delivery")

MAXIMUM_RECORD_BYTES = 1_024_000
MAXIMUM_RECORDS = 500
MAXIMUM_REQUEST_BYTES = 4 * 1024 * 1024

DEFAULT_BUFFER_MEBIBYTES = 5
DEFAULT_BUFFER_SECONDS = 300.0
"""BufferingHints of an S3 destination (API reference, BufferingHints)."""

DRAIN_SECONDS = 20.0
"""How long stopping waits for deliveries; what is then left is counted in the log."""

_MEBIBYTE = 1024 * 1024
_S3_RETRY_SECONDS = 0.5
_S3_ATTEMPTS_WHEN_CLOSING = 3

_record_numbers = itertools.count(1)


@dataclass(frozen=True)
class Hints:
    """When a buffer is due."""

    size: int
    seconds: float


class Buffer:
    """Records waiting until they are enough, or have waited long enough."""

    def __init__(self, hints: Callable[[], Hints]) -> None:
        self._hints = hints
        self._records: list[Record] = []
        self._size = 0
        self._since = 0.0
        self._closed = False
        self._changed = threading.Condition()

    def add(self, records: Iterable[Record]) -> None:
        """Put records at the end."""
        with self._changed:
            if not self._records:
                self._since = time.monotonic()
            for record in records:
                self._records.append(record)
                self._size += len(record.data)
            self._changed.notify_all()

    def take(self) -> list[Record]:
        """Wait until the buffer is due and take what it holds, up to its size; nothing once it is closed and empty."""
        with self._changed:
            while not self._is_due():
                if self._closed and not self._records:
                    return []
                self._changed.wait(self._seconds_left())
            return self._cut()

    def close(self) -> None:
        """Nothing more will come: what is there is due now."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def count(self) -> int:
        """How many records wait."""
        with self._changed:
            return len(self._records)

    def _is_due(self) -> bool:
        if not self._records:
            return False
        return self._closed or self._size >= self._hints().size or (self._seconds_left() or 0.0) <= 0

    def _seconds_left(self) -> float | None:
        if not self._records:
            return None
        return max(0.0, self._since + self._hints().seconds - time.monotonic())

    def _cut(self) -> list[Record]:
        limit, size, count = self._hints().size, 0, 0
        for record in self._records:
            if count and size + len(record.data) > limit:
                break
            size += len(record.data)
            count += 1
        taken, self._records = self._records[:count], self._records[count:]
        self._size -= size
        self._since = time.monotonic()
        return taken


class Delivery:
    """The running side of one delivery stream."""

    def __init__(self, stream: dict[str, Any]) -> None:
        self._stream = stream
        self._closing = False
        self._incoming = Buffer(self._processing_hints)
        self._outgoing = Buffer(self._destination_hints)
        self._errors = Buffer(self._destination_hints)
        self._processing = self._start(self._process, "process")
        self._delivering = [
            self._start(lambda: self._deliver(self._outgoing, None), "deliver"),
            self._start(lambda: self._deliver(self._errors, "processing-failed"), "errors"),
        ]

    def accept(self, data: bytes) -> str:
        """Take responsibility for a record; its identifier."""
        return self.accept_all([data])[0]

    def accept_all(self, data: list[bytes]) -> list[str]:
        """Take responsibility for records; their identifiers."""
        arrival = int(time.time() * 1000)
        records = [Record(f"49{next(_record_numbers):054d}", content, arrival) for content in data]
        (self._incoming if self._processor() else self._outgoing).add(records)
        return [record.record_id for record in records]

    def close(self, deadline: float) -> int:
        """Deliver everything now; how many records were not by ``deadline`` (monotonic)."""
        self._closing = True
        self._incoming.close()
        self._processing.join(max(0.0, deadline - time.monotonic()))
        self._outgoing.close()
        self._errors.close()
        for thread in self._delivering:
            thread.join(max(0.0, deadline - time.monotonic()))
        return sum(buffer.count() for buffer in (self._incoming, self._outgoing, self._errors))

    def _start(self, work: Callable[[], None], name: str) -> threading.Thread:
        context = contextvars.copy_context()  # the emulator's stores are scoped by account and region
        thread = threading.Thread(
            target=context.run, args=(work,), name=f"firehose-{self._stream['name']}-{name}", daemon=True
        )
        thread.start()
        return thread

    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = self._stream["destinations"][0]["config"]
        return config

    def _processor(self) -> Processor | None:
        return find_processor(self._config())

    def _processing_hints(self) -> Hints:
        processor = self._processor()
        return Hints(processor.buffer_bytes, processor.buffer_seconds) if processor else Hints(1, 0)

    def _destination_hints(self) -> Hints:
        hints = self._config().get("BufferingHints") or {}
        return Hints(
            read_int(hints.get("SizeInMBs"), DEFAULT_BUFFER_MEBIBYTES) * _MEBIBYTE,
            read_float(hints.get("IntervalInSeconds"), DEFAULT_BUFFER_SECONDS),
        )

    def _process(self) -> None:
        while records := self._incoming.take():
            processor = self._processor()
            if processor is None:
                self._outgoing.add(records)
                continue
            transformed = transform(self._stream["arn"], processor, records)
            self._outgoing.add(transformed.delivered)
            self._errors.add(
                Record(record.record_id, failure.envelope(record, processor.function_arn), record.arrival)
                for record, failure in transformed.failed
            )

    def _deliver(self, buffer: Buffer, error_type: str | None) -> None:
        while records := buffer.take():
            body = b"".join(record.data for record in records)
            oldest = min(record.arrival for record in records)
            for _ in range(1 + faults.take("duplicate_objects")):
                self._write(body, oldest, error_type, len(records))

    def _write(self, body: bytes, oldest: int, error_type: str | None, count: int) -> None:
        """Write one object, repeating until S3 takes it; AWS keeps trying for 24 hours, this until it has to stop."""
        config = self._config()
        bucket = config["BucketARN"].removeprefix("arn:aws:s3:::")
        compressed = config.get("CompressionFormat") == "GZIP"
        key = name_object(self._stream["name"], self._stream["version"], config, oldest / 1000, error_type)
        attempts = 0
        while True:
            try:
                if faults.take("fail_puts"):
                    raise ObjectNotWrittenError(bucket, key, 503, b"SlowDown")
                put_object(bucket, f"{key}.gz" if compressed else key, gzip.compress(body) if compressed else body)
            except ObjectNotWrittenError as error:
                attempts += 1
                logger.error("Delivery stream %s: %s", self._stream["name"], error)
                if self._closing and attempts >= _S3_ATTEMPTS_WHEN_CLOSING:
                    logger.error("Delivery stream %s lost %d records", self._stream["name"], count)
                    return
                time.sleep(_S3_RETRY_SECONDS)
            else:
                return


def name_object(name: str, version: int, config: dict[str, Any], oldest: float, error_type: str | None) -> str:
    """Return the key of an object whose oldest record arrived at ``oldest`` (epoch seconds)."""
    moment = time.gmtime(oldest)
    suffix = f"{name}-{version}-{time.strftime('%Y-%m-%d-%H-%M-%S', moment)}-{uuid.uuid4()}"
    prefix = config.get("Prefix") or ""
    if error_type is None:
        evaluated = firehose._evaluate_prefix(prefix, moment)
    elif config.get("ErrorOutputPrefix"):
        evaluated = firehose._evaluate_prefix(config["ErrorOutputPrefix"], moment, error_type=error_type)
    else:
        evaluated = firehose._evaluate_prefix(f"{prefix}{error_type}/", moment)
    return f"{evaluated}{suffix}"


_deliveries: dict[tuple[str, float], Delivery] = {}
_deliveries_lock = threading.Lock()
_draining = threading.Event()


def drain() -> None:
    """Stop accepting records and deliver those that were accepted. For when the emulator stops."""
    _draining.set()
    with _deliveries_lock:
        deliveries = list(_deliveries.values())
        _deliveries.clear()
    deadline = time.monotonic() + DRAIN_SECONDS
    lost = sum(delivery.close(deadline) for delivery in deliveries)
    if lost:
        logger.error("%d records were accepted but not delivered within %.0f s of stopping", lost, DRAIN_SECONDS)


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    module = firehose.__name__
    require_objects(emulator)
    require_transformation(emulator)
    emulator.require(module, "_evaluate_prefix", "(template, t, query_keys=None, lambda_keys=None, error_type=None)")
    emulator.require(module, "_not_found", "(name: str)")
    emulator.wrap(module, "_HANDLERS[PutRecord]", "(data: dict)", _put_record)
    emulator.wrap(module, "_HANDLERS[PutRecordBatch]", "(data: dict)", _put_record_batch)
    emulator.wrap(module, "_HANDLERS[CreateDeliveryStream]", "(data: dict)", _check_before_creating)
    emulator.wrap(module, "_create_delivery_stream", "(data: dict)", _check_before_creating)
    emulator.wrap(module, "_HANDLERS[DeleteDeliveryStream]", "(data: dict)", _close_after_deleting)
    emulator.wrap(module, "_delete_delivery_stream", "(data: dict)", _close_after_deleting)
    faults.install(emulator)


def _put_record(original: Any) -> Any:
    def put_record(data: dict[str, Any]) -> Any:
        stream = firehose._streams.get(data.get("DeliveryStreamName", ""))
        if stream is None or not _is_handled_here(stream):
            return original(data)
        contents, refusal = _decode_records([data.get("Record") or {}], "record")
        if refusal is not None:
            return refusal
        if _draining.is_set() or faults.take("throttle_calls"):
            return _slow_down()
        return responses.json_response({"RecordId": _delivery_of(stream).accept(contents[0]), "Encrypted": False})

    return put_record


def _put_record_batch(original: Any) -> Any:
    def put_record_batch(data: dict[str, Any]) -> Any:
        name = data.get("DeliveryStreamName", "")
        stream = firehose._streams.get(name)
        if stream is None:
            return firehose._not_found(name)
        if not _is_handled_here(stream):
            return original(data)
        contents, refusal = _decode_records(data.get("Records") or [], "records")
        if refusal is not None:
            return refusal
        if _draining.is_set() or faults.take("throttle_calls"):
            return _slow_down()
        return responses.json_response(_accept_batch(_delivery_of(stream), contents))

    return put_record_batch


def _accept_batch(delivery: Delivery, contents: list[bytes]) -> dict[str, Any]:
    """Accept all entries but those that a test asked to have rejected."""
    candidates = range(1, len(contents), 2) if len(contents) > 1 else range(1)
    rejected = set(list(candidates)[: faults.take("reject_entries", len(candidates))])
    identifiers = iter(delivery.accept_all([data for index, data in enumerate(contents) if index not in rejected]))
    entries = [
        {"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."}
        if index in rejected
        else {"RecordId": next(identifiers)}
        for index in range(len(contents))
    ]
    return {"FailedPutCount": len(rejected), "Encrypted": False, "RequestResponses": entries}


def _decode_records(records: list[dict[str, Any]], field: str) -> tuple[list[bytes], Any]:
    """Return the records' data, or else the error response that the request gets."""
    if not records:
        return [], _invalid_value(field, "Member must have length greater than or equal to 1")
    if len(records) > MAXIMUM_RECORDS:
        return [], _invalid_value(field, f"Member must have length less than or equal to {MAXIMUM_RECORDS}")
    try:
        contents = [base64.b64decode(record["Data"], validate=True) for record in records]
    except (KeyError, TypeError, binascii.Error) as error:
        return [], responses.error_response_json("SerializationException", str(error), 400)
    for index, content in enumerate(contents, start=1):
        if len(content) > MAXIMUM_RECORD_BYTES:
            place = f"{field}.{index}.member.data" if field == "records" else "record.data"
            return [], _invalid_value(place, f"Member must have length less than or equal to {MAXIMUM_RECORD_BYTES}")
    if sum(map(len, contents)) > MAXIMUM_REQUEST_BYTES:
        return [], _invalid_argument("Records size exceeds 4 MB limit")
    return contents, None


def _is_handled_here(stream: dict[str, Any]) -> bool:
    """Whether it is a Direct PUT stream to S3 without what is left to the emulator."""
    destinations = stream["destinations"]
    if stream["type"] != "DirectPut" or len(destinations) != 1 or destinations[0]["type"] != "ExtendedS3":
        return False
    config = destinations[0]["config"]
    left = ("DataFormatConversionConfiguration", "DynamicPartitioningConfiguration")
    return not any(read_bool((config.get(name) or {}).get("Enabled"), False) for name in left)


def _delivery_of(stream: dict[str, Any]) -> Delivery:
    key = (stream["arn"], stream["created_at"])
    with _deliveries_lock:
        if key not in _deliveries:
            _deliveries[key] = Delivery(stream)
        return _deliveries[key]


def _check_before_creating(original: Any) -> Any:
    def create(data: dict[str, Any]) -> Any:
        problem = find_problem(data.get("ExtendedS3DestinationConfiguration") or {})
        return _invalid_argument(problem) if problem else original(data)

    return create


def find_problem(config: dict[str, Any]) -> str | None:
    """Return what AWS would not accept of an S3 destination, as far as it is checked here."""
    prefix, errors = config.get("Prefix") or "", config.get("ErrorOutputPrefix") or ""
    if "!{firehose:error-output-type}" in prefix:
        return "Prefix cannot contain !{firehose:error-output-type}."
    if "!{" in prefix and not errors:
        return "ErrorOutputPrefix cannot be null or empty when Prefix contains expressions."
    if "!{" in errors and "!{firehose:error-output-type}" not in errors:
        return "ErrorOutputPrefix should contain !{firehose:error-output-type}."
    hints = config.get("BufferingHints") or {}
    if not 1 <= read_int(hints.get("SizeInMBs"), DEFAULT_BUFFER_MEBIBYTES) <= 128:
        return "BufferingHints.SizeInMBs must be between 1 and 128."
    if not 0 <= read_float(hints.get("IntervalInSeconds"), DEFAULT_BUFFER_SECONDS) <= 900:
        return "BufferingHints.IntervalInSeconds must be between 0 and 900."
    if config.get("CompressionFormat", "UNCOMPRESSED") not in ("UNCOMPRESSED", "GZIP"):
        return f"CompressionFormat {config['CompressionFormat']} is not emulated."
    return _find_processor_problem(config)


def _find_processor_problem(config: dict[str, Any]) -> str | None:
    processors = [
        processor
        for processor in (config.get("ProcessingConfiguration") or {}).get("Processors") or []
        if processor.get("Type") == "Lambda"
    ]
    if len(processors) > 1:
        return "Only one Lambda processor is allowed."
    try:
        processor = find_processor(config)
    except (KeyError, ValueError) as error:
        return f"ProcessingConfiguration is not valid: {error}"
    if processor is not None and not 0.2 * _MEBIBYTE <= processor.buffer_bytes + 1 <= 3 * _MEBIBYTE + 1:
        return "BufferSizeInMBs must be between 0.2 and 3."
    return None


def _close_after_deleting(original: Any) -> Any:
    def delete(data: dict[str, Any]) -> Any:
        stream = firehose._streams.get(data.get("DeliveryStreamName", ""))
        answer = original(data)
        if stream is not None and answer[0] == 200:
            with _deliveries_lock:
                delivery = _deliveries.pop((stream["arn"], stream["created_at"]), None)
            if delivery is not None:
                delivery.close(time.monotonic() + DRAIN_SECONDS)
        return answer

    return delete


def _slow_down() -> Any:
    return responses.error_response_json("ServiceUnavailableException", "Slow down.", 503)


def _invalid_argument(message: str) -> Any:
    return responses.error_response_json("InvalidArgumentException", message, 400)


def _invalid_value(place: str, constraint: str) -> Any:
    message = f"1 validation error detected: Value at '{place}' failed to satisfy constraint: {constraint}"
    return responses.error_response_json("ValidationException", message, 400)
