"""Random histories: what is written to a few keys within a few minutes, and when which news of it arrives.

A history is all in its seed. It is told in steps. What arrives in a step goes through the code that runs in production
(stream records through forwarding and Firehose's transformation, exports of either kind through the converter, what was
refused through the reprocess, deletes that nothing told through the sweep or a reading of keys) and leaves it as
parcels: lines of CSV to be imported together. Some of that code dies at an object that it writes, and is run again.

Times are drawn near the places where the version rule could break: writes within one second, views cut between them,
stretches of the stream that are lost from the middle of a second on.
"""

import base64
import gzip
import hashlib
import json
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import IntEnum
from functools import partial
from typing import Any, Final, TypeVar

from backfill import gaps as filling
from backfill.rereading import Rereader, WantedKey, name_key
from dynaurora import keys
from dynaurora.aurora.connection import Aurora
from dynaurora.batches.batch import Batch
from dynaurora.dynamodb import versions
from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.dynamodb.items import ItemsRead
from dynaurora.dynamodb.scans import Pace
from dynaurora.errors import RejectedChange, SweepRefusedError
from dynaurora.exports.convert_export import Converter
from dynaurora.exports.manifests import DataFile, md5_text
from dynaurora.exports.plan import PlannedBatch
from dynaurora.exports.plan_sweep import Sweeper
from dynaurora.failures.convert_failures import Remaker
from dynaurora.failures.failed_records import REJECTED, FailedRecord, encode_failed_record
from dynaurora.failures.list_failures import FailedObject, plan_reprocess
from dynaurora.failures.list_failures import Place as ReprocessPlace
from dynaurora.failures.settle_failures import list_put_back, settle_records
from dynaurora.failures.superseded import Superseded, Superseder
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.mapping import Mapping
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.mappings.row_mappers import RowMappers
from dynaurora.mappings.sandbox import SandboxedRowMapper
from dynaurora.stream.forward_changes import Forwarder
from dynaurora.stream.transform_changes import Transformer
from tests.integration.convergence.dying import DyingStore, WriterDied
from tests.integration.convergence.dynamodb import SECOND, Table, Write, stream_record
from tests.integration.convergence.gaps import MIN_WINDOW, Filling, Gap, draw_gap, earliest_view
from tests.integration.convergence.moments import moment
from tests.integration.convergence.things import NAME, Key, Thing, typed_key
from tests.integration.convergence.writes import draw_writes
from tests.support.factories import firehose_record, make_totals
from tests.support.fakes import THROTTLED, InMemoryStream

BUCKET: Final = "landing"
EVENT_SOURCE_MAPPING: Final = "00000000-0000-0000-0000-000000000000"
SEQUENCE_RANGE: Final = 10**40
"""Of a version: as documented, and not the constant under test."""

Result = TypeVar("Result")


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
class Mappers:
    """The mapping's two states."""

    mended: RowMapper
    strict: RowMapper
    careful: dict[str, RowMapper] = field(default_factory=dict)
    """By the digest of what they map by."""

    def find_careful(self, mapping: Mapping) -> RowMapper:
        """Return what maps in a sandbox: the same for all histories, as for all invocations of a function."""
        if mapping.digest not in self.careful:
            self.careful[mapping.digest] = SandboxedRowMapper(mapping)
        return self.careful[mapping.digest]


class OneMapper(RowMappers):
    """The row mapper of a step, whatever changes are stamped with."""

    def __init__(self, mapper: RowMapper) -> None:
        self._mapper = mapper

    def find_current(self) -> RowMapper:
        return self._mapper

    def find(self, _digest: str) -> RowMapper:
        return self._mapper


@dataclass
class OwnRows:
    """An Aurora of which a sweep sees one history's rows only: on AWS a run sweeps a table of its own."""

    aurora: Aurora
    prefix: str

    def stream(self, statement: str, arguments: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        return (row for row in self.query(statement, arguments) if row[0].startswith(self.prefix))

    def query(self, statement: str, arguments: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with moment(self.aurora):
            return self.aurora.query(statement, arguments)


@dataclass(frozen=True)
class Replicated:
    """Of a deployment, what reading keys has to know."""

    bucket: str
    ignores_expiries: bool = False
    import_batch_arn: str = "arn:aws:states:eu-west-1:123456789012:stateMachine:import-batch"


@dataclass(frozen=True)
class CurrentMapping:
    """A registry in which nothing changes."""

    mapping: Mapping

    def find_current(self) -> Mapping:
        return self.mapping


@dataclass
class ImportsToCome:
    """The executions that import batches: a history imports them by itself, among what else arrives."""

    batches: list[dict[str, Any]] = field(default_factory=list)

    def start_execution(self, *, input: str, **_named: str) -> dict[str, str]:  # noqa: A002 (the SDK's word)
        self.batches.append(json.loads(input)["batch"])
        return {"executionArn": "arn:aws:states:eu-west-1:123456789012:execution:import-batch:one"}

    def describe_execution(self, **_named: str) -> dict[str, Any]:
        return {
            "executionArn": "arn",
            "name": "one",
            "status": "SUCCEEDED",
            "startDate": datetime.now(UTC),
            "input": "{}",
            "output": "{}",
        }


@dataclass
class ReadTable:
    """A history's table, as it is read by keys."""

    history: "History"
    keys: dict[str, Key]
    second: float
    """When it is read, by the exports' clock."""
    table: str = NAME

    def read_items(self, asked: list[dict[str, Any]]) -> ItemsRead:
        found = []
        for key in (self.keys[name_key(each)] for each in asked):
            thing = self.history.read_item(key, int(self.second))
            found += [] if thing is None else [thing.typed(key)]
        return ItemsRead(found, [], 0.0)

    def wait(self, seconds: float) -> None:
        self.second += seconds


@dataclass
class History:
    """One history."""

    seed: int
    prefix: str
    """Of its partition keys: many histories share a table."""
    mappers: Mappers
    story: list[str] = field(default_factory=list)
    """What happened, for people."""
    told_at: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """The times at which each write's item was told of, in milliseconds, by the write's number."""

    def __post_init__(self) -> None:
        self._draw = draw = random.Random(f"history {self.seed}")
        self._store = DyingStore()
        self._runs = 0
        self._seconds: list[int] = []
        self._refused = 0
        self._schedule: dict[int, list[Callable[[], Iterable[Parcel]]]] = defaultdict(list)
        self._records: dict[int, list[Write]] = defaultdict(list)
        self._exact = draw.random() < 0.5
        self._mended_at = draw.choice((0, *range(Step.LAST + 1), Step.LAST))
        self._max_attempts = draw.choice((2, 3))
        self.table = Table(draw_writes(draw, self.prefix, odd=0.3 if self._mended_at else 0.0))
        self.deletes = {
            (write.key, write.stamped_second * SEQUENCE_RANGE + write.sequence): write.number
            for write in self.table.writes
            if write.thing is None
        }
        """The numbers of the deletes, by key and version in the stream."""
        for write in self.table.writes:
            self._note_write(write)
        self.gap = draw_gap(draw, self.table.writes)
        if self.gap:
            self._note(f"the stream lacks {self.gap.first.number} to {self.gap.last.number}: {self.gap.filling.name}")
        self._schedule_stream()
        self._schedule_views()
        self._schedule_reprocess()

    @property
    def _is_filled_late(self) -> bool:
        """Whether what fills a gap depends on all that came before it."""
        return self.gap is not None and self.gap.filling is not Filling.EXPORT

    # What it consists of

    def _schedule_stream(self) -> None:
        draw = self._draw
        for write in self.table.writes:
            if self.gap and self.gap.hides(write):
                continue
            self._records[self._draw_step()].append(write)
            for _ in range(draw.choice((0, 0, 0, 1, 2))):
                self._records[draw.randint(0, Step.LATE)].append(write)

    def _draw_step(self) -> int:
        """Return when something arrives for the first time: after a sweep only what no gap's filling depends on."""
        late = not self._is_filled_late and self._draw.random() < 0.2
        return Step.LATE if late else self._draw.randint(0, Step.LAST)

    def _schedule_views(self) -> None:
        draw, table = self._draw, self.table
        filled = self.gap and self.gap.filling is Filling.EXPORT
        for _ in range(draw.choice((0, 0, 0, 1) if filled else (0, 1, 2, 2, 3))):
            second = self._draw_second((-61, -60, -1, 0, 1, 59, 60, 61, 119, 120, 121))
            sweeps = not self.gap and draw.random() < 0.7
            if sweeps and draw.random() < 0.5:
                second = earliest_view(table.writes[-1])  # as a sweep is for: of a table that has come to rest
            export = self._draw_export(second)
            self._schedule_export(export, draw.randint(0, Step.LAST) if sweeps else self._draw_step(), sweeps=sweeps)
        if draw.random() < 0.3:
            page = draw.sample(table.keys, draw.randint(1, len(table.keys)))
            scanned = self._draw_view(page, self._draw_second((-60, 0, 60, 61, 120)))
            self._schedule_twice(self._draw_step(), partial(self._deliver_scan, scanned))
        if draw.random() < 0.4:
            end = self._draw_second((-61, -60, -30, -1, 0, 1, 60, 119, 120, 120, 120, 121, 122))
            self._schedule_incremental(end - draw.choice((60, 240, MIN_WINDOW)), end)
        if self.gap:
            self._schedule_filling(self.gap)

    def _draw_second(self, offsets: tuple[int, ...]) -> int:
        """Return a second near one that something happened in, or one that was drawn before.

        Of a table whose stream was switched on late, nobody looks before all that was written until then is in view:
        what an earlier view has, and was deleted before the stream was on, nothing would take away.
        """
        if self._seconds and self._draw.random() < 0.5:
            return self._draw.choice(self._seconds)
        second = self._draw.choice(self.table.writes).stamped_second + self._draw.choice(offsets)
        if self.gap and not self._is_filled_late:
            second = max(second, earliest_view(self.gap.last))
        self._seconds.append(second)
        return second

    def _draw_export(self, second: int) -> FullExport:
        return self._draw_view(self.table.keys, second, self._draw.choice((1, 1, 2)))

    def _draw_view(self, keys_seen: Iterable[Key], second: int, files: int = 1) -> FullExport:
        items = self.table.view(self._draw, keys_seen, second * SECOND)
        for thing in items.values():
            self.told_at[thing.n].add(second * 1000)
        return FullExport(second, items, files)

    def _schedule_filling(self, gap: Gap) -> None:
        draw = self._draw
        if gap.filling is Filling.KEYS:
            for window in gap.windows:
                self._schedule_incremental(window.start, window.end)
            return
        export = self._draw_export(gap.draw_view(draw))
        self._schedule_export(export, draw.randint(0, Step.LAST), sweeps=gap.filling is Filling.SWEEP)

    def _schedule_export(self, export: FullExport, step: int, *, sweeps: bool) -> None:
        run = self._next_run()
        self._note(f"step {step}: {run} exports at {export.second} {shown(export.items)}{' and sweeps' * sweeps}")
        lines = [{"Item": thing.typed(key)} for key, thing in export.items.items()]
        planned = list(self._write_export(run, lines, export.files))
        refused: dict[int, int] = {}
        for batch in planned:
            at = step if sweeps or export.files == 1 else max(step, self._draw_step())
            self._schedule_twice(at, partial(self._convert, run, export.second, batch, refused))
        if sweeps:
            self._schedule[Step.SWEEP].append(partial(self._sweep, run, export.second, refused))

    def _schedule_incremental(self, start: int, end: int) -> None:
        records = self.table.incremental_export(self._draw, start * SECOND, end * SECOND)
        told, run = {record.key: record.thing for record in records}, self._next_run()
        self._note(f"{run} exports the changes from {start} to {end} {shown(told)}")
        view, files = self._draw.choice(("NEW_IMAGE", "NEW_AND_OLD_IMAGES")), self._draw.choice((1, 2, 3))
        for batch in self._write_export(run, [record.line(view) for record in records], files):
            changes_of_window = replace(batch, incremental=True)
            self._schedule_twice(self._draw_step(), partial(self._convert, run, end, changes_of_window, {}))
        for record in records:
            if record.thing:
                self.told_at[record.thing.n].add(record.write_timestamp_micros // 1000)

    def _schedule_twice(self, step: int, deliver: Callable[[], Iterable[Parcel]]) -> None:
        """Schedule a delivery, and sometimes its repetition."""
        self._schedule[step].append(deliver)
        if self._draw.random() < 0.3:
            self._schedule[self._draw.randint(step, Step.LATE)].append(deliver)

    def _schedule_reprocess(self) -> None:
        if self._mended_at:
            self._note(f"step {self._mended_at}: the mapping is mended")
        for _ in range(self._draw.choice((0, 1, 2, 3))):
            self._schedule[self._draw.randint(1, Step.LAST)].append(self._reprocess)
        # Where nothing is lost it may also come after a sweep, which must then have refused.
        last = Step.LATE if not self._is_filled_late and self._draw.random() < 0.6 else Step.REPROCESS
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
        if step == Step.SWEEP and self.gap and self.gap.filling is Filling.KEYS:
            parcels += self._read_keys(self.gap, visible)
        self._draw.shuffle(parcels)
        for parcel in parcels:
            self.story += (f"step {step}: {parcel.source} {line.decode().strip()}" for line in parcel.lines)
        return parcels

    def _deliver_stream(self, step: int) -> Iterator[Parcel]:
        """Deliver a step's stream records, each on its own, or have none of them forwarded."""
        records = [stream_record(write, exact=self._exact) for write in self._records[step]]
        if records and step < Step.REPROCESS and self._draw.random() < 0.1:
            self._leave_unforwarded(step, records)
        elif records:
            yield from self._transform(self._forward(records))

    def _forward(self, records: list[dict[str, Any]]) -> list[bytes]:
        """Return what forwarding sends to Firehose, which does not take it at once every time."""
        stream = InMemoryStream(deque([THROTTLED] if self._draw.random() < 0.2 else []))
        digest = self._mapper.mapping.digest
        forwarder = Forwarder(NAME, digest, stream, self._store, BUCKET, False, "", pause=lambda _seconds: None)
        result = forwarder.forward(records)
        assert not result.failed, result.reasons
        return stream.taken

    def _transform(self, sent: list[bytes]) -> Iterator[Parcel]:
        """Transform changes as Firehose has them transformed."""
        records = [firehose_record(data, str(index)) for index, data in enumerate(sent)]
        answer = Transformer(NAME, OneMapper(self._mapper), self._store, BUCKET, "").transform(records).records
        for data, record in zip(sent, answer, strict=True):
            if record["result"] == "Ok":
                rows = base64.b64decode(record["data"]).splitlines(keepends=True)
                yield Parcel([row.partition(b",")[2] for row in rows], "stream")  # without labels: there is one part
            elif record["result"] != "Dropped":
                self._keep(data)

    def _keep(self, data: bytes) -> None:
        """Keep a refused record as Firehose does."""
        self._refused += 1
        key = f"{keys.failed_records_prefix(NAME)}processing-failed/{self._refused:06}"
        self._store.write(BUCKET, key, encode_failed_record(FailedRecord(data, REJECTED, "", 1, 0, "")))

    def _leave_unforwarded(self, step: int, records: list[dict[str, Any]]) -> None:
        """Keep stream records as the event source mapping does when it gives up on them."""
        key = f"{keys.unforwarded_prefix()}{EVENT_SOURCE_MAPPING}/shardId-1/{step}"
        invocation = {"payload": json.dumps({"Records": records})}
        self._store.write(BUCKET, key, json.dumps(invocation).encode())

    def _map(self, made: Iterable[Change], source: str) -> Iterator[Parcel]:
        """Map what no reader of this project brings: scans."""
        lines = []
        for change in made:
            try:
                lines.append(encode_row(self._mapper.row(change)))
            except RejectedChange:
                self._keep(encode_change(change))
        yield Parcel(lines, source)

    def _deliver_scan(self, scanned: FullExport) -> Iterator[Parcel]:
        version = versions.snapshot_version(scanned.second)
        made = [self._change(version, scanned.second * 1000, key, thing) for key, thing in scanned.items.items()]
        return self._map(made, "backfill")

    def _change(self, version: int, changed_at_ms: int, key: Key, thing: Thing | None) -> Change:
        return Change(version, changed_at_ms, typed_key(key), None if thing is None else thing.typed(key))

    def _write_export(self, run: str, records: list[dict[str, Any]], files: int) -> Iterator[PlannedBatch]:
        """Write an export's data files and yield the batches that a plan of them has."""
        self._draw.shuffle(records)
        for number in range(files):
            share = records[number::files]
            lines = (json.dumps(record).encode() + b"\n" for record in share)
            body = gzip.compress(b"".join(lines), compresslevel=1, mtime=0)
            key = f"{keys.export_prefix(NAME, run)}/AWSDynamoDB/{run}/data/{number}.json.gz"
            self._store.write(BUCKET, key, body)
            md5 = md5_text(hashlib.md5(body, usedforsecurity=False).digest())
            yield PlannedBatch(number + 1, len(share), (DataFile(key, len(share), md5),))

    def _convert(self, run: str, second: int, planned: PlannedBatch, refused: dict[int, int]) -> Iterator[Parcel]:
        converter = Converter(
            self._mapper,
            self._store,
            BUCKET,
            BUCKET,
            run,
            second,
            function_arn="",
            make_careful=self.mappers.find_careful,
        )
        batch = self._outlive(lambda: converter.convert_once(planned))
        refused[planned.number] = max(batch.rows_rejected, refused.get(planned.number, 0))
        yield Parcel(self._lines(batch.as_dict()), "backfill")

    def _reprocess(self, *, parked: bool = False) -> Iterator[Parcel]:
        """Map again what was refused; an object is settled once its rows are imported, if nothing dies before."""
        run, place = self._next_run(), ReprocessPlace(BUCKET, NAME, NAME)
        remaker = Remaker(
            self._mapper,
            self._store,
            BUCKET,
            run,
            self._max_attempts,
            ignore_expiries=False,
            function_arn="",
            make_careful=self.mappers.find_careful,
        )
        for entry in list(plan_reprocess(place, self._store, prefix=None, parked=parked)):
            number, sources = entry["number"], [FailedObject(**item) for item in entry["objects"]]
            remade = self._outlive(partial(remaker.remake, number, sources))
            settle = partial(self._settle, remade.settlements, self._draw.choice((0, 1, 2, 99, 99, 99, 99, 99)))
            yield Parcel(self._lines(remade.batch), "reprocess", settle)

    def _settle(self, settlements: list[dict[str, Any]], writes: int) -> None:
        """Settle what was mapped again, or die after so many objects written: the next reprocess then does the rest."""
        rows: Any = OwnRows(self._aurora, self.prefix)
        superseder = Superseder(lambda: self.mappers.mended.mapping, lambda: nullcontext(rows))
        superseded = Superseded(superseder.find(list_put_back(self._store, BUCKET, settlements)))
        with suppress(WriterDied), self._store.dying_after(writes):
            settle_records(self._store, BUCKET, NAME, settlements, superseded)

    def _outlive(self, work: Callable[[], Result]) -> Result:
        """Do a piece of work; sometimes it dies at something that it writes, and is done again."""
        if self._draw.random() < 0.2:
            with suppress(WriterDied), self._store.dying_after(self._draw.randint(0, 3)):
                return work()
        return work()

    def _sweep(self, run: str, second: int, refused: dict[int, int]) -> Iterator[Parcel]:
        """Sweep what an export does not have; what was refused of it is left out."""
        rows: Any = OwnRows(self._aurora, self.prefix)
        sweeper = Sweeper(self.mappers.mended.mapping, rows, self._store, BUCKET, run, second)
        try:
            sweep = self._outlive(lambda: sweeper.plan(make_totals(rejected=sum(refused.values()))))
        except SweepRefusedError:
            return
        for descriptor in json.loads(self._store.read(sweep.bucket, sweep.key)):
            yield Parcel(self._lines(descriptor), "sweep")

    def _read_keys(self, gap: Gap, visible: dict[Key, int]) -> Iterator[Parcel]:
        """Read the items whose newest known change is of the windows: the exports may lack their deletes."""
        began = gap.windows[-1].end + self._draw.choice((0, 0, 1, 60))
        table = ReadTable(self, {name_key(typed_key(key)): key for key in self.table.keys}, began)
        imports, (low, high) = ImportsToCome(), filling.bound_versions([*gap.windows])
        replicated: Any = Replicated(BUCKET)
        stands_for: dict[str, Any] = {
            "registry": CurrentMapping(self._mapper.mapping),
            "states": imports,
            "items": table,
        }
        rereader = Rereader(
            deployment=replicated,
            **stands_for,
            mapper=self._mapper,
            store=self._store,
            run=self._next_run(),
            pace=Pace(1e9),
            clock=lambda: table.second,
            sleep=table.wait,
        )
        rereader.reread(WantedKey(typed_key(key), known) for key, known in visible.items() if low <= known < high)
        for descriptor in imports.batches:
            yield Parcel(self._lines(descriptor), "repair")

    def read_item(self, key: Key, second: int) -> Thing | None:
        """Return what a reading of a key in a second gives."""
        return self._draw_view([key], second).items.get(key)

    def _lines(self, descriptor: dict[str, Any]) -> list[bytes]:
        """Return the lines of the batch that a descriptor names, once it has travelled as JSON."""
        batch = Batch.from_event(json.loads(json.dumps({"batch": descriptor})))
        body = b"".join(self._store.read(item.bucket, item.key) for item in batch.objects)
        return [line + b"\n" for line in body.split(b"\n")[:-1]]

    def _next_run(self) -> str:
        self._runs += 1
        return f"r{self._runs}"

    def _note_write(self, write: Write) -> None:
        what = "deletes" if write.thing is None else f"puts {write.thing}"
        self._note(f"write {write.number} at {write.at} (stamped {write.stamped_at}) {write.key} {what}")
        exact = write.stamped_at // 1000
        self.told_at[write.number] |= {exact, exact + 1} if self._exact else {write.stamped_second * 1000}

    def _note(self, text: str) -> None:
        self.story.append(text)


def shown(items: dict[Key, Thing | None]) -> str:
    """Return which write's state of each key something tells, for people."""
    return "{" + ", ".join(f"{key}: {thing and thing.n}" for key, thing in items.items()) + "}"
