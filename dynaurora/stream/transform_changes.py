"""Transforming: Firehose's records become CSV rows, under the contract of its transformation Lambda.

Every recordId comes back exactly once, as `Ok` with its row or as `ProcessingFailed`: then Firehose keeps the
original record under the failed prefix. Firehose adds no delimiter, so each row brings its newline. (Amazon Data
Firehose Developer Guide, "Transform source data".)
"""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pybase64 import b64decode, b64encode_as_string

from dynaurora.dynamodb.changes import decode_change
from dynaurora.errors import Reason, RejectedChange, tell_reasons
from dynaurora.mappings.reasons import unforeseen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dynaurora.dynamodb.changes import Change, TypedItem
    from dynaurora.mappings.row_mapper import RowMapper
    from dynaurora.mappings.rows import Row

MAX_RESPONSE_BYTES = 6 * 1024 * 1024 - 64 * 1024
"""Lambda answers with at most 6 MB (AWS Lambda Developer Guide, "Lambda quotas"); the rest is left for its JSON."""
ANSWER_ENTRY_BYTES = 64
"""What an entry's JSON adds to its id and data."""
NOT_BASE64 = (binascii.Error, ValueError, TypeError)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A refused record: the id that Firehose gave it, its key and version where it has them, and why; no contents."""

    record_id: str
    reasons: tuple[Reason, ...]
    key: TypedItem | None = None
    """The table's key attributes, as DynamoDB writes them; None where the record is no change."""
    version: int | None = None

    def log_fields(self) -> dict[str, Any]:
        """Return what a log line tells of it: plain text, whatever the names and the key have in them.

        The version is text, since readers of JSON round a number of 50 digits.
        """
        return {
            "record": self.record_id,
            "key": None if self.key is None else json.dumps(self.key),
            "version": None if self.version is None else str(self.version),
            "reasons": tell_reasons(self.reasons),
        }


@dataclass(slots=True)
class TransformResult:
    """The answer to Firehose, and what was refused in it."""

    records: list[dict[str, str]] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    overflowed: int = 0
    """Records failed only because the answer was full."""

    @property
    def transformed(self) -> int:
        """How many records became rows."""
        return len(self.records) - len(self.rejections) - self.overflowed


def transform_records(
    records: Iterable[dict[str, Any]], mapper: RowMapper, max_answer_bytes: int = MAX_RESPONSE_BYTES
) -> TransformResult:
    """Return the answer for a batch of Firehose records.

    Where the rows would not fit into one answer, the tail is failed and so kept for reprocessing: a Lambda answer
    that is too large would fail all of it.
    """
    result = TransformResult()
    batch = list(records)
    ids = [record["recordId"] for record in batch]
    size = sum(map(len, ids)) + ANSWER_ENTRY_BYTES * len(ids)
    for record_id, row in zip(ids, write_rows(batch, mapper, result.rejections), strict=True):
        if row is None:
            result.records.append(processing_failed(record_id))
            continue
        data = b64encode_as_string(row)
        size += len(data)
        if size > max_answer_bytes:
            result.overflowed += 1
            result.records.append(processing_failed(record_id))
        else:
            result.records.append({"recordId": record_id, "result": "Ok", "data": data})
    return result


def write_rows(batch: list[dict[str, Any]], mapper: RowMapper, rejections: list[Rejection]) -> list[bytes | None]:
    """Return the row of each record, or None for one that is refused, and add why to the rejections."""
    changes = decode_batch(batch)

    def map_plainly(index: int) -> Row | None:
        change = None
        try:
            change = decode_change(changes[index] or decode_data(batch[index]))
            return mapper.row(change)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is this record's: the others go on)
            rejections.append(rejection_of(batch[index]["recordId"], error, change, mapper))
            return None

    return mapper.writer.write_changes(changes, map_plainly)


def decode_batch(batch: list[dict[str, Any]]) -> list[bytes]:
    """Return the data of each record: none, which is no change, where it is not base64."""
    try:
        return [b64decode(record["data"], validate=True) for record in batch]  # in one go, as all of them should be
    except (KeyError, *NOT_BASE64):
        return [decode_or_none(record) for record in batch]


def decode_or_none(record: dict[str, Any]) -> bytes:
    """Return the data of a record, none where it is not base64."""
    try:
        return decode_data(record)
    except RejectedChange:
        return b""


def decode_data(record: dict[str, Any]) -> bytes:
    """Return the data of a record. Raises RejectedChange where it is not base64."""
    try:
        return b64decode(record.get("data", ""), validate=True)
    except NOT_BASE64 as error:
        raise RejectedChange(Reason("record", "", "is not base64")) from error


def rejection_of(record_id: str, error: Exception, change: Change | None, mapper: RowMapper) -> Rejection:
    """Return the rejection of a record; of its keys, only what the mapping knows for a key."""
    if change is None:
        return Rejection(record_id, reasons_of(error))
    key = change.key(mapper.mapping.key_attributes)
    return Rejection(record_id, reasons_of(error), key, change.version)


def reasons_of(error: Exception) -> tuple[Reason, ...]:
    """Return why a record failed; an error that nobody foresaw is named by its type."""
    if isinstance(error, RejectedChange):
        return error.reasons
    return (unforeseen(error),)


def processing_failed(record_id: str) -> dict[str, str]:
    """Return the answer for a record that is to be kept.

    `data` must be there, and is empty: Firehose keeps the record as it came, whatever is sent back.
    """
    return {"recordId": record_id, "result": "ProcessingFailed", "data": ""}
