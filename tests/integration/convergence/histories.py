"""Random histories: what is written to a few keys within a few minutes, and when which news of it arrives.

A history is all in its seed. It is told in steps. What arrives in a step goes through the code that runs in production
(stream records through forwarding's changes and Firehose's transformation, exports through the converter, what was
refused through the reprocess, deletes that nothing told through the sweep) and leaves it as parcels: lines of CSV to be
imported together.

Times are drawn near the places where the version rule could break: writes within one second, views cut between them,
stretches of the stream that are lost from the middle of a second on.
"""

import base64
import gzip
import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import Any, Final

from dynaurora import changes, keys, versions
from dynaurora.aurora import Aurora
from dynaurora.batches import Batch
from dynaurora.changes import Change, encode_change
from dynaurora.converting import Converter
from dynaurora.csv_batches import encode_row
from dynaurora.errors import RejectedChange, SweepRefusedError
from dynaurora.exports import DataFile, md5_text
from dynaurora.failed_records import REJECTED, FailedRecord, encode_failed_record
from dynaurora.planning import PlannedBatch
from dynaurora.reprocessing import Place as ReprocessPlace
from dynaurora.reprocessing import Remaker, Source, plan_reprocess, settle_records
from dynaurora.rows import RowMapper
from dynaurora.sweeping import Sweeper
from dynaurora.transforming import transform_records
from tests.integration.convergence.dynamodb import MAX_SKEW, SECOND, Table, Write, stream_record
from tests.integration.convergence.things import NAME, PARTITIONS, SORTS, Key, Thing, draw_thing, typed_key
from tests.unit.factories import firehose_record, make_totals
from tests.unit.fakes import InMemoryObjects

BUCKET: Final = "landing"
EVENT_SOURCE_MAPPING: Final = "00000000-0000-0000-0000-000000000000"
START: Final = 1_700_000_000
MARGIN: Final = 120
"""Seconds that a gap's filling reaches beyond the gap: the rule as documented, and not the constant under test."""
MIN_WINDOW: Final = 900
"""Seconds of the shortest incremental export."""
MAX_ATTEMPTS: Final = 2


class Step(IntEnum):
    """The steps of a history; what is delivered in one of them is imported, in any order, before the next begins."""

    FIRST = 0
    LAST = 4
    """Up to here news of all kinds arrive; what fails to be imported may wait for later steps."""
    REPROCESS = 5
    """Everything that was refused is mapped again, with the mended mapping, and imported."""
    SWEEP = 6
    """What a gap in the stream hides is looked for, in what an export lacks or by reading keys."""
    LATE = 7
    """News that were withheld, and repetitions."""


@dataclass
class Parcel:
    """Lines of CSV that are imported together, and what is to be done once they are."""

    lines: list[bytes]
    source: str
    when_imported: Callable[[], Any] = lambda: None


@dataclass(frozen=True)
class FullExport:
    """A full export, a page of a scan, or a reading of keys: items as they were around a second."""

    second: int
    items: dict[Key, Thing]
    files: int


@dataclass(frozen=True)
class Gap:
    """Writes that no stream record ever tells of, from one number to another."""

    first: Write
    last: Write
    start: int = 0
    """The window of the incremental export that fills it, in seconds; 0 where a full export does."""
    end: int = 0

    def hides(self, write: Write) -> bool:
        return self.first.number <= write.number <= self.last.number


@dataclass(frozen=True)
class Mappers:
    """The mapping's two states."""

    mended: RowMapper
    strict: RowMapper


@dataclass
class OwnRows:
    """An Aurora of which a sweep sees one history's rows only: on AWS a run sweeps a table of its own."""

    aurora: Aurora
    prefix: str

    def stream(self, statement: str, arguments: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        with self.aurora.transaction():
            rows = self.aurora.query(statement, arguments)
        return (row for row in rows if row[0].startswith(self.prefix))

    def query(self, statement: str, arguments: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self.aurora.transaction():
            return self.aurora.query(statement, arguments)


@dataclass
class History:
    """One history."""

    seed: int
    prefix: str
    """Of its partition keys: many histories share a table."""
    mappers: Mappers
    story: list[str] = field(default_factory=list)
    """What happened, for people."""
    stream_deletes: dict[bytes, Write] = field(default_factory=dict)
    """The stream's deletes by their line of CSV."""

    def __post_init__(self) -> None:
        self._draw = draw = random.Random(f"history {self.seed}")
        self._store = InMemoryObjects()
        self._runs = 0
        self._refused = 0
        self._schedule: dict[int, list[Callable[[], Iterable[Parcel]]]] = defaultdict(list)
        self._records: dict[int, list[Write]] = defaultdict(list)
        self._exact = draw.random() < 0.5
        self._mended_at = draw.choice((0, 0, *range(Step.LAST + 1)))
        self.table = Table(draw_writes(draw, self.prefix, odd=0.2 if self._mended_at else 0.0))
        for write in self.table.writes:
            self._tell(write)
        self.gap = self._draw_gap()
        self._schedule_stream()
        self._schedule_views()
        self._schedule_reprocess()

    # What it consists of

    def _draw_gap(self) -> Gap | None:
        draw, writes = self._draw, self.table.writes
        if draw.random() < 0.5:
            return None
        first = draw.randrange(len(writes))
        last = min(first + draw.choice((0, 0, 1, 2, 5)), len(writes) - 1)
        gap = Gap(writes[first], writes[last])
        if draw.random() < 0.6:
            end = gap.last.stamped_second + MARGIN + 1 + draw.choice((0, 0, 1, 60, 300))
            start = gap.first.at // SECOND - 61 - draw.choice((0, 0, 1, 60, 300))
            gap = Gap(gap.first, gap.last, min(start, end - MIN_WINDOW) if draw.random() < 0.3 else start, end)
        self._note(f"the stream loses {gap.first.number} to {gap.last.number}")
        return gap

    def _schedule_stream(self) -> None:
        draw = self._draw
        for write in self.table.writes:
            if self.gap and self.gap.hides(write):
                continue
            self._records[self._draw_step()].append(write)
            for _ in range(draw.choice((0, 0, 1, 2))):
                self._records[draw.randint(0, Step.LATE)].append(write)

    def _draw_step(self) -> int:
        """Return when something arrives for the first time: after a sweep only what no gap's filling depends on."""
        late = not self.gap and self._draw.random() < 0.2
        return Step.LATE if late else self._draw.randint(0, Step.LAST)

    def _schedule_views(self) -> None:
        draw, table = self._draw, self.table
        for _ in range(draw.choice((0, 1, 1, 2))):
            export = self._draw_export(self._draw_second((-61, -60, -1, 0, 1, 59, 60, 61, 119, 120, 121)))
            sweeps = not self.gap and draw.random() < 0.4
            self._schedule_export(export, draw.randint(0, Step.LAST) if sweeps else self._draw_step(), sweeps=sweeps)
        if draw.random() < 0.3:
            page = draw.sample(table.keys, draw.randint(1, len(table.keys)))
            second = self._draw_second((-60, 0, 60, 61, 120))
            scanned = FullExport(second, table.view(draw, page, second * SECOND), 1)
            self._schedule_twice(self._draw_step(), partial(self._deliver_scan, scanned))
        if draw.random() < 0.4:
            end = self._draw_second((-61, -60, -30, -1, 0, 1, 60, 119, 120, 121, 122))
            self._schedule_incremental(end - draw.choice((60, 240, MIN_WINDOW)), end)
        if self.gap:
            self._schedule_filling(self.gap)

    def _draw_second(self, offsets: tuple[int, ...]) -> int:
        """Return a second near one that something happened in."""
        return self._draw.choice(self.table.writes).stamped_second + self._draw.choice(offsets)

    def _draw_export(self, second: int) -> FullExport:
        items = self.table.view(self._draw, self.table.keys, second * SECOND)
        return FullExport(second, items, self._draw.choice((1, 1, 2)))

    def _schedule_filling(self, gap: Gap) -> None:
        draw = self._draw
        if not gap.end:
            export = self._draw_export(gap.last.stamped_second + MARGIN + 1 + draw.choice((0, 0, 1, 60, 300)))
            # The sweep refuses a run of which anything was refused, so this one comes when nothing is any more.
            self._schedule_export(export, draw.randint(self._mended_at, Step.LAST), sweeps=True)
            return
        self._schedule_incremental(gap.start, gap.end)

    def _schedule_export(self, export: FullExport, step: int, *, sweeps: bool) -> None:
        run = self._next_run()
        self._note(f"step {step}: {run} exports at {export.second} {shown(export.items)}{' and sweeps' * sweeps}")
        planned = list(self._write_export(run, export))
        refused: list[int] = []
        for batch in planned:
            at = step if sweeps else max(step, self._draw_step())
            self._schedule_twice(at, partial(self._convert, run, export.second, batch, refused))
        if sweeps:
            self._schedule[Step.SWEEP].append(partial(self._sweep, run, export.second, refused))

    def _schedule_incremental(self, start: int, end: int) -> None:
        records = self.table.incremental_export(self._draw, start * SECOND, end * SECOND)
        told = {record.key: record.thing for record in records}
        self._note(f"an incremental export from {start} to {end} {shown(told)}")
        made = [
            self._change(
                versions.incremental_version(record.write_timestamp_micros, end),
                record.write_timestamp_micros // 1000,
                record.key,
                record.thing,
            )
            for record in records
        ]
        for change in made:
            self._schedule_twice(self._draw_step(), partial(self._map, [change], "backfill"))

    def _schedule_twice(self, step: int, deliver: Callable[[], Iterable[Parcel]]) -> None:
        """Schedule a delivery, and sometimes its repetition."""
        self._schedule[step].append(deliver)
        if self._draw.random() < 0.3:
            self._schedule[self._draw.randint(step, Step.LATE)].append(deliver)

    def _schedule_reprocess(self) -> None:
        if self._mended_at:
            self._note(f"step {self._mended_at}: the mapping is mended")
        for _ in range(self._draw.choice((0, 1, 2))):
            self._schedule[self._draw.randint(1, Step.LAST)].append(self._reprocess)
        # Where nothing is lost it may also come after a sweep, which must then have refused.
        last = Step.LATE if not self.gap and self._draw.random() < 0.4 else Step.REPROCESS
        self._schedule[last].append(partial(self._reprocess, parked=True))

    # What arrives

    def deliver(self, step: int, aurora: Aurora, visible: dict[Key, int]) -> list[Parcel]:
        """Return what arrives in a step, shuffled; `visible` are the versions of the rows that people see now."""
        self._aurora = aurora
        # Of each step's own: what came before it may have gone differently beside other histories.
        self._draw = random.Random(f"history {self.seed} step {step}")
        self._mapper = self.mappers.mended if step >= self._mended_at else self.mappers.strict
        parcels = [*self._deliver_stream(step)]
        for deliver in self._schedule[step]:
            parcels += deliver()
        if step == Step.SWEEP and self.gap and self.gap.end:
            parcels += self._read_keys(self.gap, visible)
        self._draw.shuffle(parcels)
        for parcel in parcels:
            self.story += (f"step {step}: {parcel.source} {line.decode().strip()}" for line in parcel.lines)
        return parcels

    def _deliver_stream(self, step: int) -> Iterator[Parcel]:
        """Deliver a step's stream records, each on its own, or have none of them forwarded."""
        writes = self._records[step]
        records = [stream_record(write, exact=self._exact) for write in writes]
        decoded = [changes.from_stream_record(record) for record in records]
        for write, change in zip(writes, decoded, strict=True):
            if write.thing is None:
                self.stream_deletes[encode_row(self._mapper.row(change))] = write
        if records and step < Step.REPROCESS and self._draw.random() < 0.1:
            self._leave_unforwarded(step, records)
        elif records:
            yield from self._transform(decoded)

    def _transform(self, decoded: list[Change]) -> Iterator[Parcel]:
        """Transform changes as Firehose has them transformed."""
        records = [firehose_record(change, str(index)) for index, change in enumerate(decoded)]
        answer = transform_records(records, self._mapper).records
        for change, record in zip(decoded, answer, strict=True):
            if record["result"] == "Ok":
                yield Parcel([base64.b64decode(record["data"])], "stream")
            else:
                self._keep(change)

    def _keep(self, change: Change) -> None:
        """Keep a refused record as Firehose does."""
        self._refused += 1
        key = f"{keys.failed_records_prefix(NAME)}processing-failed/{self._refused:06}"
        record = FailedRecord(encode_change(change), REJECTED, "", 1, 0, "")
        self._store.write(BUCKET, key, encode_failed_record(record))

    def _leave_unforwarded(self, step: int, records: list[dict[str, Any]]) -> None:
        """Keep stream records as the event source mapping does when it gives up on them."""
        key = f"{keys.unforwarded_prefix()}{EVENT_SOURCE_MAPPING}/shardId-1/{step}"
        invocation = {"payload": json.dumps({"Records": records})}
        self._store.write(BUCKET, key, json.dumps(invocation).encode())

    def _map(self, made: Iterable[Change], source: str) -> Iterator[Parcel]:
        """Map what no reader of this project brings yet: scans, incremental exports and items read by key."""
        lines = []
        for change in made:
            try:
                lines.append(encode_row(self._mapper.row(change)))
            except RejectedChange:
                self._keep(change)
        yield Parcel(lines, source)

    def _deliver_scan(self, scanned: FullExport) -> Iterator[Parcel]:
        version = versions.snapshot_version(scanned.second)
        made = [self._change(version, scanned.second * 1000, key, thing) for key, thing in scanned.items.items()]
        return self._map(made, "backfill")

    def _change(self, version: int, changed_at_ms: int, key: Key, thing: Thing | None) -> Change:
        return Change(version, changed_at_ms, typed_key(key), None if thing is None else thing.typed(key))

    def _write_export(self, run: str, export: FullExport) -> Iterator[PlannedBatch]:
        """Write an export's data files and yield the batches that a plan of them has."""
        items = list(export.items.items())
        self._draw.shuffle(items)
        for number in range(export.files):
            share = items[number :: export.files]
            lines = (json.dumps({"Item": thing.typed(key)}).encode() + b"\n" for key, thing in share)
            body = gzip.compress(b"".join(lines), compresslevel=1, mtime=0)
            key = f"{keys.export_prefix(NAME, run)}/AWSDynamoDB/{run}/data/{number}.json.gz"
            self._store.write(BUCKET, key, body)
            md5 = md5_text(hashlib.md5(body, usedforsecurity=False).digest())
            yield PlannedBatch(number + 1, len(share), (DataFile(key, len(share), md5),))

    def _convert(self, run: str, second: int, planned: PlannedBatch, refused: list[int]) -> Iterator[Parcel]:
        converter = Converter(self._mapper, self._store, BUCKET, BUCKET, run, second, function_arn="")
        batch = converter.convert_once(planned)
        refused.append(batch.rows_rejected)
        yield Parcel(self._lines(batch.as_dict()), "backfill")

    def _reprocess(self, *, parked: bool = False) -> Iterator[Parcel]:
        """Map again what was refused; an object is settled once its rows are imported, if nothing dies before."""
        run, place = self._next_run(), ReprocessPlace(BUCKET, NAME, NAME)
        remaker = Remaker(self._mapper, self._store, BUCKET, run, MAX_ATTEMPTS, ignore_expiries=False, function_arn="")
        for entry in list(plan_reprocess(place, self._store, prefix=None, parked=parked)):
            remade = remaker.remake(entry["number"], [Source(**item) for item in entry["objects"]])
            settle = partial(settle_records, self._store, BUCKET, NAME, remade.settlements)
            lines = self._lines(remade.batch)
            yield Parcel(lines, "reprocess", settle) if self._draw.random() < 0.8 else Parcel(lines, "reprocess")

    def _sweep(self, run: str, second: int, refused: list[int]) -> Iterator[Parcel]:
        """Sweep what an export does not have; a run of which anything was refused is not swept."""
        rows: Any = OwnRows(self._aurora, self.prefix)
        sweeper = Sweeper(self.mappers.mended.mapping, rows, self._store, BUCKET, run, second)
        try:
            sweep = sweeper.plan(make_totals(rejected=sum(refused)))
        except SweepRefusedError:
            return
        for descriptor in json.loads(self._store.read(sweep.bucket, sweep.key)):
            yield Parcel(self._lines(descriptor), "sweep")

    def _read_keys(self, gap: Gap, visible: dict[Key, int]) -> Iterator[Parcel]:
        """Read the items whose newest known change is of an incremental export's window: it may lack their deletes."""
        draw = self._draw
        second = gap.end + draw.choice((0, 0, 1, 60))
        version = versions.snapshot_version(second)
        for key, known in visible.items():
            if gap.start - MARGIN <= known // versions.SEQUENCE_RANGE < gap.end:
                thing = self.table.view(draw, [key], second * SECOND).get(key)
                yield from self._map([self._change(version, second * 1000, key, thing)], "backfill")

    def _lines(self, descriptor: dict[str, Any]) -> list[bytes]:
        """Return the lines of the batch that a descriptor names, once it has travelled as JSON."""
        batch = Batch.from_event(json.loads(json.dumps({"batch": descriptor})))
        body = b"".join(self._store.read(item.bucket, item.key) for item in batch.objects)
        return [line + b"\n" for line in body.split(b"\n")[:-1]]

    def _next_run(self) -> str:
        self._runs += 1
        return f"r{self._runs}"

    def _tell(self, write: Write) -> None:
        what = "deletes" if write.thing is None else f"puts {write.thing}"
        self._note(f"write {write.number} at {write.at} (stamped {write.stamped_at}) {write.key} {what}")

    def _note(self, text: str) -> None:
        self.story.append(text)


def draw_writes(draw: random.Random, prefix: str, odd: float) -> Iterator[Write]:
    """Yield writes to a few keys, most of them within the second of the one before."""
    wanted = draw.choice((1, 1, 2, 3))
    own = [(prefix + partition, sort) for partition in PARTITIONS for sort in SORTS]
    chosen = draw.sample(own, wanted)
    skew = draw.choice((0, -MAX_SKEW, MAX_SKEW - 1, draw.randint(-MAX_SKEW, MAX_SKEW)))
    at = START * SECOND + draw.randrange(SECOND)
    sequence = 10 ** draw.randint(21, 39) - draw.randint(1, 60)
    key, there = chosen[0], set[Key]()
    for number in range(1, draw.randint(3, 15)):
        key = key if draw.random() < 0.6 else draw.choice(chosen)
        deletes = key in there and draw.random() < 0.35
        thing = None if deletes else draw_thing(draw, number, odd)
        yield Write(number, at, at + skew, key, thing, key in there, sequence)
        (there.discard if deletes else there.add)(key)
        sequence += draw.randint(1, 20)
        at += draw_pause(draw, at)


def draw_pause(draw: random.Random, at: int) -> int:
    """Return how long after a write the next one is."""
    second = SECOND * draw.choice((1, 1, 2, 59, 60, 61, 119, 120, 121, 300))
    to_next_second = SECOND - at % SECOND
    return draw.choice((1, 1, draw.randint(1, 300_000), to_next_second, to_next_second + 1, second))


def shown(items: dict[Key, Thing | None]) -> str:
    """Return which write's state of each key something tells, for people."""
    return "{" + ", ".join(f"{key}: {thing and thing.n}" for key, thing in items.items()) + "}"
