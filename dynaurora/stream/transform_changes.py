"""Transforming: Firehose's records become CSV rows, under the contract of its transformation Lambda.

A record is a pack of changes, each mapped by the document that the pack is stamped with; one of the release before is a
single change, mapped by the current one. Every recordId comes back exactly once: `Ok` with the rows of its changes, or
`Dropped` where all of them are refused. Firehose adds no delimiter, so each row brings its label and its newline.
(Amazon Data Firehose Developer Guide, "Transform source data".)

A mapping with several targets gives a change a row, or a tombstone, in each that may have it. What no target takes is
skipped: it is counted, and no failure.

A refused change is kept as an object of its own, written before the answer: killed in between, Firehose asks again, and
what is kept stays as it is. Where one cannot be written, the invocation fails. A record is `ProcessingFailed`, and so
kept whole by Firehose, where it is neither pack nor change, where its rows exceed the answer, and where its refused
changes are too many for one invocation.
"""

from __future__ import annotations

import binascii
import json
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from pybase64 import b64decode, b64encode_as_string

from dynaurora.dynamodb.packs import decode_pack
from dynaurora.errors import Reason, RejectedChange, tell_reasons
from dynaurora.failures.failed_records import REJECTED, FailedRecord, now_ms
from dynaurora.failures.refused_changes import RefusedChange, keep_refused, refused_id
from dynaurora.mappings.csv_format import row_label
from dynaurora.mappings.routing import Router

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.dynamodb.changes import Change, TypedItem
    from dynaurora.mappings.routing import Routed
    from dynaurora.mappings.row_mapper import RowMapper
    from dynaurora.mappings.row_mappers import RowMappers

MAX_RESPONSE_BYTES = 6 * 1024 * 1024 - 64 * 1024
"""Lambda answers with at most 6 MB (AWS Lambda Developer Guide, "Lambda quotas"); the rest is left for its JSON."""
ANSWER_ENTRY_BYTES = 64
"""What an entry's JSON adds to its id and data."""
MAPPED_TOGETHER: Final = 512 * 1024
"""Bytes of changes that are mapped at a time, and one delivery more."""
MAX_REFUSALS: Final = 200
"""Refused changes that an invocation writes: in half a second, ten at a time. Where more are refused the mapping is
wrong, and Firehose keeps their packs in a few objects."""
NOT_BASE64 = (binascii.Error, ValueError, TypeError)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A refused change: its record's id, its key and version where it has them, and why; no contents in a log."""

    record_id: str
    """That Firehose gave the record which it came in."""
    reasons: tuple[Reason, ...]
    key: TypedItem | None = None
    """The table's key attributes, as DynamoDB writes them; None where it is no change."""
    version: int | None = None

    def log_fields(self) -> dict[str, Any]:
        """Return what a log line tells of it: plain text, whatever the names and the key have in them.

        The version is text, since readers of JSON round a number of 50 digits.
        """
        return {
            "record": self.record_id,
            "key": None if self.key is None else json.dumps(self.key, default=str),
            "version": None if self.version is None else str(self.version),
            "reasons": tell_reasons(self.reasons),
        }


@dataclass(slots=True)
class TransformResult:
    """The answer to Firehose, and what was refused in it."""

    records: list[dict[str, str]] = field(default_factory=list)
    transformed: int = 0
    """Rows of the answer: a change that moves between targets is several."""
    rejections: list[Rejection] = field(default_factory=list)
    """Changes that are refused, wherever they are kept."""
    overflowed: int = 0
    """Changes that are not refused, and are kept with their whole record."""
    skipped: int = 0
    """Changes that no target takes."""


@dataclass(slots=True)
class Delivery:
    """One record of Firehose, and what becomes of it."""

    record_id: str
    arrived_at_ms: int | None
    digest: str | None = None
    changes: tuple[bytes, ...] = ()
    rows: int = 0
    data: bytes = b""
    """Its rows, labelled."""
    skipped: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    refused: list[RefusedChange] = field(default_factory=list)
    is_dropped: bool = False
    """Whether its rows were let go, since they exceed the answer in any case."""
    is_known: bool = True
    """Whether it is a pack, or a change."""


@dataclass(frozen=True)
class Transformer:
    """Transforms the records of one delivery stream."""

    mapping: str
    mappers: RowMappers
    store: ObjectStore
    landing_bucket: str
    function_arn: str
    max_answer_bytes: int = MAX_RESPONSE_BYTES
    max_refusals: int = MAX_REFUSALS

    def transform(self, records: Iterable[dict[str, Any]]) -> TransformResult:
        """Return the answer for a batch of Firehose's records, once what is refused of it is kept.

        Raises UnregisteredMappingError and RegistryUnavailableError where a mapping is not to be had, and what
        writing a refused change does.
        """
        deliveries, room = read_deliveries(list(records)), self.max_answer_bytes
        for digest in dict.fromkeys(delivery.digest for delivery in deliveries if delivery.changes):
            mapper = self.mappers.find_current() if digest is None else self.mappers.find(digest)
            alike = [each for each in deliveries if each.changes and each.digest == digest]
            for some in group_deliveries(alike):
                self._map(some, mapper)
                room = drop_rows(some, room)
        result, refused = self._answer(deliveries)
        keep_refused(self.store, self.landing_bucket, self.mapping, refused)
        return result

    def _map(self, deliveries: list[Delivery], mapper: RowMapper) -> None:
        """Map the changes of records of one mapping, all at once, for each of its targets."""
        changes = [change for delivery in deliveries for change in delivery.changes]
        routing = Router(mapper).route(changes)
        ends = list(accumulate(len(delivery.changes) for delivery in deliveries))
        for delivery, end in zip(deliveries, ends, strict=True) if routing.skipped else ():
            delivery.skipped = sum(index in routing.skipped for index in range(end - len(delivery.changes), end))
        for routed in routing.targets:
            self._map_routed(deliveries, ends, changes, routed)

    def _map_routed(self, deliveries: list[Delivery], ends: list[int], changes: list[bytes], routed: Routed) -> None:
        """Map what one target gets of the changes of some records, which end at these positions."""
        label, start = row_label(routed.mapper.mapping), 0
        rows, refusals = routed.write()
        for delivery, end in zip(deliveries, ends, strict=True):
            stop = bisect_left(routed.indexes, end, start)
            written = [row for row in rows[start:stop] if row is not None]
            delivery.rows += len(written)
            delivery.data += label.join((b"", *written))
            start = stop
        for index, refusal in sorted(refusals.items()):
            delivery = deliveries[bisect_right(ends, index)]
            self._refuse(delivery, changes[index], *refusal, routed.mapper)

    def _refuse(
        self, delivery: Delivery, data: bytes, change: Change | None, reasons: tuple[Reason, ...], mapper: RowMapper
    ) -> None:
        """Note a refused change: of its keys, only what the mapping knows for a key is logged."""
        delivery.is_known = change is not None or delivery.digest is not None
        key = None if change is None else change.key(mapper.mapping.key_attributes)
        delivery.rejections.append(
            Rejection(delivery.record_id, reasons, key, None if change is None else change.version)
        )
        record = FailedRecord(
            data=data,
            error_code=REJECTED,
            error_message=RejectedChange(*reasons).problem,
            attempts=1,
            failed_at_ms=now_ms(),
            function_arn=self.function_arn,
            arrived_at_ms=delivery.arrived_at_ms,
            target=None if change is None else mapper.mapping.target_name,
            reasons=reasons,
        )
        delivery.refused.append(RefusedChange(refused_id(mapper.mapping.table, change, data), record))

    def _answer(self, deliveries: list[Delivery]) -> tuple[TransformResult, list[RefusedChange]]:
        """Return the answer, and the refused changes that are not kept with their whole record.

        Where rows would not fit into one answer, the tail is failed: a Lambda answer that is too large fails all of it.
        """
        result, refused = TransformResult(), dict[str, RefusedChange]()
        size = sum(len(delivery.record_id) + ANSWER_ENTRY_BYTES for delivery in deliveries)
        for delivery in deliveries:
            data = b64encode_as_string(delivery.data)
            size += len(data)
            result.rejections += delivery.rejections
            is_too_large = delivery.is_dropped or (data and size > self.max_answer_bytes)
            is_kept_whole = not delivery.is_known or is_too_large
            if is_kept_whole or len(refused) + len(delivery.refused) > self.max_refusals:
                result.overflowed += delivery.rows
                result.records.append(answer_with("ProcessingFailed", delivery))
                continue
            for change in delivery.refused:
                refused.setdefault(change.id, change)
            result.transformed += delivery.rows
            result.skipped += delivery.skipped
            result.records.append(answer_with("Ok" if data else "Dropped", delivery, data))
        return result, list(refused.values())


def read_deliveries(records: list[dict[str, Any]]) -> list[Delivery]:
    """Return the records with their changes; one that is no pack, and cannot be a change, has none."""
    deliveries = [Delivery(record["recordId"], _read_arrival(record)) for record in records]
    for delivery, record, data in zip(deliveries, records, decode_batch(records), strict=True):
        try:
            pack = decode_pack(decode_data(record) if data is None else data)
        except RejectedChange as error:
            delivery.is_known = False
            delivery.rejections.append(Rejection(delivery.record_id, error.reasons))
        else:
            delivery.digest, delivery.changes = pack.digest, pack.changes
    return deliveries


def _read_arrival(record: dict[str, Any]) -> int | None:
    arrived = record.get("approximateArrivalTimestamp")
    return arrived if type(arrived) is int else None


def group_deliveries(deliveries: list[Delivery]) -> Iterator[list[Delivery]]:
    """Yield deliveries whose changes are mapped at a time: rows may have many times the bytes of their changes."""
    some, size = list[Delivery](), 0
    for delivery in deliveries:
        if some and size > MAPPED_TOGETHER:
            yield some
            some, size = [], 0
        some.append(delivery)
        size += sum(map(len, delivery.changes))
    yield some


def drop_rows(deliveries: list[Delivery], room: int) -> int:
    """Let rows go for which an answer has no room; return what room is left."""
    for delivery in deliveries:
        room -= len(delivery.data)
        if room < 0 and delivery.data:
            delivery.data, delivery.is_dropped = b"", True
    return room


def decode_batch(batch: list[dict[str, Any]]) -> list[bytes] | list[None]:
    """Return the data of each record; of none, where any of them is not base64."""
    try:
        return [b64decode(record["data"], validate=True) for record in batch]  # in one go, as all of them should be
    except (KeyError, *NOT_BASE64):
        return [None] * len(batch)


def decode_data(record: dict[str, Any]) -> bytes:
    """Return the data of a record. Raises RejectedChange where it is not base64."""
    try:
        return b64decode(record.get("data", ""), validate=True)
    except NOT_BASE64 as error:
        raise RejectedChange(Reason("record", "", "is not base64")) from error


def answer_with(result: str, delivery: Delivery, data: str = "") -> dict[str, str]:
    """Return the answer for a record.

    `data` must be there, and is empty where a record is failed: Firehose keeps it as it came, whatever is sent back.
    """
    return {"recordId": delivery.record_id, "result": result, "data": data}
