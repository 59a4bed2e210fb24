"""What an export's items cost on their whole way, converted and imported, beside what no program can go below.

The limit is gunzip by ISA-L, one pass of simdjson over the lines, and a bare `LOAD DATA` of the CSV, rows in the order
of the items, into an empty table of the same columns and key. CPU time of this process and the server's together, on
each engine; medians of rounds in which each runs once, into empty tables. Writing the CSV to S3 is in neither.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.convert_export import make_limit, make_work
from benchmarks.database import BUCKET, local_database, shuffled
from benchmarks.imports import BARE, load_bare
from benchmarks.items import CLICKS, write_export
from benchmarks.results import Result, is_quick, print_results
from benchmarks.timing import cpu_seconds, interleave, median_ratio
from dynaurora.aurora.sql import quote
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.mappings.compiled.row_text import FIELD_END, ROW_END
from dynaurora.mappings.field_widths import FieldWidths
from local.aurora.engine import DatabaseServerError
from local.aurora.engines import ENGINES

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.database import Database
    from local.aurora.engine import Engine

MOST = 1.4


def write_batch(database: Database, csv: bytes) -> Batch:
    """Write CSV as the batch of a conversion, which has told its widths; nothing in it is escaped."""
    rows, widths = csv.count(b"\n"), FieldWidths(database.mapping)
    widths.see_marked(rows, csv.replace(b",", FIELD_END.encode()).replace(b"\n", ROW_END.encode()))
    key = f"batches/mapping={database.mapping.name}/{next(database._written)}"
    item = BatchObject(BUCKET, key, S3Objects().write(BUCKET, key, csv), len(csv), widths.take(rows))
    return Batch(database.mapping.name, "backfill", "r1", rows, (item,), digest=database.mapping.digest)


def prepare(database: Database, items: int) -> dict[str, Callable[[], Callable[[], object]]]:
    """Return both ways."""
    body = write_export(CLICKS.name, items)
    convert, look = make_work(CLICKS, body, items), make_limit(body)
    csv, _ = convert()
    lines = csv.splitlines(keepends=True)
    as_items = b"".join(lines[number] for number in shuffled(range(len(lines))))

    def prepare_ours() -> Callable[[], object]:
        database.empty()
        batch = write_batch(database, csv)

        def run() -> None:
            convert()
            database.import_batch(batch)

        return run

    def prepare_limit() -> Callable[[], object]:
        bare, replica = (
            f"{quote(database.mapping.database)}.{quote(name)}" for name in (BARE, database.mapping.replica)
        )
        database.execute(f"DROP TABLE IF EXISTS {bare}", f"CREATE TABLE {bare} LIKE {replica}")
        batch = write_batch(database, as_items)

        def run() -> None:
            look()
            load_bare(database, batch)

        return run

    return {"ours": prepare_ours, "limit": prepare_limit}


def measure_on(engine: Engine) -> Result:
    """Measure both on one engine."""
    path = f"{engine.title}: convert and import `web_analytics`, CPU"
    beat = "gunzip, one pass of simdjson and a bare LOAD DATA"
    try:
        engine.find_programs()
    except DatabaseServerError as error:
        return Result(path, "–", "–", f"left out: {error}", True)
    items, rounds = (2_000, 2) if is_quick() else (50_000, 7)
    with local_database(engine) as database:
        cpu = partial(cpu_seconds, database.process)
        seconds = interleave(prepare(database, items), rounds, cpu=cpu)["cpu"]
    ratio = median_ratio(seconds["ours"], seconds["limit"])
    each = " and ".join(f"{sorted(seconds[name])[rounds // 2] / items * 1e6:.1f}" for name in ("limit", "ours"))
    return Result(path, beat, f"≤ {MOST} × its time", f"{ratio:.2f} × ({each} µs an item)", ratio <= MOST)


def measure() -> list[Result]:
    """Measure on every engine."""
    return [measure_on(engine) for engine in ENGINES.values()]


if __name__ == "__main__":
    print_results(measure)
