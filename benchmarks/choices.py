"""What the sizes and statements that were chosen are chosen over: the tables of benchmarks/README.md.

    python -m benchmarks.choices

Nothing here is a target: it prints what else there would be, beside what is.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

from benchmarks import sink
from benchmarks.database import Database, local_database, make_rows, shuffled
from benchmarks.documents import to_table
from benchmarks.growth import Growth, convert, run, write_data_file
from benchmarks.imports import count_deadlocks
from benchmarks.results import is_quick
from benchmarks.timing import cpu_seconds, interleave, medians
from benchmarks.transform_changes import make_changes, make_records, make_transformer, pack_changes
from dynaurora.aurora import sql
from dynaurora.exports.plan import MAX_BATCH_ITEMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from dynaurora.mappings.mapping import Mapping

ROUNDS = 2 if is_quick() else 5
BATCHES = (100, 2_000) if is_quick() else (100, 1_000, 10_000, 25_000, 50_000, 100_000, 200_000)
PARTS_MIB = (5, 8, 16, 32)
CHANGE_BYTES = 667
"""Of a click's change as it travels."""
HINTS_MB = (0.2, 0.5, 1, 2, 3)
"""Of what Firehose hands to its transformation at once."""
ITEMS = 10_000 if is_quick() else 300_000


def number_rows(mapping: Mapping, collation: str) -> str:
    """Return the statement that stages rows by number, whatever their keys."""
    with patch.object(sql, "INDEX_BYTES", 0):
        return CREATE(mapping, collation)


def merge_unsorted(*staged: Any) -> str:
    """Return the merge without its order."""
    return re.sub(r" ORDER BY [^\n]*", "", MERGE(*staged))


CREATE, MERGE = sql.create_staged, sql.merge_staged
WAYS: dict[str, dict[str, Callable[..., str]]] = {
    "staged by key and version (chosen)": {"create_staged": CREATE},
    "staged by number, sorted by the merge": {"create_staged": number_rows},
    "staged by number, unsorted": {"create_staged": number_rows, "merge_staged": merge_unsorted},
}


def staged(way: str) -> AbstractContextManager[object]:
    """Stage and merge another way."""
    return cast("AbstractContextManager[object]", patch.multiple(sql, **cast("Any", WAYS[way])))


def compare_batches(database: Database) -> Iterator[tuple[str, ...]]:
    """Yield, for each size of a batch, rows per second and how long its transaction takes."""

    def prepare(rows: int) -> Callable[[], object]:
        database.empty()
        batch = database.write(make_rows(shuffled(range(rows)), 1))
        return lambda: database.import_batch(batch)

    works = {str(rows): partial(prepare, rows) for rows in BATCHES}
    seconds = interleave(works, ROUNDS, wall=time.perf_counter)["wall"]
    for rows in BATCHES:
        taken = median(seconds[str(rows)])
        yield f"{rows:,}", f"{rows / taken / 1000:.0f}", f"{taken:.2f} s"


def compare_staging(database: Database) -> Iterator[tuple[str, ...]]:
    """Yield, for each way of staging, the CPU time of an import and how many deadlock."""
    versions = iter(range(1, 1000))

    def prepare(way: str, *, new: bool) -> Callable[[], object]:
        if new:
            database.empty()
        batch = database.write(make_rows(shuffled(range(MAX_BATCH_ITEMS)), next(versions)))

        def work() -> None:
            with staged(way):
                database.import_batch(batch)

        return work

    clocks = {"cpu": partial(cpu_seconds, database.process)}
    new = interleave({way: partial(prepare, way, new=True) for way in WAYS}, ROUNDS, **clocks)["cpu"]
    existing = interleave({way: partial(prepare, way, new=False) for way in WAYS}, ROUNDS, **clocks)["cpu"]
    for way in WAYS:
        with staged(way):
            deadlocks = count_deadlocks(database, MAX_BATCH_ITEMS // 10, rounds=ROUNDS)
        times = (f"{median(found[way]) * 1000:.0f} ms" for found in (new, existing))
        yield way, *times, f"{deadlocks} of {ROUNDS * 20}"


def compare_hints() -> Iterator[tuple[str, ...]]:
    """Yield, for each size of what is transformed at once, its changes, time and the size of the answer."""
    changes = make_changes(round(max(HINTS_MB) * 1e6 / CHANGE_BYTES))
    batches = {f"{hint} MB": changes[: round(hint * 1e6 / CHANGE_BYTES)] for hint in HINTS_MB}
    transformer = make_transformer()
    works = {hint: partial(transformer.transform, make_records(pack_changes(each))) for hint, each in batches.items()}
    seconds = medians(works, ROUNDS * 3)
    for hint, batch in batches.items():
        answer = json.dumps({"records": works[hint]().records})
        time_of_one = f"{seconds[hint] / len(batch) * 1e6:.1f} µs"
        yield hint, f"{len(batch):,}", f"{seconds[hint] * 1e3:.1f} ms", time_of_one, f"{len(answer) / 1e6:.1f} MB"


def compare_parts() -> Iterator[tuple[str, ...]]:
    """Yield, for each size of an upload's parts, memory and time of converting, and the calls for a batch."""
    with tempfile.TemporaryDirectory(prefix="dynaurora-bench-") as directory:
        written = write_data_file(Path(directory), ITEMS)
        for mebibytes in PARTS_MIB:
            found = [run(convert_in_parts, mebibytes, written) for _ in range(ROUNDS)]
            peak = median(growth.peak_bytes for growth in found) / 2**20
            time_of_one = median(growth.microseconds for growth in found)
            largest = 10_000 * mebibytes / 1024
            yield f"{mebibytes} MiB", f"{peak:.0f} MiB", f"{time_of_one:.1f} µs", f"{largest:.0f} GiB"


def convert_in_parts(mebibytes: int, written: object) -> Growth:
    """Convert with parts of another size."""
    with patch.object(sink, "PART_BYTES", mebibytes * 2**20):
        return convert(written)  # type: ignore[arg-type]


def main() -> None:
    """Measure, and print the tables."""
    header = "buffer of the transformation", "changes", "CPU", "of a change", "answer"
    print(to_table(header, compare_hints()))
    print(to_table(("parts of", "peak memory", "CPU of an item", "largest object"), compare_parts()))
    with local_database() as database:
        print(to_table(("rows of a batch", "thousand rows/s", "transaction"), compare_batches(database)))
        print(to_table(("import", "CPU, new keys", "existing keys", "deadlocks"), compare_staging(database)))


if __name__ == "__main__":
    main()
