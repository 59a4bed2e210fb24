"""Failed records: what no mapping accepted, one JSON per line in the envelope that Firehose writes.

    {"attemptsMade": 1, "arrivalTimestamp": 1700000000000, "errorCode": "…", "errorMessage": "…",
     "attemptEndingTimestamp": 1700000000000, "rawData": "<base64 of the record>", "lambdaArn": "…",
     "reprocessed": 1}

Timestamps are milliseconds of Unix time. Firehose's own documentation shows numbers and timestamps as strings, and
sources differ in the case of names, so each is read. (Amazon Data Firehose Developer Guide, "Handle failure in data
transformation".) `reprocessed`, which Firehose does not write, counts how often the record was taken up again in vain:
refused again, or in a batch that Aurora did not take. `target`, of a mapping with several, names the table that it is
missing in: the others have it, or a record of their own. `reasons` has why the mapping refused it, one by one, as
`[rule, path, message]`: whoever reads the record needs no mapping of that day.

A record may be a pack of changes, which Firehose kept whole (`dynaurora.dynamodb.packs`): each of its changes failed.
"""

from __future__ import annotations

import base64
import json
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.dynamodb.changes import Change, decode_change, dump_json, from_stream_record, is_expiry
from dynaurora.dynamodb.packs import decode_pack
from dynaurora.errors import Reason, RejectedChange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.aws.objects import ObjectStore

REJECTED = "dynaurora.Rejected"
"""The errorCode of a record that its mapping refuses, where it is this project that writes it down."""
IMPORT = "Import."
"""What the errorCode of a record begins with that was mapped again, and whose import then failed; the error follows."""
UNFORWARDED_CODE: Final = "dynaurora.Unforwarded"
UNFORWARDABLE_CODE: Final = "dynaurora.Unforwardable"
"""The errorCode of a stream record that can never be forwarded, however often it is delivered again."""
MOST_REASONS: Final = 10
"""Kept with a record: an item may break a rule at each of its members."""
MOST_OF_A_BATCH: Final = 10_000
"""Records of one invocation (AWS Lambda API Reference, CreateEventSourceMapping)."""
UNREADABLE_CODE: Final = "dynaurora.Unreadable"
LOST: Final = "lost"
"""The rule that the record of an invocation breaks that names records of the stream and does not have them."""


@dataclass(frozen=True, slots=True)
class FailedRecord:
    """One record of the failed prefix."""

    data: bytes
    """The record as it was sent, untouched."""
    error_code: str
    error_message: str
    attempts: int
    """All of them, those of Firehose included."""
    failed_at_ms: int
    """When it was refused last, in milliseconds of Unix time."""
    function_arn: str
    arrived_at_ms: int | None = None
    """When it came first; None for when it failed."""
    reprocessed: int = 0
    """How often it was taken up again in vain."""
    target: str | None = None
    """The one target that it is missing in, by its table; None for whatever target its mapping has."""
    reasons: tuple[Reason, ...] = ()
    """Why the mapping refused it last; none where it failed otherwise, or an earlier release kept it."""

    @property
    def failures(self) -> int:
        """How often it failed: what brought it here is one, whatever retries that had of its own."""
        return self.reprocessed + 1

    def again(self, code: str, message: str, function_arn: str, reasons: tuple[Reason, ...] = ()) -> FailedRecord:
        """Return the record as it is kept after one more failure, with the reason of today."""
        return FailedRecord(
            data=self.data,
            error_code=code,
            error_message=message,
            attempts=self.attempts + 1,
            failed_at_ms=now_ms(),
            function_arn=function_arn,
            arrived_at_ms=self.arrived_at_ms or self.failed_at_ms,
            reprocessed=self.reprocessed + 1,
            target=self.target,
            reasons=reasons,
        )


def encode_failed_record(record: FailedRecord) -> bytes:
    """Return a failed record as one line, its newline included."""
    envelope = {
        "attemptsMade": record.attempts,
        "arrivalTimestamp": record.failed_at_ms if record.arrived_at_ms is None else record.arrived_at_ms,
        "errorCode": record.error_code,
        "errorMessage": record.error_message,
        "attemptEndingTimestamp": record.failed_at_ms,
        "rawData": base64.b64encode(record.data).decode("ascii"),
        "lambdaArn": record.function_arn,
        **({"reprocessed": record.reprocessed} if record.reprocessed else {}),
        **({"target": record.target} if record.target else {}),
        **({"reasons": record.reasons[:MOST_REASONS]} if record.reasons else {}),
    }
    return dump_json(envelope) + b"\n"


def decode_failed_record(line: bytes) -> FailedRecord:
    """Return the failed record of one line.

    What is said of the record matters less than the record: a count or a time that is none is 0, for unknown. Raises
    ValueError where the line is no such envelope.
    """
    try:
        envelope: dict[str, Any] = {name.lower(): value for name, value in json.loads(line).items()}
        failed_at_ms = _read_number(envelope.get("attemptendingtimestamp"))
        arrived_at_ms = _read_number(envelope.get("arrivaltimestamp")) or failed_at_ms
        return FailedRecord(
            data=base64.b64decode("".join(envelope["rawdata"].split()), validate=True),
            error_code=str(envelope.get("errorcode") or ""),
            error_message=str(envelope.get("errormessage") or ""),
            attempts=_read_number(envelope.get("attemptsmade")),
            failed_at_ms=failed_at_ms,
            function_arn=str(envelope.get("lambdaarn") or ""),
            arrived_at_ms=None if arrived_at_ms == failed_at_ms else arrived_at_ms,
            reprocessed=_read_number(envelope.get("reprocessed")),
            target=str(envelope["target"]) if envelope.get("target") else None,
            reasons=_read_reasons(envelope.get("reasons")),
        )
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the line is not a failed record: {error}") from error


def _read_reasons(value: Any) -> tuple[Reason, ...]:
    """Return reasons; none where they are not such, whoever wrote them."""
    with suppress(TypeError, ValueError):
        return tuple(Reason(*map(str, reason)) for reason in value or ())
    return ()


def _read_number(value: Any) -> int:
    """Return a number that may be written as text, or with a fraction; 0 where it is none."""
    for read in (int, lambda text: int(float(text))):
        with suppress(TypeError, ValueError, OverflowError):
            return read(value)
    return 0


def now_ms() -> int:
    """Return the time in milliseconds of Unix time."""
    return time.time_ns() // 1_000_000


def read_records(store: ObjectStore, bucket: str, key: str) -> Iterator[FailedRecord]:
    """Yield the records in a failed object, whoever wrote it; what is no record is one all the same."""
    if key.startswith(f"{keys.UNFORWARDED}/"):
        yield from read_invocation(store.read(bucket, key))
        return
    for line in store.open(bucket, key):
        text = line.strip()
        if text:
            yield read_line(text)


def split_record(record: FailedRecord) -> list[FailedRecord]:
    """Return the failed records of each change of a pack; a record that is no pack is its own."""
    try:
        changes = decode_pack(record.data).changes
    except RejectedChange:  # what is no pack, but says so, is one record that nothing maps
        return [record]
    return [record] if changes == (record.data,) else [replace(record, data=change) for change in changes]


def read_line(line: bytes) -> FailedRecord:
    """Return the failed record of a line: an envelope, or the record itself as somebody put it there."""
    try:
        return decode_failed_record(line)
    except ValueError as error:
        return FailedRecord(line, UNREADABLE_CODE, str(error), 0, now_ms(), "")


def read_invocation(body: bytes) -> Iterator[FailedRecord]:
    """Yield the stream records inside of the record of an invocation that the event source mapping gave up on.

    Its `payload` is the function's event, as text or as an object (AWS Lambda Developer Guide, "Retain discarded
    records of DynamoDB"). What has none is one record that cannot be mapped, so that it is seen.
    """
    try:
        document = json.loads(body)
        payload = document["payload"]
        records = (json.loads(payload) if isinstance(payload, str) else payload)["Records"]
        if not isinstance(records, list):
            raise TypeError("Records is no array")
        context = document.get("requestContext") or {}
        arn, condition = str(context.get("functionArn") or ""), str(context.get("condition") or "it was given up on")
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        named = read_named(body)
        problem = f"it names {named}" if named else f"it is no record of an invocation: {type(error).__name__} {error}"
        yield FailedRecord(body, UNREADABLE_CODE, problem, 0, now_ms(), "")
        return
    for record in records:
        yield FailedRecord(json.dumps(record).encode(), UNFORWARDED_CODE, condition, 0, now_ms(), arn)


@dataclass(frozen=True, slots=True)
class NamedRecords:
    """Stream records of an invocation that are named and not kept: the stream has them for a day, then nobody has."""

    count: int | None
    first: float | None
    """When the first of them came, in seconds of Unix time; None where it is not said."""
    last: float | None

    def __str__(self) -> str:
        """Return what they are, in words."""
        times = [f"{datetime.fromtimestamp(each, UTC):%Y-%m-%dT%H:%M:%SZ}" for each in (self.first, self.last) if each]
        when = f", of {' to '.join(times)}" if times else ""
        return f"{self.count or 'some'} records of the stream that nobody has kept{when}"


def read_named(data: bytes) -> NamedRecords | None:
    """Return the records that the record of an invocation names and does not have; None of anything else.

    Destinations other than S3 are told no more (AWS Lambda Developer Guide, "Retain discarded records for a DynamoDB
    event source": `DDBStreamBatchInfo`).
    """
    if b"DDBStreamBatchInfo" not in data:
        return None
    try:
        document = json.loads(data)
        batch = document["DDBStreamBatchInfo"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    if "payload" in document or not isinstance(batch, dict):
        return None
    count = batch.get("batchSize")
    first, last = (_read_arrival(batch.get(f"approximateArrivalOf{which}Record")) for which in ("First", "Last"))
    return NamedRecords(count if type(count) is int and 0 < count <= MOST_OF_A_BATCH else None, first, last)


def _read_arrival(text: Any) -> float | None:
    with suppress(TypeError, ValueError, OverflowError):
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return None


def read_change(data: bytes, *, ignore_expiries: bool = False) -> Change | None:
    """Return the change in a failed record, which is one of ours or a stream's; None for a delete that is ignored.

    Raises RejectedChange where it is neither.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if (named := read_named(data)) is not None:
        raise RejectedChange(Reason(LOST, "", f"names {named}"))
    if not isinstance(document, dict) or "dynamodb" not in document:
        return decode_change(data)
    if ignore_expiries and is_expiry(document):
        return None
    return from_stream_record(document)
