"""Rejects: what a mapping refuses of an export's batch, as a conversion writes it: for a repeat, and for a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dynaurora.dynamodb.changes import dump_json
from dynaurora.failures.failed_records import encode_failed_record
from dynaurora.mappings.reasons import name_reason

if TYPE_CHECKING:
    from dynaurora.aws.objects import Upload
    from dynaurora.dynamodb.changes import Change
    from dynaurora.failures.failed_records import FailedRecord


@dataclass(frozen=True)
class Rejects:
    """What is refused of a planned batch: the records, which are taken up again, and the keys, which stay."""

    records: Upload
    keys: Upload

    def write(self, change: Change, record: FailedRecord, target: str) -> None:
        """Keep a change that a target refuses, by its table."""
        self.records.write(encode_failed_record(record))
        reason = name_reason(record.reasons[0])
        self.keys.write(dump_json({"Target": target, "Keys": change.keys, "Reason": reason}) + b"\n")

    def complete(self) -> None:
        """Make the objects of what was written."""
        self.records.complete()
        self.keys.complete()
