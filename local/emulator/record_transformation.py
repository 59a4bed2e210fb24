"""Firehose: transform a batch of records with the delivery stream's Lambda function.

The function is given base64 data by recordId and must return each recordId once, with ``result`` Ok, Dropped or
ProcessingFailed, and ``data``. What goes wrong decides which records fail:

==============================  ===============  ==============  =======================================================
what happened                   records          retried         errorCode
==============================  ===============  ==============  =======================================================
throttled                       the whole batch  NumberOfRetries ``Lambda.InvokeLimitExceeded``
function raised or timed out    the whole batch  NumberOfRetries ``Lambda.FunctionError``
no such function                the whole batch  no              ``Lambda.ResourceNotFound``
answer is not ``{"records"}``   the whole batch  no              ``Lambda.FunctionError``
a record without the three
parts, or data not base64       the whole batch  no              ``Lambda.FunctionError``
a recordId returned twice       the whole batch  no              ``Lambda.DuplicatedRecordId``
a recordId not returned         that record      no              ``Lambda.MissingRecordId``
result is ProcessingFailed      that record      no              ``Lambda.ProcessingFailedStatus``
==============================  ===============  ==============  =======================================================

Sources: Firehose developer guide, "Required parameters for data transformation" and "Handle failure in data
transformation"; the codes and messages as published captures of real error objects have them. Which of the failures
AWS retries beyond throttling and time-outs is not documented; those captures show 4 attempts for a function that
raises.
"""

import base64
import binascii
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ministack.core import responses
from ministack.services import lambda_svc

from local.emulator.lambda_runtime import MAXIMUM_REQUEST_BYTES
from local.emulator.replacements import Replacements
from local.emulator.values import read_bool, read_float, read_int

DEFAULT_RETRIES = 3
"""NumberOfRetries (API reference, ProcessorParameter)."""

DEFAULT_BUFFER_MEBIBYTES = 1.0
DEFAULT_BUFFER_SECONDS = 60.0
"""BufferSizeInMBs and BufferIntervalInSeconds of a Lambda processor (API reference, ProcessorParameter)."""

RETRY_SECONDS = 0.2
"""Wait before the first repetition; it doubles. AWS does not say how long it waits."""

_BYTES_PER_RECORD = 160
"""Room for a record's identifier, time stamp and punctuation in a request."""


@dataclass(frozen=True)
class Record:
    """A record as it was put: ``arrival`` in epoch milliseconds."""

    record_id: str
    data: bytes
    arrival: int


@dataclass(frozen=True)
class Processor:
    """The Lambda processor of a delivery stream."""

    function_arn: str
    retries: int
    buffer_bytes: int
    buffer_seconds: float


@dataclass(frozen=True)
class Failure:
    """Why records could not be transformed."""

    code: str
    message: str
    attempts: int = 1

    def envelope(self, record: Record, function_arn: str) -> bytes:
        """Return the line that the error output gets for a record."""
        document = {
            "attemptsMade": self.attempts,
            "arrivalTimestamp": record.arrival,
            "errorCode": self.code,
            "errorMessage": self.message,
            "attemptEndingTimestamp": int(time.time() * 1000),
            "rawData": base64.b64encode(record.data).decode(),
            "lambdaArn": function_arn,
        }
        return json.dumps(document).encode() + b"\n"


class TransformationFailedError(Exception):
    """A whole batch failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True)
class Transformed:
    """What became of a batch: data to deliver and records that failed, both in the order of arrival."""

    delivered: list[Record]
    failed: list[tuple[Record, Failure]]


THROTTLED = Failure("Lambda.InvokeLimitExceeded", "The Lambda concurrent execution limit is exceeded.")
FUNCTION_ERROR = Failure(
    "Lambda.FunctionError", "The Lambda function was successfully invoked but it returned an error result."
)
NOT_FOUND = Failure(
    "Lambda.ResourceNotFound",
    "The specified Lambda function does not exist. Use a different function that does exist.",
)
INVALID_ANSWER = Failure(
    "Lambda.FunctionError",
    "Check your function and make sure the output is in required format. In addition to that, make sure the processed "
    "records contain valid result status of Dropped, Ok, or ProcessingFailed",
)
DUPLICATED_ID = Failure(
    "Lambda.DuplicatedRecordId",
    "Multiple records were returned with the same record Id. Ensure that the Lambda function returns a unique record "
    "Id for each record.",
)
MISSING_ID = Failure(
    "Lambda.MissingRecordId",
    "One or more record Ids were not returned. Ensure that the Lambda function returns all received record Ids.",
)
PROCESSING_FAILED = Failure("Lambda.ProcessingFailedStatus", "ProcessingFailed status set for record")


def require_transformation(emulator: Replacements) -> None:
    """Note what this module calls."""
    emulator.require(lambda_svc.__name__, "_resolve_name_and_qualifier", "(name_or_arn: str) -> tuple[str, str | None]")


def find_processor(config: dict[str, Any]) -> Processor | None:
    """Return the Lambda processor that a destination's ProcessingConfiguration names, if it is enabled."""
    processing = config.get("ProcessingConfiguration") or {}
    if not read_bool(processing.get("Enabled"), False):
        return None
    for processor in processing.get("Processors") or []:
        if processor.get("Type") == "Lambda":
            parameters = {p["ParameterName"]: p["ParameterValue"] for p in processor.get("Parameters") or []}
            mebibytes = read_float(parameters.get("BufferSizeInMBs"), DEFAULT_BUFFER_MEBIBYTES)
            return Processor(
                function_arn=parameters["LambdaArn"],
                retries=read_int(parameters.get("NumberOfRetries"), DEFAULT_RETRIES),
                buffer_bytes=int(mebibytes * 1024 * 1024),
                buffer_seconds=read_float(parameters.get("BufferIntervalInSeconds"), DEFAULT_BUFFER_SECONDS),
            )
    return None


def transform(stream_arn: str, processor: Processor, records: list[Record]) -> Transformed:
    """Have the function transform the records, in as many invocations as its request limit asks for."""
    delivered: list[Record] = []
    failed: list[tuple[Record, Failure]] = []
    for batch in _split_by_request_size(records):
        try:
            results = _check_answer(_invoke(stream_arn, processor, batch))
        except TransformationFailedError as error:
            failed += [(record, error.failure) for record in batch]
            continue
        for record in batch:
            result = results.get(record.record_id)
            if result is None:
                failed.append((record, MISSING_ID))
            elif result["result"] == "ProcessingFailed":
                failed.append((record, PROCESSING_FAILED))
            elif result["result"] == "Ok":
                delivered.append(Record(record.record_id, result["data"], record.arrival))
    return Transformed(delivered, failed)


def _split_by_request_size(records: list[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        encoded = len(record.data) * 4 // 3 + _BYTES_PER_RECORD
        if batch and size + encoded > MAXIMUM_REQUEST_BYTES - _BYTES_PER_RECORD:
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += encoded
    if batch:
        yield batch


def _invoke(stream_arn: str, processor: Processor, batch: list[Record]) -> Any:
    """Invoke the function, repeating throttled and failed invocations. Raises TransformationFailedError."""
    name, qualifier = lambda_svc._resolve_name_and_qualifier(processor.function_arn)
    function, _ = lambda_svc._get_func_record_for_qualifier(name, qualifier)
    if function is None:
        raise TransformationFailedError(NOT_FOUND)
    failure = FUNCTION_ERROR
    for attempt in range(processor.retries + 1):
        if attempt:
            time.sleep(RETRY_SECONDS * 2 ** (attempt - 1))
        result = lambda_svc._execute_function(function, _make_event(stream_arn, batch))
        if not result.get("error"):
            return result.get("body")
        failure = THROTTLED if result.get("throttle") else FUNCTION_ERROR
    raise TransformationFailedError(Failure(failure.code, failure.message, processor.retries + 1))


def _make_event(stream_arn: str, batch: list[Record]) -> dict[str, Any]:
    return {
        "invocationId": str(uuid.uuid4()),
        "deliveryStreamArn": stream_arn,
        "region": responses.get_region(),
        "records": [
            {
                "recordId": record.record_id,
                "approximateArrivalTimestamp": record.arrival,
                "data": base64.b64encode(record.data).decode(),
            }
            for record in batch
        ],
    }


def _check_answer(answer: Any) -> dict[str, dict[str, Any]]:
    """Return the records by recordId, their data decoded. Raises TransformationFailedError for a broken contract."""
    try:
        document = json.loads(answer) if isinstance(answer, str | bytes) else answer
        returned = [
            {"id": str(record["recordId"]), "result": record["result"], "data": _decode(record["data"])}
            for record in document["records"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise TransformationFailedError(INVALID_ANSWER) from error
    if any(record["result"] not in ("Ok", "Dropped", "ProcessingFailed") for record in returned):
        raise TransformationFailedError(INVALID_ANSWER)
    results = {record["id"]: record for record in returned}
    if len(results) < len(returned):
        raise TransformationFailedError(DUPLICATED_ID)
    return results


def _decode(data: Any) -> bytes:
    if not isinstance(data, str):
        raise TypeError("data is not a string")
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
