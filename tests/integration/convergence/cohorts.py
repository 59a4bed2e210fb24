"""Cohorts: many histories through one table, so that an import carries what arrives in all of them.

In each step of the histories their parcels are dealt out to batches, which several connections import at once through
the production importer; some die at a statement, and are tried again then or later; some are imported again. While
they are imported, and after, the database is read at one moment and held against what its ledger says was imported;
after the last step, against the histories' tables, and by what `dynaurora verify` verifies with.

A history on its own is imported batch by batch, so that all of it follows from its seed and deal.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from queue import SimpleQueue
from typing import Final

from dynaurora.aurora.connection import Aurora, Credentials, Endpoint, connect
from dynaurora.aurora.generations import activate
from dynaurora.aurora.migrations import prepare_target
from dynaurora.aws.objects import S3Objects
from dynaurora.batches import import_batch
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.errors import RetryableError
from dynaurora.failures.refused_rows import RefusedRows
from dynaurora.mappings.mapping import Mapping
from dynaurora.mappings.row_mapper import RowMapper
from tests.integration.convergence.dying import Death, draw_death, dying
from tests.integration.convergence.histories import History, Mappers, Parcel, Step
from tests.integration.convergence.replica import (
    ExpectedReplica,
    LedgerRow,
    Snapshot,
    find_differences,
    parse_line,
    read_snapshot,
    read_view,
)
from tests.integration.convergence.things import Key, make_mappings
from tests.integration.convergence.verifying import Verifier
from tests.integration.targets import empty
from tests.support.fakes import etag_of

CONNECTIONS: Final = 3
MAX_DEATHS: Final = 6
"""Of one batch's imports."""
MAX_ATTEMPTS: Final = 20
LOCK_WAIT: Final = "SET SESSION innodb_lock_wait_timeout = 5"
"""An import takes a fraction of a second here: a lock that nobody lets go of is to be noticed soon."""


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
            activate(aurora, mapping)

    @property
    def keep_refused(self) -> RefusedRows:
        return RefusedRows(S3Objects(), self.bucket, "arn:import_batch")


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
    death: Death | None
    """How its next import ends."""
    attempts: int = 0
    statuses: list[str] = field(default_factory=list)
    """What the importer said, each time that it ended well."""
    entry: LedgerRow | None = None
    """Its row in the ledger, once it was seen there."""


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
        try:
            if not aurora._connection.open:
                aurora = self._connect()
            yield aurora
        finally:
            self._free.put(aurora)

    def _connect(self) -> Aurora:
        aurora = self._stack.enter_context(connect(self.place.endpoint, self.place.loader, load_from_s3=True))
        aurora.execute(LOCK_WAIT)
        return aurora


class Cohort:
    """Histories with the seeds from `first` on, side by side in one table.

    `deal` is which of the many ways to deal their news out to batches.
    """

    def __init__(self, place: Place, first: int, size: int, deal: int = 0) -> None:
        self._place = place
        self._mapping, strict = place.mappings
        mappers = Mappers(RowMapper(self._mapping), RowMapper(strict))
        self._draw = random.Random(f"cohort {first} {size} {deal}")
        self._at_once = CONNECTIONS if size > 1 else 1
        self.histories = [History(first + index, f"{index}/", mappers) for index in range(size)]
        self._expected = ExpectedReplica()
        self._owners = {key: history for history in self.histories for key in history.table.keys}
        self._by_id: dict[str, Work] = {}
        self._waiting: list[Work] = []
        self._store = S3Objects()
        self._overwritten: set[str] = set()
        self._name = f"{first}-{size}-{deal}"
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
                self._verify(pool, reader)
        return list(self._failures.values())

    def _take(self, step: int, reader: Aurora, pool: Pool) -> None:
        """Import what arrives in a step, looking at the database all the while."""
        visible = self._read_visible(reader) if step == Step.SWEEP else {}
        parcels = []
        for history in self.histories:
            try:
                delivered = history.deliver(step, reader, visible.get(history.seed, {}))
            except Exception as error:  # noqa: BLE001 (of the code under test: this history cannot go on as it has to)
                self._fail(history, f"step {step}", f"{type(error).__name__}: {error}")
            else:
                parcels += [(history, parcel) for parcel in delivered]
        self._deal(step, parcels)
        self._import(step, pool, reader)

    def _read_visible(self, reader: Aurora) -> dict[int, dict[Key, int]]:
        """Return the versions of the rows that people see, by the seed of their history and their key."""
        visible: dict[int, dict[Key, int]] = defaultdict(dict)
        for key, row in read_snapshot(reader, self._mapping).rows.items():
            if not row.deleted and key in self._owners:
                visible[self._owners[key].seed][key] = row.version
        return visible

    def _deal(self, step: int, parcels: list[tuple[History, Parcel]]) -> None:
        """Make batches of a step's parcels, and of some of an earlier step's once more."""
        draw = self._draw
        shares: list[list[tuple[History, Parcel]]] = [[] for _ in range(draw.choice((1, 2, 3, 5)))]
        for parcel in parcels:
            draw.choice(shares).append(parcel)
        again = [work for work in self.works if draw.random() < 0.1]
        works = [self._write(f"{step}-{number}", share) for number, share in enumerate(shares) if share]
        self._by_id |= {work.batch.id: work for work in works}
        self._waiting += [*works, *again]
        draw.shuffle(self._waiting)

    def _write(self, name: str, parcels: list[tuple[History, Parcel]]) -> Work:
        """Write a batch as one or two objects, its rows in the order of their parcels."""
        lines = [line for _, parcel in parcels for line in parcel.lines]
        middle = self._draw.randint(1, len(lines) - 1) if len(lines) > 1 and self._draw.random() < 0.2 else 0
        shares = [lines[:middle], lines[middle:]] if middle else [lines]
        objects = tuple(self._put(f"{name}-{part}", b"".join(share), len(shares)) for part, share in enumerate(shares))
        count = len(lines) if not lines or self._draw.random() < 0.5 else None
        return Work(Batch(self._mapping.name, parcels[0][1].source, None, count, objects), parcels, self._draw_death(0))

    def _put(self, name: str, body: bytes, parts: int) -> BatchObject:
        """Write an object; sometimes over one whose batch is imported, which makes it another batch."""
        key = f"processed/mapping={self._mapping.name}/{self._name}/{name}"
        imported = [work.batch.objects[0] for work in self.works if work.entry]
        if imported and parts == 1 and self._draw.random() < 0.1:
            earlier = self._draw.choice(imported)
            if earlier.key not in self._overwritten and earlier.etag != etag_of(body):
                key = earlier.key
                self._overwritten.add(key)
        etag = self._store.write(self._place.bucket, key, body)
        return BatchObject(self._place.bucket, key, etag, len(body))

    def _draw_death(self, attempts: int) -> Death | None:
        return draw_death(self._draw) if attempts < MAX_DEATHS else None

    def _import(self, step: int, pool: Pool, reader: Aurora) -> None:
        """Import the batches that are waiting, several at once; those that die wait for a later step, if they may."""
        with ThreadPoolExecutor(self._at_once) as executor:
            while self._waiting:
                works, self._waiting = self._waiting, []
                attempts = [executor.submit(self._attempt, work, pool) for work in works]
                if self._at_once > 1:
                    self._look(step, reader)
                for work, attempt in zip(works, attempts, strict=True):
                    self._sort(work, attempt.result())
                self._look(step, reader)
                if step < Step.LAST and self._draw.random() < 0.5:
                    return

    def _attempt(self, work: Work, pool: Pool) -> Exception | None:
        """Import a batch once; return the error that it ended with."""
        death, work.death = work.death, None
        work.attempts += 1
        bucket, retries = self._place.bucket, work.attempts - 1
        try:
            with ExitStack() as stack:
                aurora = stack.enter_context(pool.connection())
                if death:
                    stack.enter_context(dying(aurora, death))
                result = import_batch.import_batch(
                    work.batch, self._mapping, aurora, self._store, bucket, self._place.keep_refused, retries
                )
        except Exception as error:  # noqa: BLE001 (sorted by who called)
            return error
        work.statuses.append(result.status)
        return None

    def _sort(self, work: Work, error: Exception | None) -> None:
        """Have a batch whose import failed imported again, where its error says that this may help."""
        if isinstance(error, RetryableError) and work.attempts < MAX_ATTEMPTS:
            work.death = self._draw_death(work.attempts)
            self._waiting.append(work)
        elif error:
            self._fail_batch(work, f"{type(error).__name__}: {error}")
        elif work.entry and work.statuses[-1] == "applied":
            self._fail_batch(work, "it was applied, and was in the ledger before")
        elif work.statuses.count("applied") > 1:
            self._fail_batch(work, "it was applied twice")

    def _look(self, step: int, reader: Aurora) -> None:
        """Hold the database against what its ledger says was imported."""
        done = [work for work in self.works if work.statuses]
        snapshot = read_snapshot(reader, self._mapping)
        for work in done:
            if work.batch.id not in snapshot.ledger:
                self._fail_batch(work, f"step {step}: it was imported, and has no row in the ledger")
        self._read_ledger(snapshot)
        for key, problem in self._expected.find_faults(snapshot.rows):
            self._fail(self._owners.get(key, self.histories[0]), f"step {step}", f"{key}: {problem}")

    def _read_ledger(self, snapshot: Snapshot) -> None:
        """Take note of the batches that are new in the ledger, and hold the others against what it said before."""
        new = []
        for batch_id, entry in snapshot.ledger.items():
            work = self._by_id.get(batch_id)
            if work is None:
                self._fail(self.histories[0], "ledger", f"it has a batch {batch_id}, which nobody imported")
            elif work.entry is None:
                work.entry = entry
                new.append((work, entry))
            elif work.entry != entry:
                self._fail_batch(work, f"the ledger said {work.entry}, and says {entry}")
        before = self._expected.versions()
        newest = [self._note_import(work) for work, _ in new]
        brought = Counter(row for batch in newest for row in batch.items())
        for (work, entry), batch in zip(new, newest, strict=True):
            newer = {key: version for key, version in batch.items() if before.get(key, 0) < version}
            alone = {key for key, version in newer.items() if brought[key, version] == 1}
            self._check_counts(work, entry, newer, alone)

    def _note_import(self, work: Work) -> dict[Key, int]:
        """Take note of a batch that is new in the ledger; return the newest version of each key in it."""
        newest: dict[Key, int] = {}
        for history, parcel in work.parcels:
            for line in parcel.lines:
                try:
                    row = parse_line(self._mapping, line)
                except Exception as error:  # noqa: BLE001 (whatever was written, it is not what is to be written)
                    self._fail(history, "line", f"{line!r} is no row: {type(error).__name__} {error}")
                    continue
                self._expected.apply(row, history.deletes.get((row.key, row.version)))
                newest[row.key] = max(row.version, newest.get(row.key, 0))
            parcel.when_imported()
        return newest

    def _check_counts(self, work: Work, entry: LedgerRow, newer: dict[Key, int], alone: set[Key]) -> None:
        """Hold the counts in the ledger against the batch, its newer rows, and those that it alone has."""
        lines = sum(len(parcel.lines) for _, parcel in work.parcels)
        if entry.rows_staged != lines:
            self._fail_batch(work, f"the ledger has {entry.rows_staged} rows of a batch of {lines}")
            return
        after = self._expected.versions()
        least = sum(after.get(key) == version for key, version in newer.items() if key in alone)
        if not least <= entry.rows_changed <= len(newer):
            self._fail_batch(
                work, f"the ledger says {entry.rows_changed} rows were changed, of {least} to {len(newer)}"
            )

    def _compare(self, reader: Aurora) -> None:
        """Hold what people see in the end against the histories' tables."""
        items = {key: thing for history in self.histories for key, thing in history.table.items().items()}
        times = {key: self._owners[key].told_at[thing.n] for key, thing in items.items()}
        for key, problem in find_differences(items, times, read_view(reader, self._mapping)):
            self._fail(self._owners.get(key, self.histories[0]), "end", f"{key}: {problem}")

    def _verify(self, pool: Pool, reader: Aurora) -> None:
        """Have production code verify the table, as it is and with rows that were changed by hand."""
        items = {key: thing for history in self.histories for key, thing in history.table.items().items()}
        verifier = Verifier(self._mapping, self._place.bucket, self._name, pool.connection, items)
        for key, problem in verifier.find_problems(reader):
            owner = self._owners.get(key, self.histories[0]) if key else self.histories[0]
            self._fail(owner, "verification", f"{key}: {problem}" if key else problem)

    def _fail_batch(self, work: Work, problem: str) -> None:
        self._fail(work.parcels[0][0], "import", f"batch {work.batch.id}: {problem}")

    def _fail(self, history: History, step: str, problem: str) -> None:
        self._failures.setdefault(history.seed, Failure(history.seed, step, problem, history.story))
