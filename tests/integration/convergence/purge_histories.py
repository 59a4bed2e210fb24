"""Histories of half a year in which rows are purged: what is written to a few keys, and how late which news of it is.

Changes land within two days and are imported then, or wait for months; they are kept as failed, rewritten, parked, and
reprocessed months later; batches are delivered again, and put back after the bucket's lifecycle took them; exports are
made, and given when they are old. What is in the bucket, and when it was written, is as the production code that finds
the horizon reads it. In between, all that it allows to go is purged.

What the floor has to refuse is only what nobody could know of: an old export that was given, an object that was put
back. Anything else that is refused was purged too early; and in the end people have to see the table's items.
"""

import heapq
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, Final, Protocol

from dynaurora import keys
from dynaurora.batches.batch import IMPORTED
from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.dynamodb.versions import make_version, snapshot_version
from dynaurora.failures.failed_records import FailedRecord, encode_failed_record
from dynaurora.failures.list_failures import Place
from dynaurora.purging import horizon
from tests.support.factories import make_plan
from tests.support.fakes import InMemoryObjects

NAME: Final = "web_analytics"
PLACE: Final = Place("landing", NAME, "web_analytics")
START: Final = 1_700_000_000
HOUR, DAY = 3600, 86400
DAYS: Final = 180
RETENTION: Final = 30 * DAY
"""For how long the bucket has what is imported."""
KEPT_DAYS: Final = horizon.KEPT_DAYS_LEAST

Line = tuple[str, int, int | None]
"""A key, a version, and the number of the write that it shows; None for a delete."""


class Replica(Protocol):
    """What changes are imported into."""

    purged: int
    """Tombstones that were purged."""

    def apply(self, name: str, lines: list[Line], now: int) -> bool:
        """Import a batch of this name, unless it is in the ledger; return whether it is above the floor."""
        ...

    def purge(self, found: horizon.Horizon) -> None:
        """Purge all that may go."""
        ...

    def show(self) -> dict[str, int]:
        """Return what people see: the number of the write of each key."""
        ...


@dataclass
class PlainReplica:
    """The rule, in plain words."""

    rows: dict[str, Line] = field(default_factory=dict)
    ledger: dict[str, int] = field(default_factory=dict)
    floor: int = 0
    purged: int = 0

    def apply(self, name: str, lines: list[Line], now: int) -> bool:
        if name in self.ledger:
            return True
        if min(version for _, version, _ in lines) < self.floor * 10**40:
            return False
        for line in lines:
            if line[1] > self.rows.get(line[0], line)[1] or line[0] not in self.rows:
                self.rows[line[0]] = line
        self.ledger[name] = now
        return True

    def purge(self, found: horizon.Horizon) -> None:
        self.floor = max(self.floor, found.floor)
        gone = [key for key, version, n in self.rows.values() if n is None and version < self.floor * 10**40]
        self.purged += len(gone)
        for key in gone:
            del self.rows[key]
        before = found.imports_before.timestamp()
        self.ledger = {name: finished for name, finished in self.ledger.items() if finished >= before}

    def show(self) -> dict[str, int]:
        return {key: n for key, _, n in self.rows.values() if n is not None}


@dataclass
class PurgeHistory:
    """One history."""

    seed: int
    replica: Replica
    faults: list[str] = field(default_factory=list)
    refused: int = 0
    """Of what nobody could know of."""

    def __post_init__(self) -> None:
        self._draw = random.Random(f"purges {self.seed}")
        self._numbers = count(1)
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._store = InMemoryObjects()
        self._runs: dict[str, horizon.OpenRun] = {}
        self._now = START
        self._writes = [*self._draw_writes()]
        for at, number, key, n in self._writes:
            self._schedule_change(at, (key, make_version(at, number), n))
        for _ in range(self._draw.choice((0, 1, 2, 3))):
            self._schedule_export()
        for _ in range(self._draw.randint(3, 12)):
            self._at(START + self._draw.randint(20, DAYS * 2) * DAY, self._purge)

    def run(self) -> list[str]:
        """Tell it to its end; return what went wrong."""
        while self._queue:
            self._now, _, happen = heapq.heappop(self._queue)
            happen()
        items: dict[str, int] = {}
        for _, _, key, n in self._writes:
            items.pop(key, None)
            if n is not None:
                items[key] = n
        if items != self.replica.show():
            self.faults.append(f"people see {self.replica.show()}, and the items are {items}")
        return self.faults

    def _draw_writes(self) -> Iterator[tuple[int, int, str, int | None]]:
        """Yield puts and deletes, in order: when, the sequence number, the key, and the number; None deletes."""
        draw, there, at = self._draw, set[str](), START
        for number in range(1, draw.randint(5, 12)):
            at += draw.choice((0, 1, HOUR, DAY, 5 * DAY, 30 * DAY))
            key = draw.choice("abc")
            if key in there and draw.random() < 0.6:
                there.remove(key)
                yield at, number, key, None
            else:
                there.add(key)
                yield at, number, key, number

    def _at(self, time: int, happen: Callable[..., None], *given: Any) -> None:
        heapq.heappush(self._queue, (time, next(self._numbers), partial(happen, *given)))

    def _later(self, longest: int) -> int:
        """Return a time from now on, often soon and sometimes at the end."""
        return self._now + self._draw.choice((0, self._draw.randint(0, longest), longest))

    def _schedule_change(self, at: int, line: Line) -> None:
        self._now = at
        arrives = self._later(48 * HOUR)
        fate = self._draw.choice((self._land, self._land, self._land, self._keep, self._leave_unforwarded))
        self._at(arrives, fate, line)

    # What happens to a streamed batch

    def _land(self, line: Line) -> None:
        key = f"{PLACE.processed}{line[1]}"
        self._write(key, b"")
        waits = self._later(150 * DAY) if self._draw.random() < 0.4 else self._now
        self._at(waits, self._import_landed, key, line)
        if self._draw.random() < 0.3:
            self._at(waits + RETENTION + self._draw.randint(1, 200) * DAY, self._put_back, key, line)

    def _import_landed(self, key: str, line: Line) -> None:
        self._import(key, [line], may_be_refused=False)
        self._store.tags["landing", key] = IMPORTED
        for _ in range(self._draw.choice((0, 1, 2))):
            self._at(self._now + self._draw.randint(0, RETENTION - 1), self._import, key, [line])
        self._at(self._now + RETENTION, self._store.delete, "landing", key)

    def _put_back(self, key: str, line: Line) -> None:
        """Have an object again that the lifecycle took: its import begins anew."""
        if ("landing", key) in self._store.objects:
            return
        if self._import(key, [line], may_be_refused=True):
            self._write(key, b"", IMPORTED)
            self._at(self._now + RETENTION, self._store.delete, "landing", key)

    # What is kept as failed

    def _keep(self, line: Line) -> None:
        key = f"{keys.failed_records_prefix(NAME)}{line[1]}"
        self._write(key, encode_failed_record(FailedRecord(encode_line(line), "Refused", "", 1, 0, "")))
        taken_up = self._later(150 * DAY)
        if self._draw.random() < 0.5:  # refused again, and written anew; or parked
            place = self._draw.choice((key, keys.parked(NAME, key)))
            self._at(self._now + (taken_up - self._now) // 2, self._move, key, place)
            self._at(taken_up, self._reprocess, place, line)
        else:
            self._at(taken_up, self._reprocess, key, line)

    def _move(self, key: str, place: str) -> None:
        body = self._store.read("landing", key)
        self._store.delete("landing", key)
        self._write(place, body)

    def _leave_unforwarded(self, line: Line) -> None:
        at, number = divmod(line[1], 10**40)
        image = {} if line[2] is None else {"NewImage": {"pk": {"S": line[0]}}}
        stamp = {"ApproximateCreationDateTime": at, "SequenceNumber": str(number), "Keys": {"pk": {"S": line[0]}}}
        event = "REMOVE" if line[2] is None else "MODIFY"
        record = {"eventName": event, "dynamodb": {**stamp, **image}}
        source = {"streamArn": f"arn:aws:dynamodb:us-east-1:1:table/{PLACE.table}/stream/1"}
        key = f"{keys.unforwarded_of('reader')}{line[1]}"
        self._write(key, json.dumps({"payload": {"Records": [record]}, "DDBStreamBatchInfo": source}).encode())
        self._at(self._later(150 * DAY), self._reprocess, key, line)

    def _reprocess(self, key: str, line: Line) -> None:
        self._import(f"reprocessed {line[1]}", [line])
        self._store.delete("landing", key)

    # Backfills

    def _schedule_export(self) -> None:
        """Export the table; the run imports it within days, or it is given to a run months later."""
        draw = self._draw
        at = START + draw.randint(0, DAYS) * DAY + 1
        self._now, run = at, f"r{next(self._numbers)}"
        is_given = draw.random() < 0.5
        self._at(self._later(150 * DAY) if is_given else at, self._open, run, at, is_given)

    def _open(self, run: str, second: int, is_given: bool) -> None:
        options = {"export_arn": "arn:given"} if is_given else {}
        started_at = datetime.fromtimestamp(self._now, UTC).replace(tzinfo=None)
        self._runs[run] = run, "backfill", started_at, options
        self._at(self._now + (self._draw.choice((1, 30)) * DAY if is_given else 0), self._plan, run, second, is_given)

    def _plan(self, run: str, second: int, is_given: bool) -> None:
        self._write(keys.planned(NAME, run), json.dumps(asdict(make_plan(export_second=second))).encode())
        items: dict[str, int] = {}
        for at, _, key, n in self._writes:
            if at <= second:
                items.pop(key, None)
                items |= {} if n is None else {key: n}
        if items:
            lines: list[Line] = [(key, snapshot_version(second), n) for key, n in items.items()]
            batch = partial(self._import, run, lines, may_be_refused=is_given)
            ends = self._later(60 * DAY)
            if not is_given and self._draw.random() < 0.3:  # it fails, and is imported once the run has long ended
                self._fail_batch(run, lines)
                self._at(ends, self._import_failed, run, batch)
                self._runs.pop(run)
                return
            self._at(ends, batch)
            self._at(ends, self._runs.pop, run)
        else:
            self._runs.pop(run)

    def _fail_batch(self, run: str, lines: list[Line]) -> None:
        csv = keys.backfill_batch(NAME, run, 1)
        self._write(csv, b"".join(f"0,{version},{key}\n".encode() for key, version, _ in lines))
        item = {"bucket": "landing", "key": csv, "etag": "etag", "size": 9}
        batch = {"mapping": NAME, "source": "backfill", "run": run, "rows": None, "objects": [item]}
        self._write(keys.failed_batch(NAME, run), json.dumps({"batch": batch}).encode())

    def _import_failed(self, run: str, batch: Callable[[], Any]) -> None:
        batch()
        self._store.delete("landing", keys.failed_batch(NAME, run))

    # The rest

    def _import(self, name: str, lines: list[Line], may_be_refused: bool = False) -> bool:
        if self.replica.apply(name, lines, self._now):
            return True
        if may_be_refused:
            self.refused += 1
        else:
            self.faults.append(f"{name} is refused: it was purged too early")
        return False

    def _purge(self) -> None:
        now = datetime.fromtimestamp(self._now, UTC)
        found = horizon.find_horizon(PLACE, self._store, [*self._runs.values()], KEPT_DAYS, now)
        self.replica.purge(found)

    def _write(self, key: str, body: bytes, tags: dict[str, str] | None = None) -> None:
        self._store.write_tagged("landing", key, body, tags or {})
        self._store.times["landing", key] = datetime.fromtimestamp(self._now, UTC) - timedelta(seconds=1)


def encode_line(line: Line) -> bytes:
    key = {"pk": {"S": line[0]}}
    return encode_change(Change(line[1], 0, key, None if line[2] is None else key))
