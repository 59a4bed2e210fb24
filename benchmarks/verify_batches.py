"""How long verifying an export takes in the database, against importing the same export there: MariaDB, then MySQL.

    python -m benchmarks.verify_batches

A million rows are imported batch by batch into an empty table, and then compared batch by batch, by the same function;
the keys that were seen are kept, the rows that were not are looked for, and all of it is forgotten in the end. Both
are given the same rows, each as objects of its own: converting takes as long for either. Memory is this process's own,
before and after.

Wall time is what counts, and what other processes of the machine disturb; beside it stands CPU time, of this process
and the server's together. An engine that cannot be had here is left out, by name.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.database import Database, local_database, make_rows, measure_on_engines, shuffled
from benchmarks.results import Result, is_quick, print_results
from benchmarks.timing import cpu_seconds, peak_mb
from dynaurora.exports.plan import MAX_BATCH_ITEMS
from dynaurora.verification.compare_items import find_extra_rows
from dynaurora.verification.compare_rows import RowComparer

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.batches.batch import Batch
    from local.aurora.engine import Engine

ROWS, QUICK_ROWS = 1_000_000, 20_000
MOST, MOST_MB = 1.3, 16.0
RUN = "benchmark"


def measure() -> list[Result]:
    """Measure it on every engine."""
    return measure_on_engines("verify", measure_on)


def measure_on(engine: Engine) -> list[Result]:
    """Measure it on one engine."""
    rows = QUICK_ROWS if is_quick() else ROWS
    with local_database(engine) as database:
        numbers = shuffled(range(rows))
        starts = range(0, rows, min(rows, MAX_BATCH_ITEMS))
        imports, compares = (
            [database.write(make_rows(numbers[start : start + MAX_BATCH_ITEMS], 1)) for start in starts] for _ in "ab"
        )
        imported = time_it(database, lambda: [*map(database.import_batch, imports)])
        before = peak_mb()
        verified = time_it(database, lambda: verify(database, compares, rows))
        grown = peak_mb() - before
    path = f"{engine.title}: verify {rows:,} rows, keys that were seen and rows that were not included"
    wall, cpu = (one / other for one, other in zip(verified, imported, strict=True))
    measured = f"{wall:.2f} × ({verified[0]:.1f} and {imported[0]:.1f} s; CPU {cpu:.2f} ×)"
    return [
        Result(path, "importing them, wall", f"≤ {MOST} ×", measured, wall <= MOST),
        Result(path, "memory before", f"≤ {MOST_MB:.0f} MB more", f"{grown:.1f} MB more", grown <= MOST_MB),
    ]


def verify(database: Database, batches: list[Batch], rows: int) -> None:
    """Compare batches with what was imported from them."""
    compared = 0
    for batch in batches:
        compared += database.import_batch(replace(batch, source="verify", run=RUN)).rows_changed
    with database.connect() as aurora:
        lookup = RowComparer(aurora, database.mapping, RUN)
        types = dict.fromkeys(database.mapping.key_attributes, "S")
        found = [*find_extra_rows(database.mapping, lookup, types)]
        lookup.forget()
    if compared != rows or any(each.suspects for each in found):
        raise AssertionError(f"{compared} of {rows} rows are equal")


def time_it(database: Database, work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that some work takes: on the wall, and of processors."""
    clocks: list[Callable[[], float]] = [time.perf_counter, partial(cpu_seconds, database.process)]
    started = [clock() for clock in clocks]
    work()
    wall, cpu = (clock() - start for clock, start in zip(clocks, started, strict=True))
    return wall, cpu


if __name__ == "__main__":
    print_results(measure)
