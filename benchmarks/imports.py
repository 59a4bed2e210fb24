"""How long importing a batch takes, through the production code, the gateway and a real server: MariaDB, then MySQL.

    python -m benchmarks.imports

Beside it, in turn, from the same object in S3 to the same rows committed: what one writes by hand, reading the lines of
the object and a guarded `executemany` of them in one transaction; and a bare `LOAD DATA FROM S3` into an empty table of
the same columns and key. Each opens a connection of its own. And how often four importers of the same keys deadlock.

Wall time is what counts, and what other processes of the machine disturb; beside each ratio of it stands the ratio of
CPU time, of this process and the server's together. An engine that cannot be had here is left out, by name.
"""

from __future__ import annotations

import csv
import io
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from statistics import median
from typing import TYPE_CHECKING
from unittest.mock import patch

from benchmarks.database import BUCKET, Database, local_database, make_rows, measure_on_engines, shuffled
from benchmarks.results import Result, is_quick, print_results
from benchmarks.timing import cpu_seconds, interleave, median_ratio
from dynaurora.aurora import sql
from dynaurora.aurora.sql import STAGED, load_staged, quote
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.loading import write_manifest
from dynaurora.errors import DeadlockError
from dynaurora.exports.plan import MAX_BATCH_ITEMS
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dynaurora.aurora.origins import Origin
    from dynaurora.batches.batch import Batch
    from dynaurora.mappings.mapping import Mapping
    from local.aurora.engine import Engine

    Clock = Callable[[], float]
    Prepare = Callable[[], Callable[[], object]]

LEAST_COLD, LEAST_EXISTING, LEAST_BARE, LEAST_BEFORE = 2.5, 2.0, 0.85, 0.95
MOST_REFUSED = 2.0
"""Times that an import may take with rows that are refused, of one without."""
FEW = "CONSTRAINT few CHECK (hits < 20000)"
"""Of the replica; the benchmark's rows have fewer."""
BARE = "bare"
MERGE = sql.merge_staged
IMPORTERS = 4
BATCHES_OF_AN_IMPORTER = 5


def measure() -> list[Result]:
    """Measure all of it, on every engine."""
    return measure_on_engines("imports", measure_on)


def measure_on(engine: Engine) -> list[Result]:
    """Measure all of it on one engine."""
    rows, rounds, deadlock_rounds = (2_000, 2, 2) if is_quick() else (MAX_BATCH_ITEMS, 9, 5)
    with local_database(engine) as database:
        with database.connect() as aurora:
            version = aurora.server_version.removeprefix("5.5.5-")
        clocks: dict[str, Clock] = {"wall": time.perf_counter, "cpu": partial(cpu_seconds, database.process)}
        cold = interleave(prepare_cold(database, rows), rounds, **clocks)
        existing = interleave(prepare_existing(database, rows), rounds, **clocks)
        deadlocks = count_deadlocks(database, rows // 10, deadlock_rounds)
        refused = interleave(prepare_refused(database, rows), rounds, **clocks)
    server = f"{engine.title} {version.partition('-')[0]}"
    path = f"{server}: import a batch of {rows:,} rows"
    imports = IMPORTERS * BATCHES_OF_AN_IMPORTER * deadlock_rounds
    return [
        compare(f"{path}, new keys", "guarded executemany", cold, "executemany", rows, LEAST_COLD),
        compare(f"{path}, existing keys", "guarded executemany", existing, "executemany", rows, LEAST_EXISTING),
        compare(f"{path}, new keys", "bare LOAD DATA into an empty table", cold, "bare", rows, LEAST_BARE),
        compare(f"{path}, new keys, sorted", "guarded executemany", cold, "executemany", rows, LEAST_COLD, "sorted"),
        compare(
            f"{path}, existing keys, sorted",
            "guarded executemany",
            existing,
            "executemany",
            rows,
            LEAST_EXISTING,
            "sorted",
        ),
        compare(
            f"{path}, new keys, sorted",
            "bare LOAD DATA of the same file",
            cold,
            "bare sorted",
            rows,
            LEAST_BARE,
            "sorted",
        ),
        compare(f"{path}, new keys", "one that knows no mappings", cold, "before", rows, LEAST_BEFORE),
        compare(f"{path}, existing keys", "one that knows no mappings", existing, "before", rows, LEAST_BEFORE),
        *(compare_refused(path, name, refused) for name in refused["wall"] if name != "clean"),
        Result(
            f"{server}: {IMPORTERS} importers of the same keys",
            "–",
            "0 deadlocks",
            f"{deadlocks} in {imports} imports",
            deadlocks == 0,
        ),
    ]


def compare(
    path: str,
    beat: str,
    seconds: dict[str, dict[str, list[float]]],
    other: str,
    rows: int,
    least: float,
    one: str = "import",
) -> Result:
    """Return how many times as fast an import is as something else."""
    wall, cpu = (median_ratio(seconds[clock][other], seconds[clock][one]) for clock in ("wall", "cpu"))
    rates = " / ".join(f"{rows / median(seconds['wall'][name]) / 1000:.0f}" for name in (one, other))
    measured = f"{wall:.2f} × ({rates} thousand rows/s; CPU {cpu:.2f} ×)"
    return Result(path, f"{beat}, wall", f"≥ {least} ×", measured, wall >= least)


def compare_refused(path: str, name: str, seconds: dict[str, dict[str, list[float]]]) -> Result:
    """Return how many times as long an import takes with some rows that are refused."""
    wall, cpu = (median_ratio(seconds[clock][name], seconds[clock]["clean"]) for clock in ("wall", "cpu"))
    measured = f"{wall:.2f} × (CPU {cpu:.2f} ×)"
    return Result(
        f"{path}, new keys, {name}", "none refused, wall", f"≤ {MOST_REFUSED} ×", measured, wall <= MOST_REFUSED
    )


def prepare_refused(database: Database, rows: int) -> dict[str, Prepare]:
    """Return imports into an empty table of rows of which some are refused, by the load or by the merge, or none."""

    def prepare(bad: int, hits: str) -> Callable[[], object]:
        database.empty()
        replica = _table(database.mapping, database.mapping.replica)
        database.execute(f"ALTER TABLE {replica} ADD {FEW}")
        made = list(make_rows(shuffled(range(rows)), 1))
        for number in range(bad):
            place = (2 * number + 1) * rows // (2 * bad)
            key = made[place].fields
            made[place] = Row(False, made[place].version, (*key[:3], hits, *key[4:]))
        batch = database.write_labelled(made)

        def run() -> None:
            if database.import_batch(batch).rows_refused != bad:
                raise AssertionError(f"not {bad} rows were refused")

        return run

    ways = {"clean": (0, ""), "1 refused by the load": (1, "many"), "10 refused by the load": (10, "many")}
    ways |= {"1 refused by the merge": (1, "30000"), "10 refused by the merge": (10, "30000")}
    return {name: partial(prepare, *way) for name, way in ways.items()}


@contextmanager
def before() -> Iterator[None]:
    """Merge as one that knows no mappings does: by versions alone."""

    def merge_by_version(origin: Origin, table: str = STAGED, rows: range | None = None) -> str:
        head = MERGE(origin, table, rows).partition("\nON DUPLICATE KEY UPDATE")[0]
        staged, replica, keys = quote(STAGED), quote(origin.mapping.replica), set(origin.mapping.key_columns)
        names = ["_deleted", *(column.name for column in origin.mapping.columns if column not in keys), "_version"]
        updates = ", ".join(
            f"{replica}.{name} = IF({staged}.`_version` > {replica}.`_version`, {staged}.{name}, {replica}.{name})"
            for name in map(quote, names)
        )
        return f"{head}\nON DUPLICATE KEY UPDATE {updates}"

    with patch.object(sql, "merge_staged", merge_by_version):
        yield


def import_before(database: Database, batch: Batch) -> None:
    """Import a batch whose rows say nothing of their mapping, as before they did."""
    with before():
        database.import_batch(batch)


def prepare_cold(database: Database, rows: int) -> dict[str, Prepare]:
    """Return the ways of importing rows into an empty table."""

    def prepare_import() -> Callable[[], object]:
        database.empty()
        batch = database.write_labelled(make_rows(shuffled(range(rows)), 1))
        return lambda: database.import_batch(batch)

    def prepare_before() -> Callable[[], object]:
        database.empty()
        batch = database.write(make_rows(shuffled(range(rows)), 1))
        return lambda: import_before(database, batch)

    def prepare_executemany() -> Callable[[], object]:
        database.empty()
        batch = database.write(make_rows(shuffled(range(rows)), 1))
        return lambda: execute_many(database, batch)

    def prepare_sorted() -> Callable[[], object]:
        database.empty()
        batch = database.write_converted(make_rows(range(rows), 1))
        return lambda: database.import_batch(batch)

    def prepare_bare(arrange: Callable[[list[Row]], list[Row]] = shuffle_rows) -> Callable[[], object]:
        bare, replica = _table(database.mapping, BARE), _table(database.mapping, database.mapping.replica)
        database.execute(f"DROP TABLE IF EXISTS {bare}", f"CREATE TABLE {bare} LIKE {replica}")
        batch = database.write(arrange(list(make_rows(range(rows), 1))))
        return lambda: load_bare(database, batch)

    ways: dict[str, Prepare] = {"import": prepare_import, "before": prepare_before, "sorted": prepare_sorted}
    ways |= {"executemany": prepare_executemany, "bare": prepare_bare, "bare sorted": partial(prepare_bare, sort_rows)}
    return ways


def sort_rows(rows: Iterable[Row]) -> list[Row]:
    """Return rows in the order that those of a converted export have."""
    return sorted(rows, key=encode_row)


def shuffle_rows(rows: list[Row]) -> list[Row]:
    """Return rows in no order."""
    return [rows[number] for number in shuffled(range(len(rows)))]


def prepare_existing(database: Database, rows: int) -> dict[str, Prepare]:
    """Return the ways of importing a newer version of every row of a table."""
    database.empty()
    versions = count(1)
    database.import_batch(database.write(make_rows(range(rows), next(versions))))

    def prepare_import() -> Callable[[], object]:
        version = next(versions)
        batch = database.write_labelled(make_rows(shuffled(range(rows), version), version))
        return lambda: database.import_batch(batch)

    def prepare_before() -> Callable[[], object]:
        version = next(versions)
        batch = database.write(make_rows(shuffled(range(rows), version), version))
        return lambda: import_before(database, batch)

    def prepare_executemany() -> Callable[[], object]:
        version = next(versions)
        batch = database.write(make_rows(shuffled(range(rows), version), version))
        return lambda: execute_many(database, batch)

    def prepare_sorted() -> Callable[[], object]:
        version = next(versions)
        batch = database.write_converted(make_rows(range(rows), version))
        return lambda: database.import_batch(batch)

    ways = {"import": prepare_import, "before": prepare_before, "sorted": prepare_sorted}
    return {**ways, "executemany": prepare_executemany}


def execute_many(database: Database, batch: Batch) -> None:
    r"""Import a batch as one writes it by hand, with the guard that makes it right.

    It takes `\N` for N and does not know a repeat, neither of which this benchmark has.
    """
    body = "".join(S3Objects().read(item.bucket, item.key).decode() for item in batch.objects)
    rows = list(csv.reader(io.StringIO(body), quoting=csv.QUOTE_NONE, escapechar="\\"))
    with database.connect() as aurora, aurora.transaction(), aurora._connection.cursor() as cursor:
        cursor.executemany(guarded_insert(database.mapping), rows)


def guarded_insert(mapping: Mapping) -> str:
    """Return the statement: a row changes only where its new version is higher, which is assigned last."""
    names = ["_deleted", "_version", *(column.name for column in mapping.columns)]
    keys = {column.name for column in mapping.key_columns}
    updates = ", ".join(
        f"{name} = IF(VALUES(`_version`) > `_version`, VALUES({name}), {name})"
        for name in map(quote, [*(name for name in names if name not in keys | {"_version"}), "_version"])
    )
    return (
        f"INSERT INTO {_table(mapping, mapping.replica)} ({', '.join(map(quote, names))})"
        f" VALUES ({', '.join(['%s'] * len(names))}) ON DUPLICATE KEY UPDATE {updates}"
    )


def load_bare(database: Database, batch: Batch) -> None:
    """Load a batch's object into a table, unguarded."""
    statement = load_staged(database.mapping).replace(" REPLACE ", " ").replace(quote(STAGED), quote(BARE))
    uri = write_manifest(batch.mapping, batch.id, batch.objects, S3Objects(), BUCKET)
    with database.connect() as aurora, aurora.transaction():
        aurora.execute(statement, (uri,))


def count_deadlocks(database: Database, rows: int, rounds: int) -> int:
    """Return how many imports deadlock while several import the same keys at once, each in an order of its own.

    Every round begins without a row, since inserts lock more than updates do.
    """
    deadlocks = 0
    for number in range(rounds):
        database.empty()
        works = [
            [
                database.write(make_rows(shuffled(range(rows), seed=seed), version))
                for version in range(BATCHES_OF_AN_IMPORTER)
            ]
            for seed in range(number * IMPORTERS, (number + 1) * IMPORTERS)
        ]
        with ThreadPoolExecutor(IMPORTERS) as pool:
            deadlocks += sum(pool.map(lambda batches: _import_all(database, batches), works))
    return deadlocks


def _import_all(database: Database, batches: list[Batch]) -> int:
    deadlocks = 0
    for batch in batches:
        try:
            database.import_batch(batch)
        except DeadlockError:
            deadlocks += 1
    return deadlocks


def _table(mapping: Mapping, name: str) -> str:
    return f"{quote(mapping.database)}.{quote(name)}"


if __name__ == "__main__":
    print_results(measure)
