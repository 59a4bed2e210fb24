"""A table of 10 TB and 10,000,000,000 items, and 100,000 changes a second: what the design makes of them.

    python -m benchmarks.scale            prints the tables of docs/scale.md
    python -m benchmarks.scale --write    and puts them into it

The plan is made by the production code, of a manifest of that size. The rest is a small simulation: every batch is
converted and then imported, so many at a time, and importers share what the database takes. Its assumptions are
parameters; measured figures are those of `figures.json`.
"""

from __future__ import annotations

import argparse
import heapq
import json
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from backfill.costs.figures import Figures, read_figures
from backfill.costs.quantities import FULL_PROCESSOR_MB
from benchmarks.documents import to_table, write_marked
from benchmarks.plan_backfill import BUCKET, FOLDER, TABLE_ARN, make_export
from dynaurora.exports.plan_backfill import ExportToPlan, plan_backfill
from dynaurora.runs.costs import READS_OF_A_BATCH, TRANSITIONS_OF_A_BATCH, TRANSITIONS_OF_AN_IMPORT, WRITES_OF_A_BATCH

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scale.md"
HOUR = 3600


@dataclass(frozen=True)
class Assumptions:
    """The size of things, and what was not measured."""

    items: int = 10**10
    table_bytes: int = 10**13
    files: int = 100_000
    call_seconds: float = 0.05
    """Of a call of an AWS service."""
    convert_calls: int = 12
    import_calls: int = 9
    batch_seconds: float = 0.5
    """What Step Functions takes for the states of a batch, and Lambda to start."""
    database_rows_per_second: float = 250_000
    """What the writer takes in all, however many importers there are."""
    changes_per_second: int = 100_000
    buffer_bytes: float = 16 * 2**20
    buffer_seconds: float = 60
    transform_bytes: float = 2**20
    forward_memory_mb: int = 256
    transform_memory_mb: int = 1024
    figures: Figures = field(default_factory=read_figures)

    @property
    def convert_seconds_of_an_item(self) -> float:
        """CPU time that grows with an item's bytes, from the measured item to the table's average."""
        larger = self.table_bytes / self.items / self.figures.item_bytes
        return self.figures.convert_cpu_us / 1e6 * max(1.0, larger)


@dataclass(frozen=True)
class Backfill:
    """What a backfill of the table comes to."""

    batches: int
    items_of_a_batch: int
    convert_seconds: float
    import_seconds: float
    """Of one batch whose importer has as much of the database as it can use."""
    longest_import_seconds: float
    hours: float
    busiest_importers: int


def simulate_backfill(assumed: Assumptions, concurrency: int, batches: int) -> Backfill:
    """Return how long it takes to convert and import all batches, so many at a time.

    Importers share the database evenly: with `n` of them each has the smaller of what one can use and 1/n of the whole.
    """
    items = ceil(assumed.items / batches)
    converting = items * assumed.convert_seconds_of_an_item + assumed.convert_calls * assumed.call_seconds
    overhead = assumed.batch_seconds + assumed.import_calls * assumed.call_seconds
    single = assumed.figures.import_new_rows_per_second
    # Each child first converts, then waits for what is not the database, and then has its rows merged. The first ones
    # start one after another: children of a real map are not in step.
    before = converting + overhead
    waiting = [(before * (1 + number / concurrency), number) for number in range(min(concurrency, batches))]
    heapq.heapify(waiting)
    merging: list[tuple[float, float]] = []  # (merged rows of each importer at which it is done, when it began)
    started, now, merged, busiest, longest = len(waiting), 0.0, 0.0, 0, 0.0
    while waiting or merging:
        rate = min(single, assumed.database_rows_per_second / len(merging)) if merging else 0.0
        next_done = now + (merging[0][0] - merged) / rate if merging else float("inf")
        next_ready = waiting[0][0] if waiting else float("inf")
        until = min(next_done, next_ready)
        merged += rate * (until - now)
        now = until
        if next_done <= next_ready:
            _, began = heapq.heappop(merging)
            longest = max(longest, now - began)
            if started < batches:
                heapq.heappush(waiting, (now + before, started))
                started += 1
        else:
            heapq.heappop(waiting)
            heapq.heappush(merging, (merged + items, now))
            busiest = max(busiest, len(merging))
    alone = items / min(single, assumed.database_rows_per_second) + overhead
    return Backfill(batches, items, converting, alone, longest + overhead, now / HOUR, busiest)


def plan(assumed: Assumptions) -> dict[str, int]:
    """Plan an export of that size by the production code; return what the plan comes to."""
    store = make_export(assumed.files, assumed.items // assumed.files, assumed.table_bytes)
    made = plan_backfill(
        cast("Any", store),
        BUCKET,
        "web_analytics",
        "r1",
        ExportToPlan(BUCKET, f"{FOLDER}/manifest-summary.json", TABLE_ARN),
    )
    body = store.bodies[made.key]
    return {"batches": made.batches, "bytes": len(body), "largest": max(map(len, map(json.dumps, json.loads(body))))}


def simulate_stream(assumed: Assumptions) -> dict[str, float]:
    """Return what so many changes a second come to, at every step."""
    figures, rate = assumed.figures, assumed.changes_per_second
    forward = assumed.call_seconds + 500 * figures.forward_cpu_us / 1e6 / (
        assumed.forward_memory_mb / FULL_PROCESSOR_MB
    )
    in_transform = assumed.transform_bytes / figures.change_bytes
    transform = in_transform * figures.transform_cpu_us / 1e6 / (assumed.transform_memory_mb / FULL_PROCESSOR_MB)
    batches = max(rate * figures.row_bytes / assumed.buffer_bytes, 1 / assumed.buffer_seconds)
    rows = rate / batches
    seconds = rows / figures.import_existing_rows_per_second + assumed.import_calls * assumed.call_seconds
    return {
        "shards": rate / 1000,
        "forward_concurrency": rate / 500 * forward,
        "puts": rate / 500,
        "mebibytes": rate * figures.change_bytes / 2**20,
        "transforms": rate / in_transform,
        "transform_concurrency": rate / in_transform * transform,
        "batches": batches,
        "rows": rows,
        "import_seconds": seconds,
        "import_concurrency": batches * seconds,
        "transitions": batches * TRANSITIONS_OF_AN_IMPORT,
    }


def tables(assumed: Assumptions | None = None) -> dict[str, str]:
    """Return the tables of docs/scale.md, by their marks."""
    assumed = assumed or Assumptions()
    planned = plan(assumed)
    few = simulate_backfill(assumed, 4, planned["batches"])
    return {
        "backfill": to_table(("what", "it comes to", "quota or bound"), list(_backfill_rows(assumed, planned, few))),
        "concurrency": to_table(
            ("batches at a time", "writer takes 100,000 rows/s", "250,000 rows/s", "500,000 rows/s"),
            list(_concurrency_rows(assumed, planned["batches"])),
        ),
        "stream": to_table(("what", "it comes to", "quota or bound"), list(_stream_rows(assumed))),
    }


def _backfill_rows(assumed: Assumptions, planned: dict[str, int], few: Backfill) -> Iterable[tuple[str, ...]]:
    per_second = few.batches / (few.hours * HOUR)
    yield "data files", f"{assumed.files:,}", "none published"
    yield (
        "batches, one child each",
        f"{planned['batches']:,}",
        "25,000 events of the parent's history do not count them",
    )
    yield "plan", f"{planned['bytes'] / 2**20:.0f} MiB", "10 GB that a Distributed Map reads"
    yield "largest entry of the plan", f"{planned['largest']:,} bytes", "262,144 bytes of a state's input"
    yield "items of a batch", f"{few.items_of_a_batch:,}", "files are not split"
    yield "converting a batch", f"{few.convert_seconds:.1f} s", "900 s of a function"
    yield "importing a batch alone", f"{few.import_seconds:.1f} s", "300 s, its function's timeout"
    yield "importing a batch, four at a time", f"{few.longest_import_seconds:.1f} s", "300 s, its function's timeout"
    yield "executions, parents and children open at once", f"{2 * 4 + 1}", "1,000,000 open; 10,000 children of a map"
    yield "executions started", f"{2 * per_second:.1f} a second", "300 a second, with 1,300 at once"
    yield (
        "state transitions",
        f"{per_second * TRANSITIONS_OF_A_BATCH:.0f} a second",
        "1,500 a second, with 5,000 at once",
    )
    requests = per_second * (WRITES_OF_A_BATCH + READS_OF_A_BATCH + 2)
    yield "S3 requests", f"{requests:.0f} a second", "3,500 writes and 5,500 reads a second, of each prefix"
    yield "all of it, four at a time", f"{few.hours:.0f} hours", "the writer's rate, below"


def _concurrency_rows(assumed: Assumptions, batches: int) -> Iterable[tuple[str, ...]]:
    for concurrency in (1, 2, 4, 8, 16):
        hours = (
            simulate_backfill(_with_rate(assumed, rate), concurrency, batches).hours
            for rate in (100_000, 250_000, 500_000)
        )
        yield (f"{concurrency}", *(f"{taken:.0f} hours" for taken in hours))


def _with_rate(assumed: Assumptions, rate: float) -> Assumptions:
    return Assumptions(**{**assumed.__dict__, "database_rows_per_second": rate})


def _stream_rows(assumed: Assumptions) -> Iterable[tuple[str, ...]]:
    found = simulate_stream(assumed)
    yield (
        "writes of the table",
        f"{assumed.changes_per_second:,} a second",
        "40,000 a table by default; raised on request",
    )
    yield "shards of its stream", f"{found['shards']:.0f}, or more", "1,000 writes a second of a partition"
    yield (
        "forward_changes at once",
        f"{found['forward_concurrency']:.0f}",
        "1,000 functions of an account, raised on request",
    )
    yield "calls of Firehose", f"{found['puts']:.0f} a second", "2,000 a second of a stream"
    yield "bytes to Firehose", f"{found['mebibytes']:.0f} MiB a second", "5 MiB a second of a stream, raised on request"
    yield "transform_changes at once", f"{found['transform_concurrency']:.0f}", "5 of each of Firehose's shards"
    yield "batches", f"{found['batches']:.1f} a second", "300 executions started a second"
    yield "rows of a batch", f"{found['rows']:,.0f}", "–"
    yield "importing a batch", f"{found['import_seconds']:.1f} s", "300 s, its function's timeout"
    yield "import_batch at once", f"{found['import_concurrency']:.1f}", "`ImportConcurrency`"
    yield "state transitions", f"{found['transitions']:.0f} a second", "1,500 a second"
    yield (
        "rows into Aurora",
        f"{assumed.changes_per_second:,} a second",
        f"{assumed.figures.import_existing_rows_per_second:,.0f} a second were measured of one importer",
    )


def main(arguments: Iterable[str] | None = None) -> None:
    """Print the tables, and write them where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put them into docs/scale.md")
    options = parser.parse_args(None if arguments is None else list(arguments))
    made = tables()
    print("\n\n".join(made.values()))
    if options.write:
        write_marked(PAGE, made)


if __name__ == "__main__":
    main()
