"""Refused rows: rows that Aurora refused while their batch was imported, kept as failed records, and read again.

A refused row's change is gone by then, and its values are told to nobody: what is kept is its key and its version.

    {"Refused": {"Target": "WebAnalytics", "Keys": {"page_id": "/a"}, "Version": "1700…", "Error": 1406,
                 "Column": "country_code", "Length": 70}}

`Keys` are as the batch's CSV had them: text, and base64 where the key's column is binary; `Length` is in bytes.
Reprocessing reads the item by its key, consistently: that is a view of the table, dated back like every one, but
never behind the version that was refused, which nothing else has and which the item that is read is not older than. A
key that the table does not have is a delete of that version.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from dynaurora import keys
from dynaurora.dynamodb.changes import Change
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.errors import InvalidSettingsError, Reason, RejectedChange
from dynaurora.failures.failed_records import FailedRecord, encode_failed_record, now_ms
from dynaurora.mappings.key_types import type_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.batches.isolating import RefusedRow
    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.mappings.mapping import Mapping

ROW_REFUSED: Final = "dynaurora.RowRefused"
"""The errorCode of a row that Aurora refused."""
MARK_OF_REFUSED: Final = b'{"Refused": '
"""What such a record begins with, and no change does."""
TOO_OFTEN: Final = Reason("row", "", "Aurora has refused it too often")
"""Why a refused row is not read once more."""


class ItemReader(Protocol):
    """What reading a refused row again needs of the source table."""

    def read_key_types(self) -> dict[str, str]:
        """Return the type descriptor of each key attribute: S, N or B."""
        ...

    def read_item(self, key: TypedItem) -> TypedItem | None:
        """Return an item as it is now, by its key; None where there is none."""
        ...


@dataclass(frozen=True)
class RefusedRows:
    """Where refused rows are kept."""

    store: ObjectStore
    bucket: str
    function_arn: str

    def __call__(self, mapping: str, ledger_id: str, rows: Sequence[RefusedRow], failures: int) -> None:
        """Keep the refused rows of a part of a batch as one object of the failed prefix; a repeat replaces it.

        `failures` is how often they failed before.
        """
        body = b"".join(encode_failed_record(self._record(row, failures)) for row in rows)
        self.store.write(self.bucket, keys.refused_rows(mapping, ledger_id), body)
        self.store.write(self.bucket, keys.refused_rows_copy(mapping, ledger_id), body)  # for its run's sweep

    def _record(self, row: RefusedRow, failures: int) -> FailedRecord:
        refused = {
            "Target": row.target,
            "Keys": row.keys,
            "Version": str(row.version),
            "Error": row.error,
            "Column": row.column,
            "Length": row.length,
        }
        size = "" if row.length is None else f", a value of {row.length} bytes"
        message = f"Aurora refuses the row: error {row.error}, column {row.column or 'not named'}{size}."
        data = json.dumps({"Refused": refused}).encode()
        reason = Reason(f"SQL {row.error}", row.column or "row", "is refused by Aurora")
        return FailedRecord(
            data,
            ROW_REFUSED,
            message,
            failures + 1,
            now_ms(),
            self.function_arn,
            reprocessed=failures,
            reasons=(reason,),
        )


@dataclass(frozen=True)
class KeptRow:
    """A refused row as it is kept."""

    keys: dict[str, str]
    version: int
    target: str = ""


def decode_refused_row(data: bytes) -> KeptRow | None:
    """Return the refused row in a failed record; None where it has something else.

    Raises RejectedChange where it is none after all.
    """
    if not data.startswith(MARK_OF_REFUSED):
        return None
    try:
        refused: dict[str, Any] = json.loads(data)["Refused"]
        texts = {str(name): str(text) for name, text in refused["Keys"].items()}
        return KeptRow(texts, int(refused["Version"]), str(refused.get("Target") or ""))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RejectedChange(Reason("record", "", "it is no row that Aurora refused")) from error


@dataclass
class RefusedRowReader:
    """Reads the items of refused rows again."""

    mapping: Mapping
    items: ItemReader | None
    clock: Callable[[], float] = time.time
    _types: dict[str, str] = field(default_factory=dict)

    def read_change(self, row: KeptRow) -> Change:
        """Return what the item of a refused row is now, as a change.

        Raises RejectedChange where the row's key is another than the table's, and what reading the table raises.
        """
        if self.items is None:
            raise InvalidSettingsError("Nothing says how to read the source table, which a refused row needs.")
        self._types = self._types or self.items.read_key_types()
        key = self._key(row)
        read_at = int(self.clock())
        item = self.items.read_item(key)
        version = max(snapshot_version(read_at), row.version)
        return Change(version, read_at * 1000, key, item)

    def _key(self, row: KeptRow) -> TypedItem:
        names = set(self.mapping.key_attributes)
        if not row.keys.keys() == names == self._types.keys():
            raise RejectedChange(
                Reason("key", "", f"its key is {sorted(row.keys)}, and the table's {sorted(self._types)}")
            )
        return type_key(self.mapping, self._types, row.keys)
