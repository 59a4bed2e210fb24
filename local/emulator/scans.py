"""DynamoDB: a scan costs what its pages hold, not what the table holds.

The emulator sorts the whole table for every page, so that a scan takes time with the square of the table's size: half a
minute for 100,000 items. Here a table is sorted when it is first scanned, and kept in order with its writes.

The order is the emulator's own: the text of the keys. A page ends as AWS ends it, at ``Limit`` items or 1 MB. Scans of
an index go through the emulator as they are.
"""

import contextvars
import zlib
from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ministack.core import responses
from ministack.services import dynamodb

from local.emulator.change_log import key_values
from local.emulator.replacements import Replacements

Item = dict[str, Any]
Key = tuple[str, str]
Table = dict[str, Any]

FEW = 32
"""As many new keys are put in their place one by one; with more of them all keys are sorted again."""


@dataclass
class Order:
    """The keys of one table, in order; of removed items too, until they are many.

    Other threads write meanwhile: what they add is in its place for the next page.
    """

    table: Table
    keys: list[Key] = field(default_factory=list)
    added: list[Key] = field(default_factory=list)
    """Keys that are not in their place yet."""

    def __post_init__(self) -> None:
        self._sort()

    def items_after(self, key: Key | None) -> Iterator[Item]:
        """Yield the items behind a key, or all of them."""
        self._settle()
        items, last = self.table["items"], None
        for position in range(bisect_right(self.keys, key) if key else 0, len(self.keys)):
            partition, sort = found = self.keys[position]
            rows = items.get(partition)
            item = rows.get(sort) if rows else None
            if item is not None and found != last:  # an item that was removed and put again is there twice
                yield item
            last = found

    def _settle(self) -> None:
        if len(self.added) > FEW or len(self.keys) > 2 * self.table.get("ItemCount", 0) + FEW:
            self._sort()
        while self.added:
            insort(self.keys, self.added.pop())

    def _sort(self) -> None:
        self.added.clear()  # first: what is added from now on is there twice at most
        parts = list(self.table["items"].items())
        self.keys = sorted((partition, sort) for partition, rows in parts for sort in list(rows))


@dataclass(frozen=True)
class Scan:
    """The scan that is being answered."""

    order: Order
    request: dict[str, Any]

    @property
    def empty_table(self) -> Table:
        """The table without its items: the emulator, which sorts them, is given those of the page later."""
        return {**self.order.table, "items": {}}

    def items(self) -> Iterator[Item]:
        """Yield the items from where the scan goes on, those of its segment."""
        table, start = self.order.table, self.request.get("ExclusiveStartKey")
        items = self.order.items_after(key_values(table, start) if start else None)
        segments = self.request.get("TotalSegments")
        if segments is None:
            return items
        number, of = int(self.request["Segment"]), int(segments)
        return (item for item in items if zlib.crc32(key_values(table, item)[0].encode()) % of == number)


_orders: dict[str, Order] = {}  # by the table's ARN, which names its account and region
_scan: contextvars.ContextVar[Scan | None] = contextvars.ContextVar("scan", default=None)


def install(emulator: Replacements) -> None:
    """Plan the replacements that find a page's items."""
    module = dynamodb.__name__
    emulator.require(module, "_normalize_table_name", "(value: str) -> str")
    emulator.wrap(module, "_scan", "(data)", _scan_in_order)
    emulator.wrap(module, "_paginate_evaluated_items", "(items, limit, table, index_name=None)", _take_page)
    emulator.wrap(module, "_set_item", "(table, pk_val, sk_val, item)", _note_key)
    emulator.wrap(module, "_items_replaced", "(table)", _forget_order)
    emulator.wrap(responses.__name__, "AccountRegionScopedDict.get", "(self, key, default=None)", _empty_scanned)


def _scan_in_order(original: Any) -> Any:
    def scan(data: dict[str, Any]) -> Any:
        table = dynamodb._tables.get(dynamodb._normalize_table_name(data.get("TableName")))
        if table is None or data.get("IndexName"):
            return original(data)
        token = _scan.set(Scan(_find_order(table), data))
        try:
            return original(data)
        finally:
            _scan.reset(token)

    return scan


def _empty_scanned(original: Any) -> Any:
    """Show the table that is being scanned as an empty one, to whoever answers that scan."""

    def get(self: Any, key: Any, default: Any = None) -> Any:
        scan = _scan.get()
        return original(self, key, default) if scan is None or self is not dynamodb._tables else scan.empty_table

    return get


def _take_page(original: Any) -> Any:
    def paginate(items: Any, limit: Any, table: Table, index_name: str | None = None) -> Any:
        scan = _scan.get()
        return original(items if scan is None else scan.items(), limit, table, index_name)

    return paginate


def _note_key(original: Any) -> Any:
    def set_item(table: Table, pk_val: Any, sk_val: Any, item: Item) -> Any:
        before = original(table, pk_val, sk_val, item)
        order = _orders.get(table["TableArn"])
        if before is None and order is not None and order.table is table:
            order.added.append((pk_val, sk_val))
        return before

    return set_item


def _forget_order(original: Any) -> Any:
    def items_replaced(table: Table) -> None:
        original(table)
        _orders.pop(table["TableArn"], None)

    return items_replaced


def _find_order(table: Table) -> Order:
    order = _orders.get(table["TableArn"])
    if order is None or order.table is not table:  # another one of that name, or one restored from the saved state
        order = _orders[table["TableArn"]] = Order(table)
    return order
