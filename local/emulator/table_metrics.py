"""DynamoDB: what a table tells of itself: its size, and in CloudWatch the capacity that writes take.

- TableSizeBytes is the items' own size ("DynamoDB item sizes and formats"), by the mean of some of them. The emulator
  says 200 bytes for each, AWS what was there up to six hours ago.
- ConsumedWriteCapacityUnits has the units of each minute, of a table (with its local indexes) and of each of its global
  indexes: one for each KB of the larger of an item before and after, two within a transaction, and one for a delete
  of what is not there. SampleCount says how many writes there were. AWS tells a minute once it is over; here it grows.
- TimeToLiveDeletedItemCount has the items that time to live has deleted, which takes no units.

Not emulated: units of conditional writes that fail.

Sources: DynamoDB Developer Guide, "DynamoDB metrics and dimensions" and "DynamoDB read and write operations"; API
Reference, "TableDescription".
"""

import contextvars
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

from ministack.services import cloudwatch, dynamodb

from local.emulator import stream_records
from local.emulator.replacements import Replacements

NAMESPACE = "AWS/DynamoDB"
UNITS = "ConsumedWriteCapacityUnits"
EXPIRED = "TimeToLiveDeletedItemCount"
MINUTE = 60
SAMPLE = 1000
"""Items whose mean size counts for all of a table's."""
ATTEMPTS = 5
"""At reading items while others are written."""
IN_TRANSACTION = 2.0

Item = dict[str, Any]
Table = dict[str, Any]

_factor: contextvars.ContextVar[float] = contextvars.ContextVar("units_of_a_write", default=0.0)
"""What a write that tells the stream takes, beside its size: 0 where it is counted otherwise."""
_lock = threading.Lock()


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour; after those of PartiQL, which tell the stream of its writes."""
    module = dynamodb.__name__
    emulator.require(module, "_item_size_bytes", "(item: dict) -> int")
    emulator.require(module, "_capacity_kb", "(nbytes: int) -> float")
    emulator.require(module, "_index_write_units", "(table, idx, old_item, new_item)")
    emulator.require(cloudwatch.__name__, "_metric_bucket", "(key: tuple) -> list")
    emulator.require(cloudwatch.__name__, "_dims_key", "(dims: dict) -> str")
    emulator.wrap(module, "_table_description", "(name)", _tell_size)
    emulator.wrap(
        module,
        "_add_consumed_capacity",
        "(result, data, table_name, write=False, old_item=None, new_item=None, index_name=None)",
        _count_single,
    )
    emulator.wrap(module, "_accumulate_write_capacity", "(cap, table, old_item, new_item)", _count_of_batch)
    emulator.wrap(
        module,
        "_emit_stream_event",
        "(table_name: str, event_name: str, old_item: dict | None, new_item: dict | None, replicate: bool = True)",
        _count_told,
    )
    for operation, factor in (
        ("_transact_write_items", IN_TRANSACTION),
        ("_execute_transaction", IN_TRANSACTION),
        ("_execute_statement", 1.0),
    ):
        emulator.wrap(module, operation, "(data)", partial(_with_factor, factor=factor))


def record_units(table: Table, before: Item | None, after: Item | None, factor: float = 1.0) -> None:
    """Record what a write takes, of its table and of each global index that it changes."""
    size = max(dynamodb._item_size_bytes(item) if item else 0 for item in (before, after))
    units = dynamodb._capacity_kb(size)
    units += sum(_of_index(table, index, before, after) for index in table.get("LocalSecondaryIndexes") or [])
    dimensions = {"TableName": table["TableName"]}
    record(dimensions, units * factor)
    for index in table.get("GlobalSecondaryIndexes") or []:
        if units_of_index := _of_index(table, index, before, after):
            record(dimensions | {"GlobalSecondaryIndexName": index["IndexName"]}, units_of_index * factor)


def record(dimensions: dict[str, str], value: float, metric: str = UNITS) -> None:
    """Add a value to those of this minute."""
    minute = int(time.time()) // MINUTE * MINUTE
    with _lock:
        bucket = cloudwatch._metric_bucket((NAMESPACE, metric, cloudwatch._dims_key(dimensions)))
        if not bucket or bucket[-1]["Timestamp"] != minute:
            first = {"SampleCount": 0.0, "Sum": 0.0, "Minimum": value, "Maximum": value}
            bucket.append(
                {"Timestamp": minute, "Value": 0.0, "Unit": "Count", "Dimensions": dimensions, "_stat": first}
            )
        found = bucket[-1]["_stat"]
        found["SampleCount"] += 1
        found["Sum"] += value
        found["Minimum"], found["Maximum"] = min(found["Minimum"], value), max(found["Maximum"], value)
        bucket[-1]["Value"] = found["Sum"] / found["SampleCount"]


def _of_index(table: Table, index: dict[str, Any], before: Item | None, after: Item | None) -> float:
    return float(dynamodb._index_write_units(table, index, before, after) or 0)


def _count_single(original: Any) -> Any:
    def add(
        result: Any,
        data: Any,
        table_name: str,
        write: bool = False,
        old_item: Item | None = None,
        new_item: Item | None = None,
        index_name: str | None = None,
    ) -> None:
        original(result, data, table_name, write, old_item, new_item, index_name)
        if write and (table := dynamodb._tables.get(table_name)):
            record_units(table, old_item, new_item)

    return add


def _count_of_batch(original: Any) -> Any:
    def accumulate(cap: Any, table: Table, old_item: Item | None, new_item: Item | None) -> None:
        original(cap, table, old_item, new_item)
        record_units(table, old_item, new_item)

    return accumulate


def _count_told(original: Any) -> Any:
    def emit(
        table_name: str, event_name: str, old_item: Item | None, new_item: Item | None, replicate: bool = True
    ) -> None:
        original(table_name, event_name, old_item, new_item, replicate)
        if stream_records.is_by_service():
            record({"TableName": table_name}, 1.0, EXPIRED)
        factor = _factor.get()
        if factor and replicate and (table := dynamodb._tables.get(table_name)):
            record_units(table, old_item, new_item, factor)

    return emit


def _with_factor(original: Callable[[Any], Any], factor: float) -> Callable[[Any], Any]:
    def execute(data: Any) -> Any:
        token = _factor.set(factor)
        try:
            return original(data)
        finally:
            _factor.reset(token)

    return execute


def _tell_size(original: Any) -> Any:
    def describe(name: str) -> Any:
        description = original(name)
        table = dynamodb._tables.get(name)
        if table and isinstance(description, dict) and "TableSizeBytes" in description:
            description["TableSizeBytes"] = round(measure_mean(table) * description.get("ItemCount", 0))
        return description

    return describe


def measure_mean(table: Table) -> float:
    """Return the mean size of some of a table's items; 0 where it has none."""
    for _ in range(ATTEMPTS):
        try:
            items = list(islice((item for rows in table["items"].values() for item in rows.values()), SAMPLE))
        except RuntimeError:  # others were written meanwhile
            continue
        return sum(map(dynamodb._item_size_bytes, items)) / len(items) if items else 0.0
    return 0.0
