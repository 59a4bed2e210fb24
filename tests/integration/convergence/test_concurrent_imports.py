"""Stream, backfill and reprocess import the same keys at once, while the database is killed and started again.

Each importer does what its function and state machine do: a new connection for each attempt, and another attempt after
every error that is retryable. Any other error fails the test.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from dynaurora.aurora.connection import connect
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.batches.import_batch import import_batch
from dynaurora.errors import DeadlockError, RetryableError
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.rows import Row
from local.aurora.server import DatabaseServer
from tests.integration.convergence.cohorts import Place
from tests.integration.convergence.replica import ExpectedReplica, Snapshot, parse_line, read_snapshot

pytestmark = pytest.mark.integration

SOURCES = ("stream", "stream", "backfill", "backfill", "reprocess", "reprocess")
BATCHES = 12
"""Of each importer."""
KEYS = 40
ROWS = 120
KILLS = 3
MAX_ATTEMPTS = 400
PAUSE_SECONDS = 0.05


@dataclass
class Importer:
    """One source's work."""

    place: Place
    batches: list[Batch]
    statuses: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each batch, by id, ended how."""
    errors: Counter[str] = field(default_factory=Counter)
    failure: BaseException | None = None

    def run(self) -> None:
        try:
            for batch in self.batches:
                self.statuses[batch.id, self.import_until_done(batch)] += 1
        except BaseException as error:  # noqa: BLE001 (the test tells it)
            self.failure = error

    def import_until_done(self, batch: Batch) -> str:
        mapping, _ = self.place.mappings
        for attempt in range(MAX_ATTEMPTS):
            try:
                with connect(self.place.endpoint, self.place.loader, load_from_s3=True) as aurora:
                    bucket, keep_refused = self.place.bucket, self.place.keep_refused
                    return import_batch(batch, mapping, aurora, S3Objects(), bucket, keep_refused, attempt).status
            except RetryableError as error:
                self.errors[type(error).__name__] += 1
                time.sleep(random.random() * PAUSE_SECONDS)
        raise AssertionError(f"batch {batch.id} was not imported in {MAX_ATTEMPTS} attempts")


def draw_rows(draw: random.Random) -> Iterator[Row]:
    for _ in range(ROWS):
        key, version = f"key {draw.randrange(KEYS)}", draw.randrange(1, 10_000)
        deleted = version % 5 == 0  # what a change is follows from its key and version
        rest = (None,) * 6 if deleted else ("0", str(version), key, f"{version}.5", None, "{}")
        yield Row(deleted, version, (key, "1", *rest))


class Batches:
    """The batches of all importers, written once, and the rows that are in each."""

    def __init__(self, place: Place, draw: random.Random) -> None:
        self._mapping, _ = place.mappings
        self._place, self._store = place, S3Objects()
        self.lines: dict[str, list[bytes]] = {}
        self.shared = [self._write(f"shared-{number}", "stream", draw) for number in range(4)]
        self.own = [
            [self._write(f"{importer}-{number}", source, draw) for number in range(BATCHES)]
            for importer, source in enumerate(SOURCES)
        ]

    def _write(self, name: str, source: str, draw: random.Random) -> Batch:
        lines = [encode_row(row) for row in draw_rows(draw)]
        body, key = b"".join(lines), f"processed/mapping={self._mapping.name}/concurrent/{name}"
        etag = self._store.write(self._place.bucket, key, body)
        batch = Batch(self._mapping.name, source, None, ROWS, (BatchObject(self._place.bucket, key, etag, len(body)),))
        self.lines[batch.id] = lines
        return batch

    def check(self, snapshot: Snapshot) -> None:
        """Assert that the rows are exactly what the batches in the ledger make of them."""
        expected = ExpectedReplica()
        for batch_id, entry in snapshot.ledger.items():
            assert entry.rows_staged == ROWS
            for line in self.lines[batch_id]:
                expected.apply(parse_line(self._mapping, line), None)
        assert list(expected.find_faults(snapshot.rows)) == []


def test_importers_at_once_outlive_a_database_that_is_killed(place: Place, server: DatabaseServer) -> None:
    place.prepare()
    draw = random.Random(5)
    batches = Batches(place, draw)
    importers = [Importer(place, draw.sample([*own, *batches.shared], BATCHES + 4)) for own in batches.own]
    threads = [threading.Thread(target=importer.run) for importer in importers]
    for thread in threads:
        thread.start()
    for _ in range(KILLS):
        time.sleep(0.3 + draw.random() / 2)
        batches.check(take_snapshot(place))
        server.kill()
        server.start()
        batches.check(take_snapshot(place))
    for thread in threads:
        thread.join()

    assert [importer.failure for importer in importers if importer.failure] == []
    snapshot = take_snapshot(place)
    batches.check(snapshot)
    assert snapshot.ledger.keys() == batches.lines.keys()
    statuses = sum((importer.statuses for importer in importers), Counter[tuple[str, str]]())
    applied = [count for (_, status), count in statuses.items() if status == "applied"]
    assert max(applied) == 1, "a batch was applied twice"
    errors = sum((importer.errors for importer in importers), Counter[str]())
    assert errors["ConnectionLostError"], "no importer noticed that the database was killed"
    assert errors[DeadlockError.__name__] == 0, "merges sorted by key do not deadlock"


def take_snapshot(place: Place) -> Snapshot:
    """Read the database, which may be about to come back."""
    mapping, _ = place.mappings
    for _ in range(MAX_ATTEMPTS):
        try:
            with connect(place.endpoint, place.administrator) as aurora:
                return read_snapshot(aurora, mapping)
        except RetryableError:
            time.sleep(PAUSE_SECONDS)
    raise AssertionError("the database did not come back")
