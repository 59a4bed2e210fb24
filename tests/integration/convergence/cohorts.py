"""Cohorts: many histories through one table, so that an import carries what arrives in all of them.

In each step of the histories their parcels are dealt out to batches, which several connections import at once through
the production importer; some die at a statement, and are tried again then or later; some are imported again. After
each step the database is read at one moment and held against what its ledger says was imported; after the last one,
against the histories' tables.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from queue import SimpleQueue
from typing import Any, Final

import pymysql

from dynaurora import imports
from dynaurora.aurora import Aurora, Credentials, Endpoint, connect
from dynaurora.batches import Batch, BatchObject
from dynaurora.errors import DynauroraError, RetryableError
from dynaurora.mapping import Mapping
from dynaurora.migrations import prepare_target
from dynaurora.objects import S3Objects
from dynaurora.rows import RowMapper
from tests.integration.convergence.histories import History, Mappers, Parcel, Step
from tests.integration.convergence.replica import (
    ExpectedReplica,
    find_differences,
    parse_line,
    read_snapshot,
    read_view,
)
from tests.integration.convergence.things import Key, make_mappings
from tests.integration.targets import empty

CONNECTIONS: Final = 3
STATEMENTS: Final = 12
"""More than an import has: a death planned behind the last one does not happen."""
MAX_ATTEMPTS: Final = 20


@dataclass(frozen=True)
class Place:
    """The database and the bucket that cohorts are imported through."""

    endpoint: Endpoint
    loader: Credentials
    administrator: Credentials
    database: str
    bucket: str

    @cached_property
    def mappings(self) -> tuple[Mapping, Mapping]:
        """The mapping, and the stricter one that it was."""
        return make_mappings(self.database)

    def prepare(self) -> None:
        """Make the tables, empty."""
        mapping, _ = self.mappings
        with connect(self.endpoint, self.administrator) as aurora:
            empty(aurora, mapping)
            prepare_target(aurora, mapping)


@dataclass(frozen=True)
class Failure:
    """A history that did not go as it has to."""

    seed: int
    step: str
    problem: str
    story: list[str]

    def __str__(self) -> str:
        return f"seed={self.seed}, {self.step}: {self.problem}"


@dataclass
class Work:
    """A batch to be imported, with the parcels that are in it."""

    batch: Batch
    parcels: list[tuple[History, Parcel]]
    death: tuple[str, int] | None
    """`before` or `after`, and the number of the statement at which its next import dies."""
    attempts: int = 0
    is_done: bool = False
    """The importer said so."""
    is_imported: bool = False
    """The ledger said so."""


@dataclass
class Pool:
    """The connections of the importers; one that broke is made anew."""

    place: Place
    _stack: ExitStack = field(default_factory=ExitStack)
    _free: SimpleQueue[Aurora] = field(default_factory=SimpleQueue)

    def __enter__(self) -> "Pool":
        for _ in range(CONNECTIONS):
            self._free.put(self._connect())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def connection(self) -> Iterator[Aurora]:
        aurora = self._free.get()
        if not aurora._connection.open:
            aurora = self._connect()
        try:
            yield aurora
        finally:
            self._free.put(aurora)

    def _connect(self) -> Aurora:
        return self._stack.enter_context(connect(self.place.endpoint, self.place.loader, load_from_s3=True))


@contextmanager
def dying(aurora: Aurora, when: str, number: int) -> Iterator[None]:
    """Break the connection before a statement is sent, or after it was sent and before its answer is read."""
    connection: Any = aurora._connection
    send, sent = connection._execute_command, 0

    def counted(command: int, statement: Any) -> None:
        nonlocal sent
        sent += 1
        if sent < number:
            return send(command, statement)
        if sent == number and when == "after":
            send(command, statement)
        connection._force_close()
        raise pymysql.err.OperationalError(2013, "the importer died")

    connection._execute_command = counted
    try:
        yield
    finally:
        del connection._execute_command


class Cohort:
    """Histories with the seeds from `first` on, side by side in one table."""

    def __init__(self, place: Place, first: int, size: int) -> None:
        self._place = place
        self._mapping, strict = place.mappings
        mappers = Mappers(RowMapper(self._mapping), RowMapper(strict))
        self._draw = random.Random(f"cohort {first} {size}")
        self.histories = [History(first + index, f"{index}/", mappers) for index in range(size)]
        self._expected = ExpectedReplica()
        self._owners = {key: history for history in self.histories for key in history.table.keys}
        self._by_id: dict[str, Work] = {}
        self._waiting: list[Work] = []
        self._store = S3Objects()
        self._name = f"{first}-{size}"
        self._failures: dict[int, Failure] = {}

    @property
    def works(self) -> list[Work]:
        """The batches of all steps."""
        return list(self._by_id.values())

    def run(self, *, until_failure: bool = False) -> list[Failure]:
        """Tell the histories to their end, or to the first failure; return one failure of each that went wrong."""
        self._place.prepare()
        with Pool(self._place) as pool, connect(self._place.endpoint, self._place.administrator) as reader:
            for step in range(Step.LATE + 1):
                self._take(step, reader, pool)
                if until_failure and self._failures:
                    break
            else:
                self._compare(reader)
        return list(self._failures.values())

    def _take(self, step: int, reader: Aurora, pool: Pool) -> None:
        """Import what arrives in a step, and look at the database."""
        visible = self._read_visible(reader) if step == Step.SWEEP else {}
        parcels = [
            (history, parcel)
            for history in self.histories
            for parcel in history.deliver(step, reader, visible.get(history.seed, {}))
        ]
        self._deal(step, parcels)
        self._import(pool, may_wait=step < Step.LAST)
        self._look(step, reader)

    def _read_visible(self, reader: Aurora) -> dict[int, dict[Key, int]]:
        """Return the versions of the rows that people see, by the seed of their history and their key."""
        visible: dict[int, dict[Key, int]] = defaultdict(dict)
        for key, row in read_snapshot(reader, self._mapping).rows.items():
            if not row.deleted:
                visible[self._owners[key].seed][key] = row.version
        return visible

    def _deal(self, step: int, parcels: list[tuple[History, Parcel]]) -> None:
        """Make batches of a step's parcels, and of some of an earlier step's once more."""
        draw = self._draw
        shares: list[list[tuple[History, Parcel]]] = [[] for _ in range(draw.choice((1, 2, 3)))]
        for parcel in parcels:
            draw.choice(shares).append(parcel)
        works = [self._write(f"{step}-{number}", share) for number, share in enumerate(shares)]
        again = [work for work in self._by_id.values() if draw.random() < 0.1]
        self._by_id |= {work.batch.id: work for work in works if work.parcels}
        self._waiting += [*(work for work in works if work.parcels), *again]
        draw.shuffle(self._waiting)

    def _write(self, name: str, parcels: list[tuple[History, Parcel]]) -> Work:
        """Write a batch as one or two objects, its rows in the order of their parcels."""
        lines = [line for _, parcel in parcels for line in parcel.lines]
        middle = self._draw.randint(0, len(lines)) if len(lines) > 1 and self._draw.random() < 0.2 else 0
        objects = tuple(
            self._put(f"processed/mapping={self._mapping.name}/{self._name}/{name}-{part}", b"".join(share))
            for part, share in enumerate((lines[:middle], lines[middle:]))
            if share or (part and not lines)
        )
        count = len(lines) if not lines or self._draw.random() < 0.5 else None
        source = parcels[0][1].source if parcels else "stream"
        return Work(Batch(self._mapping.name, source, None, count, objects), parcels, self._draw_death())

    def _put(self, key: str, body: bytes) -> BatchObject:
        etag = self._store.write(self._place.bucket, key, body)
        return BatchObject(self._place.bucket, key, etag, len(body))

    def _draw_death(self) -> tuple[str, int] | None:
        draw = self._draw
        return (draw.choice(("before", "after")), draw.randint(1, STATEMENTS)) if draw.random() < 0.4 else None

    def _import(self, pool: Pool, *, may_wait: bool) -> None:
        """Import the batches that are waiting, several at once; those that die wait for a later step, if they may."""
        with ThreadPoolExecutor(CONNECTIONS) as executor:
            while self._waiting:
                works, self._waiting = self._waiting, []
                errors = list(executor.map(lambda work: self._attempt(work, pool), works))
                for work, error in zip(works, errors, strict=True):
                    if isinstance(error, RetryableError) and work.attempts < MAX_ATTEMPTS:
                        work.death = self._draw_death()
                        self._waiting.append(work)
                    elif error:
                        self._fail(work.parcels[0][0], "import", f"{type(error).__name__}: {error}")
                if may_wait and self._draw.random() < 0.5:
                    return

    def _attempt(self, work: Work, pool: Pool) -> DynauroraError | None:
        """Import a batch once; return the error that it ended with."""
        death, work.death = work.death, None
        work.attempts += 1
        with ExitStack() as stack:
            aurora = stack.enter_context(pool.connection())
            if death:
                stack.enter_context(dying(aurora, *death))
            bucket, retries = self._place.bucket, work.attempts - 1
            try:
                imports.import_batch(work.batch, self._mapping, aurora, self._store, bucket, retries)
            except DynauroraError as error:
                return error
        work.is_done = True
        return None

    def _look(self, step: int, reader: Aurora) -> None:
        """Hold the database against what its ledger says was imported."""
        snapshot = read_snapshot(reader, self._mapping)
        for batch_id in snapshot.ledger:
            if not self._by_id[batch_id].is_imported:
                self._note_import(self._by_id[batch_id], snapshot.ledger[batch_id][0])
        for work in self.works:
            if work.is_done and work.batch.id not in snapshot.ledger:
                self._fail(
                    work.parcels[0][0], f"step {step}", f"batch {work.batch.id} was imported, and has no ledger row"
                )
        for key, problem in self._expected.find_faults(snapshot.rows):
            self._fail(self._owners.get(key, self.histories[0]), f"step {step}", f"{key}: {problem}")

    def _compare(self, reader: Aurora) -> None:
        """Hold what people see in the end against the histories' tables."""
        items = {key: thing for history in self.histories for key, thing in history.table.items().items()}
        for key, problem in find_differences(items, read_view(reader, self._mapping)):
            self._fail(self._owners.get(key, self.histories[0]), "end", f"{key}: {problem}")

    def _note_import(self, work: Work, rows_staged: int) -> None:
        """Take note of a batch that is new in the ledger."""
        work.is_imported = True
        lines = 0
        for history, parcel in work.parcels:
            lines += len(parcel.lines)
            for line in parcel.lines:
                delete = history.stream_deletes.get(line)
                self._expected.apply(parse_line(self._mapping, line), delete.number if delete else None)
            parcel.when_imported()
        if rows_staged != lines:
            self._fail(work.parcels[0][0], "ledger", f"the ledger has {rows_staged} rows of a batch of {lines}")

    def _fail(self, history: History, step: str, problem: str) -> None:
        self._failures.setdefault(history.seed, Failure(history.seed, step, problem, history.story))
