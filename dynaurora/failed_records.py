"""Failed records: what no mapping accepted, one JSON per line in the envelope that Firehose writes.

    {"attemptsMade": 1, "arrivalTimestamp": 1700000000000, "errorCode": "…", "errorMessage": "…",
     "attemptEndingTimestamp": 1700000000000, "rawData": "<base64 of the record>", "lambdaArn": "…"}

Timestamps are milliseconds of Unix time. Firehose's own documentation shows them as strings, so both are read.
(Amazon Data Firehose Developer Guide, "Handle failure in data transformation".)
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FailedRecord:
    """One record of the failed prefix."""

    data: bytes
    """The record as it was sent, untouched."""
    error_code: str
    error_message: str
    attempts: int
    failed_at_ms: int
    function_arn: str


def encode_failed_record(record: FailedRecord) -> bytes:
    """Return a failed record as one line, its newline included."""
    envelope = {
        "attemptsMade": record.attempts,
        "arrivalTimestamp": record.failed_at_ms,
        "errorCode": record.error_code,
        "errorMessage": record.error_message,
        "attemptEndingTimestamp": record.failed_at_ms,
        "rawData": base64.b64encode(record.data).decode("ascii"),
        "lambdaArn": record.function_arn,
    }
    return json.dumps(envelope).encode() + b"\n"


def decode_failed_record(line: bytes) -> FailedRecord:
    """Return the failed record of one line.

    Raises ValueError where the line is no such envelope.
    """
    try:
        envelope: dict[str, Any] = json.loads(line)
        return FailedRecord(
            data=base64.b64decode(envelope["rawData"], validate=True),
            error_code=str(envelope.get("errorCode", "")),
            error_message=str(envelope.get("errorMessage", "")),
            attempts=int(envelope.get("attemptsMade", 0)),
            failed_at_ms=int(envelope.get("attemptEndingTimestamp", 0)),
            function_arn=str(envelope.get("lambdaArn") or envelope.get("lambdaARN") or ""),
        )
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"the line is not a failed record: {error}") from error


def now_ms() -> int:
    """Return the time in milliseconds of Unix time."""
    return time.time_ns() // 1_000_000
