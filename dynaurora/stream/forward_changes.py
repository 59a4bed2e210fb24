"""Forwarding: stream records become changes in Firehose, and what could not be sent is named.

Changes travel in packs, each stamped with the mapping that is the current one when their invocation begins. A pack is
taken whole or not at all. Lambda retries a stream's batch from the first record that is named as failed, so a change
may be sent twice, in another pack; the version makes that harmless. Named is only what may be sent later. What Firehose
would never take, or what is no change at all, is set aside under the failed prefix at once: its shard stands for
nothing that does not pass.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from dynaurora import keys
from dynaurora.dynamodb.changes import encode_change, encode_keys, from_stream_record, is_expiry
from dynaurora.dynamodb.packs import MAX_CHANGE_BYTES, encode_pack, fill_packs
from dynaurora.dynamodb.versions import SEQUENCE_RANGE, second_of
from dynaurora.errors import RejectedChange, ThrottledError
from dynaurora.failures.failed_records import UNFORWARDABLE_CODE, FailedRecord, encode_failed_record, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.dynamodb.changes import Change

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


class Numbered(NamedTuple):
    """A change on its way: encoded, and the number that the stream knows it by."""

    sequence_number: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of Firehose on its way: a pack, and the numbers of its changes."""

    sequence_numbers: tuple[str, ...]
    data: bytes

    @property
    def encoded_bytes(self) -> int:
        """Its size in a call, in bytes."""
        return (len(self.data) + 2) // 3 * 4 + ENTRY_BYTES


@dataclass(slots=True)
class ForwardResult:
    """What became of a batch of stream records."""

    forwarded: int = 0
    """Changes that Firehose has taken."""
    packs: int = 0
    """Firehose's records that they went in."""
    expiries_ignored: int = 0
    oversize: int = 0
    unforwardable: int = 0
    """Records that are no change that can be sent, now or later."""
    unforwardable_reasons: list[str] = field(default_factory=list)
    """Why, each reason once."""
    reversed_stamps: list[str] = field(default_factory=list)
    """Sequence numbers of records whose stamp is of an earlier second than that of an earlier record of their item."""
    failed: list[str] = field(default_factory=list)
    """Sequence numbers of the records to be delivered again."""
    reasons: list[str] = field(default_factory=list)
    """Why records failed, each reason once."""
    first_second: int | None = None
    """The earliest stamp among the changes, in seconds of Unix time."""

    def fail(self, sequence_numbers: Iterable[str], reason: str) -> None:
        """Name records as failed."""
        self.failed.extend(sequence_numbers)
        if reason not in self.reasons:
            self.reasons.append(reason)


@dataclass(frozen=True)
class Forwarder:
    """Forwards the records of one table's stream."""

    mapping: str
    digest: str
    """Of the mapping that the changes are stamped with."""
    stream: DeliveryStream
    store: ObjectStore
    landing_bucket: str
    ignore_expiries: bool
    function_arn: str
    pause: Callable[[float], None] = time.sleep

    def forward(self, records: Iterable[dict[str, Any]]) -> ForwardResult:
        """Send the records' changes to Firehose, in as few packs and calls as the limits allow."""
        result, unforwardable = ForwardResult(), list[FailedRecord]()
        changes = list(self._changes(records, result, unforwardable))
        for batch in split_calls(self._pack(changes)):
            self._send(batch, result)
        if unforwardable:
            self._keep(unforwardable)
        return result

    def _changes(
        self, records: Iterable[dict[str, Any]], result: ForwardResult, unforwardable: list[FailedRecord]
    ) -> Iterator[Numbered]:
        """Yield what goes to Firehose; set the rest aside, and collect what is unforwardable."""
        stamps = Stamps()
        for record in records:
            sequence_number = sequence_number_of(record)
            if self.ignore_expiries and is_expiry(record):
                result.expiries_ignored += 1
                continue
            try:
                change = from_stream_record(record)
                numbered = Numbered(sequence_number, encode_change(change))
            except RejectedChange as error:
                unforwardable.append(self._describe_unforwardable(record, error))
                result.unforwardable += 1
                if error.problem not in result.unforwardable_reasons:
                    result.unforwardable_reasons.append(error.problem)
                continue
            second = second_of(change.version)
            result.first_second = min(second, result.first_second or second)
            if stamps.go_back(change):
                result.reversed_stamps.append(sequence_number)
            if len(numbered.data) > MAX_CHANGE_BYTES:
                self._set_aside(numbered)
                result.oversize += 1
            else:
                yield numbered

    def _pack(self, changes: list[Numbered]) -> Iterator[Entry]:
        """Yield the changes as packs, in their order."""
        left = iter(changes)
        for count in fill_packs([len(change.data) for change in changes]):
            packed = list(islice(left, count))
            data = encode_pack(self.digest, (change.data for change in packed))
            yield Entry(tuple(change.sequence_number for change in packed), data)

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
            result.forwarded += count_changes(batch) - count_changes(entry for entry, _ in left)
            result.packs += len(batch) - len(left)
            if not left:
                return
            batch = [entry for entry, _ in left]
            reason = f"Firehose answered {left[0][1]}."
        result.fail((number for entry in batch for number in entry.sequence_numbers), reason)

    def _describe_unforwardable(self, record: dict[str, Any], error: RejectedChange) -> FailedRecord:
        """Return a stream record as it is kept: whole, for whoever reads why it was no change."""
        return FailedRecord(
            data=write_json(record),
            error_code=UNFORWARDABLE_CODE,
            error_message=error.problem,
            attempts=0,
            failed_at_ms=now_ms(),
            function_arn=self.function_arn,
        )

    def _keep(self, records: list[FailedRecord]) -> None:
        """Put records under the failed prefix, as one object: a stream without new images has nothing but these.

        It is named by the first of them. Where that comes again, all that were behind it come again too.
        """
        name = hashlib.sha256(records[0].data).hexdigest()[:40]
        key = keys.unforwardable_records(self.mapping, name)
        self.store.write(self.landing_bucket, key, b"".join(map(encode_failed_record, records)))

    def _set_aside(self, change: Numbered) -> None:
        """Put a change that is too large for Firehose under the failed prefix, whole."""
        record = FailedRecord(
            data=change.data,
            error_code="dynaurora.RecordTooLarge",
            error_message=f"The change has {len(change.data)} bytes, and Firehose takes {MAX_CHANGE_BYTES}",
            attempts=0,
            failed_at_ms=now_ms(),
            function_arn=self.function_arn,
        )
        key = keys.oversize_record(self.mapping, change.sequence_number)
        self.store.write(self.landing_bucket, key, encode_failed_record(record))


class Stamps:
    """The stamps of the changes that one invocation has seen, by their items.

    A shard has the records of an item in the order of its writes, which their sequence numbers tell. That stamps are in
    that order too is nowhere documented (docs/correctness.md, "What is assumed of AWS"): a version begins with the
    stamp's second, so that of two changes the later one would lose.
    """

    def __init__(self) -> None:
        self._latest: dict[bytes, int] = {}

    def go_back(self, change: Change) -> bool:
        """Tell whether a later change of an item has an earlier second than one before it; a repeated one has not."""
        item = encode_keys(change.keys)
        latest = self._latest.setdefault(item, change.version)
        if latest == change.version:
            return False
        self._latest[item] = max(latest, change.version)
        is_later = change.version % SEQUENCE_RANGE > latest % SEQUENCE_RANGE
        return is_later and second_of(change.version) < second_of(latest)


def write_json(document: Any) -> bytes:
    """Return a document as JSON, however deep it is nested: json itself gives up where Python's stack ends."""
    with suppress(RecursionError):
        return json.dumps(document, separators=(",", ":")).encode()
    written, left = list[str](), [(document, False)]
    while left:
        value, is_written = left.pop()
        if is_written or not isinstance(value, (dict, list)) or not value:
            written.append(value if is_written else json.dumps(value))
            continue
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        parts: list[tuple[Any, bool]] = [(opening, True)]
        for number, member in enumerate(value):
            name = f"{json.dumps(member)}:" if isinstance(value, dict) else ""
            parts += [("," * (number > 0) + name, True), (value[member] if name else member, False)]
        left += reversed([*parts, (closing, True)])
    return "".join(written).encode()


def count_changes(entries: Iterable[Entry]) -> int:
    """Return how many changes are on their way in entries."""
    return sum(len(entry.sequence_numbers) for entry in entries)


def split_calls(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
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
