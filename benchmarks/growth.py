"""How time and memory grow with the number of items, in converting and importing: for each item, not at all.

    python -m benchmarks.growth [--most 10000000]

The sizes are powers of ten from 10,000 to `--most`. Converting reads one data file of so many items, by the production
code; its objects are files of this machine, and S3's own time is not measured. Importing brings batches of new keys
into one table, through the gateway into a real MariaDB. Each size has a process, and so a peak memory, of its own.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import json
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from backfill.project import load_example
from benchmarks.database import Database, local_database, make_rows, shuffled
from benchmarks.results import Result, is_quick, print_results
from benchmarks.sink import Sink
from dynaurora.errors import ObjectMissingError
from dynaurora.exports.convert_export import Converter
from dynaurora.exports.manifests import DataFile
from dynaurora.exports.plan import MAX_BATCH_ITEMS, PlannedBatch
from dynaurora.mappings.row_mapper import RowMapper
from local.clicks import tell_seeded

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from dynaurora.batches.batch import Batch

SMALLEST = 10_000
MOST_TIME, MOST_MEMORY = 1.25, 1.1
"""How much longer an item of the largest size may take than one of the smallest, and how much more its process hold."""
EXPORT_SECOND = 1_763_900_000


@dataclass(frozen=True)
class Growth:
    """What one size took."""

    items: int
    seconds: float
    peak_bytes: int
    """The highest resident set of its process."""

    @property
    def microseconds(self) -> float:
        """The time of one item."""
        return self.seconds / self.items * 1e6


def measure(most: int | None = None) -> list[Result]:
    """Measure all sizes, of converting and of importing."""
    most = most or (20_000 if is_quick() else 1_000_000)
    sizes = [size for size in (SMALLEST * 10**power for power in range(10)) if size < most] + [most]
    with tempfile.TemporaryDirectory(prefix="dynaurora-bench-") as directory:
        converting = [run(convert, write_data_file(Path(directory), size)) for size in sizes]
    with local_database() as database:
        importing = [import_rows(database, size) for size in sizes]
    return [*judge("convert", "CPU", converting), *judge("import", "wall", importing)]


def judge(path: str, clock: str, growths: list[Growth]) -> list[Result]:
    """Return whether time per item and memory are flat."""
    first, last = growths[0], growths[-1]
    path = f"{path} {first.items:,} to {last.items:,} items"
    times = " → ".join(f"{growth.microseconds:.1f}" for growth in growths)
    peaks = " → ".join(f"{growth.peak_bytes / 2**20:.0f}" for growth in growths)
    slower, larger = last.microseconds / first.microseconds, last.peak_bytes / first.peak_bytes
    beat = f"{first.items:,} items"
    return [
        Result(path, f"{beat}, {clock}", f"≤ {MOST_TIME} × each", f"{slower:.2f} × ({times} µs)", slower <= MOST_TIME),
        Result(path, f"{beat}, memory", f"≤ {MOST_MEMORY} ×", f"{larger:.2f} × ({peaks} MiB)", larger <= MOST_MEMORY),
    ]


def run(work: Callable[..., Growth], *arguments: Any) -> Growth:
    """Do some work in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def peak_bytes() -> int:
    """Return the highest resident set that this process ever had.

    Not by `getrusage`: its maximum is at least what the process that started this one had.
    """
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


# Converting


def write_data_file(directory: Path, items: int) -> tuple[Path, DataFile]:
    """Write a data file of an export with so many items, 1 % of them refused; return it and its entry in a manifest.

    The items repeat themselves, as members of one gzip file: converting does not know.
    """
    path = directory / f"{items}.json.gz"
    digest = hashlib.md5(usedforsecurity=False)
    member, rest = (compress(count) for count in (SMALLEST, items % SMALLEST))
    with path.open("wb") as file:
        for data in [member] * (items // SMALLEST) + [rest] * bool(items % SMALLEST):
            file.write(data)
            digest.update(data)
    return path, DataFile(path.name, items, base64.b64encode(digest.digest()).decode())


def compress(items: int) -> bytes:
    """Return so many items as DynamoDB exports them."""
    clicks = (story[0].request for story in tell_seeded(items, seed=0, run="bench"))
    lines = [json.dumps({"Item": click["PutRequest"]["Item"]}, ensure_ascii=False) for click in clicks]
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), 6)


def convert(written: tuple[Path, DataFile]) -> Growth:
    """Convert a data file as one batch."""
    path, file = written
    mapper = RowMapper(load_example())
    store = cast("Any", Files(path.parent))
    converter = Converter(mapper, store, "landing", "landing", "r1", EXPORT_SECOND, "arn:aws:lambda:function")
    started = time.process_time()
    batch = converter.convert(PlannedBatch(1, file.items, (file,)))
    seconds = time.process_time() - started
    if (batch.rows or 0) + batch.rows_rejected != file.items:
        raise RuntimeError(f"{file.items} items became {batch.rows} rows and {batch.rejected} refusals.")
    return Growth(file.items, seconds, peak_bytes())


@dataclass
class Files:
    """The part of an object store that converting uses: files to read, and uploads that go nowhere."""

    directory: Path

    def open(self, bucket: str, key: str) -> BinaryIO:  # noqa: ARG002 (there is one bucket)
        """Open a file."""
        return (self.directory / key).open("rb")

    def read(self, bucket: str, key: str) -> bytes:
        """Find no attempt before."""
        raise ObjectMissingError(f"s3://{bucket}/{key} does not exist.")

    def write(self, bucket: str, key: str, body: bytes) -> str:  # noqa: ARG002 (it is forgotten)
        """Forget what is noted of an attempt."""
        return "etag"

    def upload(self, bucket: str, key: str) -> Sink:  # noqa: ARG002 (there is one bucket)
        """Return an upload."""
        return Sink()


# Importing


def import_rows(database: Database, rows: int) -> Growth:
    """Import so many new rows, batch after batch, in a process of its own."""
    database.empty()
    order = shuffled(range(rows))
    batches = [
        database.write(make_rows(order[start : start + MAX_BATCH_ITEMS], 1))
        for start in range(0, rows, MAX_BATCH_ITEMS)
    ]
    return run(import_batches, database, batches, rows)


def import_batches(database: Database, batches: list[Batch], rows: int) -> Growth:
    """Import batches one after the other."""
    started = time.perf_counter()
    changed = sum(database.import_batch(batch).rows_changed for batch in batches)
    seconds = time.perf_counter() - started
    if changed != rows:
        raise RuntimeError(f"{rows} rows were to be imported, and {changed} were.")
    return Growth(rows, seconds, peak_bytes())


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, help="items of the largest size; default: 1,000,000")
    most = parser.parse_args().most
    print_results(lambda: measure(most))


if __name__ == "__main__":
    main()
