"""Scans of the source table: in segments that are read beside each other, together no faster than is allowed.

Pages are eventually consistent, which costs half: whoever finds something in them reads it again.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aws import sdk
from dynaurora.dynamodb.items import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dynaurora.dynamodb.changes import TypedItem

PAGE_ITEMS: Final = 500


@dataclass
class Pace:
    """Read units, and when they may be used."""

    units_a_second: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    units: float = 0.0
    """Used so far."""
    _free_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def use(self, units: float) -> None:
        """Count units that were used, and wait until others may be."""
        with self._lock:
            self.units += units
            self._free_at = max(self._free_at, self.clock()) + units / self.units_a_second
            wait = self._free_at - self.clock()
        if wait > 0:
            self.sleep(wait)


@dataclass(frozen=True)
class TableScan:
    """A scan of one table."""

    table: str
    pace: Pace

    def read_segment(self, segment: int, segments: int) -> Iterator[list[TypedItem]]:
        """Yield the pages of a segment, each at most 1 MB, its items in DynamoDB's JSON."""
        asked: dict[str, Any] = {"Segment": segment, "TotalSegments": segments}
        while True:
            with sdk.translated_errors():
                page = sdk.client("dynamodb").scan(
                    TableName=self.table, Limit=PAGE_ITEMS, ReturnConsumedCapacity="TOTAL", **asked
                )
            yield [{name: to_json(value) for name, value in item.items()} for item in page["Items"]]
            self.pace.use(float(page.get("ConsumedCapacity", {}).get("CapacityUnits", 0)))
            if "LastEvaluatedKey" not in page:
                return
            asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]
