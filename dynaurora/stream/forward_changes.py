"""Forwarding: stream records become changes in Firehose, and what could not be sent is named.

Lambda retries a stream's batch from the first record that is named as failed, so a record may be sent twice; the
version makes that harmless.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from dynaurora import keys
from dynaurora.dynamodb.changes import encode_change, from_stream_record, is_expiry
from dynaurora.errors import RejectedChange, ThrottledError
from dynaurora.failures.failed_records import FailedRecord, encode_failed_record, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dynaurora.aws.objects import ObjectStore

MAX_RECORD_BYTES = 1000 * 1024
"""Of one record before base64 (Amazon Data Firehose Developer Guide, "Quota")."""
MAX_CALL_RECORDS = 500
MAX_CALL_BYTES = 2 * 1024 * 1024
"""Of one call's records after base64. The quota is 4 MiB; calls near it have been refused, so half of it is left."""
ENTRY_BYTES = 16
"""What an entry's JSON adds to its data: `{"Data":""},` and a little more."""
CALL_ATTEMPTS = 6
FIRST_CALL_PAUSE_SECONDS = 0.1
LONGEST_CALL_PAUSE_SECONDS = 3.0


class DeliveryStream(Protocol):
    """What forwarding needs of Firehose; tests hand it one in memory."""

    def put(self, records: list[bytes]) -> list[str | None]:
        """Send a batch and return each entry's error code, None where it was taken. Raises ThrottledError."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One record on its way: its encoded change and the number that the stream knows it by."""

    sequence_number: str
    data: bytes

    @property
    def encoded_bytes(self) -> int:
        """Its size in a call, in bytes."""
        return (len(self.data) + 2) // 3 * 4 + ENTRY_BYTES


@dataclass(slots=True)
class ForwardResult:
    """What became of a batch of stream records."""

    forwarded: int = 0
    expiries_ignored: int = 0
    oversize: int = 0
    failed: list[str] = field(default_factory=list)
    """Sequence numbers of the records to be delivered again."""
    reasons: list[str] = field(default_factory=list)
    """Why records failed, each reason once."""

    def fail(self, sequence_numbers: Iterable[str], reason: str) -> None:
        """Name records as failed."""
        self.failed.extend(sequence_numbers)
        if reason not in self.reasons:
            self.reasons.append(reason)


@dataclass(frozen=True)
class Forwarder:
    """Forwards the records of one table's stream."""

    mapping: str
    stream: DeliveryStream
    store: ObjectStore
    landing_bucket: str
    ignore_expiries: bool
    function_arn: str
    pause: Callable[[float], None] = time.sleep

    def forward(self, records: Iterable[dict[str, Any]]) -> ForwardResult:
        """Send the records' changes to Firehose, in as few calls as its limits allow."""
        result = ForwardResult()
        for batch in pack(self._entries(records, result)):
            self._send(batch, result)
        return result

    def _entries(self, records: Iterable[dict[str, Any]], result: ForwardResult) -> Iterator[Entry]:
        """Yield what goes to Firehose; set the rest aside."""
        for record in records:
            sequence_number = sequence_number_of(record)
            if self.ignore_expiries and is_expiry(record):
                result.expiries_ignored += 1
                continue
            try:
                entry = Entry(sequence_number, encode_change(from_stream_record(record)))
            except RejectedChange as error:
                result.fail([sequence_number], str(error))
                continue
            if len(entry.data) > MAX_RECORD_BYTES:
                self._set_aside(entry)
                result.oversize += 1
            else:
                yield entry

    def _send(self, batch: list[Entry], result: ForwardResult) -> None:
        """Send a batch, then again what of it was not taken, with longer and longer pauses."""
        reason = ""
        for attempt in range(CALL_ATTEMPTS):
            if attempt:
                self.pause(backoff(attempt))
            try:
                codes = self.stream.put([entry.data for entry in batch])
            except ThrottledError as error:
                reason = error.problem
                continue
            left = [(entry, code) for entry, code in zip(batch, codes, strict=True) if code]
            result.forwarded += len(batch) - len(left)
            if not left:
                return
            batch = [entry for entry, _ in left]
            reason = f"Firehose answered {left[0][1]}."
        result.fail((entry.sequence_number for entry in batch), reason)

    def _set_aside(self, entry: Entry) -> None:
        """Put a change that is too large for Firehose under the failed prefix, whole."""
        record = FailedRecord(
            data=entry.data,
            error_code="dynaurora.RecordTooLarge",
            error_message=f"The change has {len(entry.data)} bytes, and Firehose takes {MAX_RECORD_BYTES}",
            attempts=0,
            failed_at_ms=now_ms(),
            function_arn=self.function_arn,
        )
        key = keys.oversize_record(self.mapping, entry.sequence_number)
        self.store.write(self.landing_bucket, key, encode_failed_record(record))


def pack(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Yield the entries in batches within the limits of one call."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if batch and (len(batch) == MAX_CALL_RECORDS or size + entry.encoded_bytes > MAX_CALL_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.encoded_bytes
    if batch:
        yield batch


def backoff(attempt: int) -> float:
    """Return how long to wait before an attempt, in seconds: exponential, full jitter, capped."""
    return random.uniform(0, min(LONGEST_CALL_PAUSE_SECONDS, FIRST_CALL_PAUSE_SECONDS * 2**attempt))  # noqa: S311 (no secret)


def sequence_number_of(record: dict[str, Any]) -> str:
    """Return the number that Lambda knows a record by; empty where it has none, which fails the whole batch."""
    data = record.get("dynamodb")
    return str(data.get("SequenceNumber", "")) if isinstance(data, dict) else ""
