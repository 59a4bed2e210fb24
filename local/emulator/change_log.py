"""DynamoDB point-in-time recovery: a log of what every write replaced, from which a table's past can be told.

While recovery is on, each write to a table leaves its time, its key and the item as it was before. The table as it
was at some instant is the table as it is now, with the writes since then taken back; so its content when recovery
was switched on needs no copy, and a log entry costs 32 bytes and a reference to the replaced item. Entries older than
the recovery period (``RecoveryPeriodInDays``, 1 to 35, 35 unless set) are dropped; switching recovery off drops all
of them, and with them the past, as on AWS (developer guide, "Point-in-time recovery for DynamoDB"; API reference,
``PointInTimeRecoverySpecification``).

Differences: ``LatestRestorableDateTime`` is now (AWS: typically five minutes ago), the log does not outlive the
emulator, and a write that changes nothing leaves no entry, just as it leaves no stream record.
"""

import json
import random
import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from ministack.core import responses
from ministack.services import dynamodb

from local.emulator import faults
from local.emulator.replacements import Replacements

MICROSECONDS = 1_000_000
DEFAULT_PERIOD_DAYS = 35

_DAY = 86_400 * MICROSECONDS
_TRIM_EVERY = 1 << 16
_READ_AT_A_TIME = 10_000  # some 2 ms, for which writers wait

Item = dict[str, Any]
Table = dict[str, Any]
Key = tuple[Any, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one item within a window: never was it absent both before and after."""

    written: int
    """Time of the last write in the window; microseconds since the epoch."""
    before: Item | None
    """The item when the window began; ``None`` when there was none."""
    after: Item | None
    """The item when the window ended; ``None`` when it was deleted."""


@dataclass(frozen=True, slots=True)
class _Entries:
    """A part of a log, copied while the log's lock was held and worked on afterwards."""

    partitions: list[Any]
    sorts: list[Any]
    before: list[Item | None]

    def keys(self) -> Iterator[Key]:
        return zip(self.partitions, self.sorts, strict=True)

    def first_of_each(self) -> dict[Key, Item | None]:
        """Return the earliest entry of each key: the item as it was before all of them."""
        keys = zip(reversed(self.partitions), reversed(self.sorts), strict=True)
        return dict(zip(keys, reversed(self.before), strict=True))


class ChangeLog:
    """The writes to one table since its recovery was switched on. All times are microseconds since the epoch."""

    def __init__(self, table: Table, period_days: int) -> None:
        self.table = table
        self.period_days = period_days
        self.lock = threading.Lock()
        """Held for every write to the table, so that the table and its log are seen in step."""
        # The window begins on a whole second, for that is what can be asked for: the table is its base from then on.
        self._started = int(time.time()) * MICROSECONDS
        self._times = array("q")
        self._partitions: list[Any] = []
        self._sorts: list[Any] = []
        self._before: list[Item | None] = []
        self._dropped = 0

    @property
    def earliest(self) -> int:
        """The first instant that the log can tell of."""
        return max(self._begun, now() - self.period_days * _DAY)

    @property
    def _begun(self) -> int:
        return self._started - faults.read_recovery_age() * MICROSECONDS

    @property
    def position(self) -> int:
        """How many writes were ever logged; ``rewind`` goes back to it."""
        return self._dropped + len(self._times)

    @property
    def _next_time(self) -> int:
        """The least time that the next write may have: times only grow, also when the clock is set back."""
        return self._times[-1] + 1 if self._times else self._begun

    def record(self, partition: Any, sort: Any, before: Item | None) -> None:
        """Log a write of the item with these key values. The caller holds the lock."""
        times = self._times
        times.append(max(now() - faults.read_writes_age() * MICROSECONDS, self._next_time))
        self._partitions.append(partition)
        self._sorts.append(sort)
        self._before.append(before)
        if not len(times) % _TRIM_EVERY:
            self._trim()

    def rewind(self, position: int) -> None:
        """Forget the writes since ``position``: they were rolled back."""
        with self.lock:
            self._delete(slice(max(0, position - self._dropped), None))

    def items_at(self, cut: int) -> Iterator[Item]:
        """Return the items just prior to ``cut``, or as they are now if that is still to come; in no order.

        Writes go on meanwhile. It does not matter which of them are seen: each is later than the cut and logged by
        the time the log is read, so that it is taken back.
        """
        with self.lock:
            cut = min(cut, self._next_time)
            parts = list(self.table["items"].values())
        items: list[Item] = []
        for chunk in _in_chunks(parts):
            with self.lock:
                items += [item for rows in chunk for item in rows.values()]
        with self.lock:
            later = self._entries(bisect_left(self._times, cut), None)
        return self._take_back(items, later.first_of_each())

    def items_around(self, cut: int, spread: int) -> Iterator[Item]:
        """Return the items as `items_at` does, each as of an instant of its own: up to ``spread`` to either side."""
        first = cut - spread
        with self.lock:
            last = min(cut + spread, max(self._next_time, now()))
            written = self._entries(bisect_left(self._times, first), bisect_left(self._times, last)).first_of_each()
        for item in self.items_at(first):
            if key_values(self.table, item) not in written:
                yield item
        for key in written:
            found = self._states_at(random.randint(first, max(first, last)), [key])[key]  # noqa: S311 (no secret)
            if found is not None:
                yield found

    def changes_between(self, start: int, end: int) -> list[Change]:
        """Return what was written from ``start`` (inclusive) to ``end`` (exclusive): one change for each item.

        An item that was there neither before nor after the window leaves none.
        """
        with self.lock:
            end = min(end, self._next_time)
            first, last = bisect_left(self._times, start), bisect_left(self._times, end)
            times, within = self._times[first:last], self._entries(first, last)
        written = dict(zip(within.keys(), times, strict=True))  # the last of each key
        before = within.first_of_each()
        after = self._states_at(end, list(before))
        return [
            Change(written[key], old, after[key])
            for key, old in before.items()
            if old is not None or after[key] is not None
        ]

    def changes_around(self, start: int, end: int, spread: int) -> list[Change]:
        """Return changes as `changes_between` does, each between instants of its own, up to ``spread`` off the ends."""
        with self.lock:
            first, last = bisect_left(self._times, start - spread), bisect_left(self._times, end + spread)
            times, keys = self._times[first:last], list(self._entries(first, last).keys())
            latest = self._next_time
        of_key: dict[Key, list[int]] = {}
        for key, at in zip(keys, times, strict=True):
            of_key.setdefault(key, []).append(at)
        drawn = [self._draw_change(key, within, start, min(end, latest), spread) for key, within in of_key.items()]
        return [change for change in drawn if change is not None]

    def _draw_change(self, key: Key, times: list[int], start: int, end: int, spread: int) -> Change | None:
        begin, until = (at + random.randint(-spread, spread) for at in (start, end))  # noqa: S311 (no secret)
        within = [at for at in times if begin <= at < until]
        if not within:
            return None
        before, after = (self._states_at(cut, [key])[key] for cut in (begin, until))
        return None if before is None and after is None else Change(within[-1], before, after)

    def _states_at(self, cut: int, keys: list[Key]) -> dict[Key, Item | None]:
        states = {}
        for chunk in _in_chunks(keys):
            with self.lock:
                rows = self.table["items"]
                states.update({(partition, sort): rows.get(partition, {}).get(sort) for partition, sort in chunk})
        with self.lock:
            later = self._entries(bisect_left(self._times, cut), None)
        states.update((key, item) for key, item in later.first_of_each().items() if key in states)
        return states

    def _take_back(self, items: list[Item], replaced: dict[Key, Item | None]) -> Iterator[Item]:
        if not replaced:
            yield from items
            return
        for item in items:
            if key_values(self.table, item) not in replaced:
                yield item
        yield from (item for item in replaced.values() if item is not None)

    def _entries(self, first: int, last: int | None) -> "_Entries":
        part = slice(first, last)
        return _Entries(self._partitions[part], self._sorts[part], self._before[part])

    def _trim(self) -> None:
        """Drop what is older than the period once that is half of the log, so that dropping costs little a write."""
        outdated = bisect_left(self._times, self.earliest)
        if outdated > len(self._times) // 2:
            self._delete(slice(0, outdated))
            self._dropped += outdated

    def _delete(self, part: slice) -> None:
        del self._times[part]
        del self._partitions[part], self._sorts[part], self._before[part]


_logs: dict[str, ChangeLog] = {}  # by the table's ARN, which names its account and region
_transaction = threading.local()


def install(emulator: Replacements) -> None:
    """Plan the replacements that log writes and switch logs on and off."""
    module = dynamodb.__name__
    emulator.require(module, "_extract_key_val", "(attr)")
    emulator.require(module, "_normalize_table_name", "(value: str) -> str")
    emulator.wrap(module, "_set_item", "(table, pk_val, sk_val, item)", _log_set)
    emulator.wrap(module, "_remove_item", "(table, pk_val, sk_val)", _log_removal)
    emulator.wrap(module, "_execute_transaction", "(data)", _note_positions)
    emulator.wrap(module, "_items_replaced", "(table)", _rewind_transaction)
    emulator.wrap(module, "_update_continuous_backups", "(data)", _switch_log)
    emulator.wrap(module, "_describe_continuous_backups", "(data)", _tell_window)


def now() -> int:
    """Return the current time in microseconds since the epoch."""
    return time.time_ns() // 1000


def find_log(table: Table) -> ChangeLog | None:
    """Return the log of a table of the current account and region; ``None`` when its recovery is off."""
    if not dynamodb._pitr_settings.get(table["TableName"]):
        return None
    log = _logs.get(table["TableArn"])
    if log is None or log.table is not table:  # restored from the emulator's saved state: its past is gone
        log = _start_log(table, DEFAULT_PERIOD_DAYS)
    return log


def _in_chunks(values: list[T]) -> Iterator[list[T]]:
    return (values[start : start + _READ_AT_A_TIME] for start in range(0, len(values), _READ_AT_A_TIME))


def key_values(table: Table, item: Item) -> Key:
    """Return the values that the emulator stores an item under."""
    sort = table["sk_name"]
    partition = dynamodb._extract_key_val(item.get(table["pk_name"]))
    return partition, dynamodb._extract_key_val(item.get(sort)) if sort else "__no_sort__"


def _start_log(table: Table, period_days: int) -> ChangeLog:
    for arn, log in list(_logs.items()):
        if dynamodb._tables.get(log.table["TableName"]) is not log.table and _is_in_scope(arn):
            del _logs[arn]  # its table was deleted
    log = _logs[table["TableArn"]] = ChangeLog(table, period_days)
    return log


def _is_in_scope(arn: str) -> bool:
    return arn.split(":")[3:5] == [responses.get_region(), responses.get_account_id()]


def _log_set(original: Any) -> Any:
    def set_item(table: Table, pk_val: Any, sk_val: Any, item: Item) -> Any:
        log = _logs.get(table["TableArn"])
        if log is None or log.table is not table:
            return original(table, pk_val, sk_val, item)
        with log.lock:
            before = original(table, pk_val, sk_val, item)
            if before != item:
                log.record(pk_val, sk_val, before)
        return before

    return set_item


def _log_removal(original: Any) -> Any:
    def remove_item(table: Table, pk_val: Any, sk_val: Any) -> Any:
        log = _logs.get(table["TableArn"])
        if log is None or log.table is not table:
            return original(table, pk_val, sk_val)
        with log.lock:
            before = original(table, pk_val, sk_val)
            if before is not None:
                log.record(pk_val, sk_val, before)
        return before

    return remove_item


def _note_positions(original: Any) -> Any:
    """Remember how far each log goes before a PartiQL transaction, which the emulator undoes after it has written."""

    def execute(data: dict[str, Any]) -> Any:
        _transaction.positions = {arn: log.position for arn, log in list(_logs.items())}
        try:
            return original(data)
        finally:
            del _transaction.positions

    return execute


def _rewind_transaction(original: Any) -> Any:
    def items_replaced(table: Table) -> None:
        original(table)
        position = getattr(_transaction, "positions", {}).get(table["TableArn"])
        if position is not None and _logs[table["TableArn"]].table is table:
            _logs[table["TableArn"]].rewind(position)

    return items_replaced


def _switch_log(original: Any) -> Any:
    def update(data: dict[str, Any]) -> Any:
        table = _named_table(data)
        if table is None:
            return _refuse_missing(data)
        answer = original(data)
        _apply_recovery(table, data.get("PointInTimeRecoverySpecification") or {})
        return answer

    return update


def _apply_recovery(table: Table, specification: dict[str, Any]) -> None:
    if not specification.get("PointInTimeRecoveryEnabled"):
        _logs.pop(table["TableArn"], None)
        return
    period_days = int(specification.get("RecoveryPeriodInDays") or DEFAULT_PERIOD_DAYS)
    log = _logs.get(table["TableArn"])
    if log is None or log.table is not table:
        _start_log(table, period_days)
    else:
        log.period_days = period_days


def _tell_window(original: Any) -> Any:
    def describe(data: dict[str, Any]) -> Any:
        table = _named_table(data)
        if table is None:
            return _refuse_missing(data)
        answer = original(data)
        log = find_log(table)
        if log is None:
            return answer
        content = json.loads(answer[2])
        content["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"] |= {
            "RecoveryPeriodInDays": log.period_days,
            "EarliestRestorableDateTime": log.earliest // MICROSECONDS,
            "LatestRestorableDateTime": int(time.time()),
        }
        return responses.json_response(content)

    return describe


def _named_table(data: dict[str, Any]) -> Table | None:
    table: Table | None = dynamodb._tables.get(dynamodb._normalize_table_name(data.get("TableName")))
    return table


def _refuse_missing(data: dict[str, Any]) -> Any:
    return responses.error_response_json("TableNotFoundException", f"Table not found: {data.get('TableName')}", 400)
