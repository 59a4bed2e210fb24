"""How long counting what is kept as failed takes by item, beside reading the same objects alone; and its memory.

    python -m benchmarks.kept_failures

Each failure is an object of its own, as those of the stream are: a click whose hits are no number. Objects are made as
they are read, so S3's own time is not measured, nor is the function's that looks rows up. *Reading alone* lists them,
reads each once as counting does, some ahead, and decodes their envelopes. Memory is this process's, what a count of ten
times as many adds to that of a tenth.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from backfill.failures.counts import REASON, Tally, make_label
from backfill.failures.items import ItemEntries
from backfill.failures.reader import FailureReader, Selection
from backfill.failures.verdicts import Judge
from backfill.project import load_example
from benchmarks.results import Result, is_quick, print_results
from benchmarks.timing import medians, peak_mb
from dynaurora import keys
from dynaurora.aws.objects import Listed
from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.failures.failed_keys import read_kept_records
from dynaurora.failures.failed_records import REJECTED, FailedRecord, encode_failed_record
from dynaurora.failures.list_failures import Place
from dynaurora.failures.superseded import ItemNamer
from dynaurora.mappings.sandbox import choose_row_mapper

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dynaurora.mappings.columns import Field

FAILURES, QUICK_FAILURES = 100_000, 2_000
MOST_TIME, MOST_MB = 6.0, 32.0
MAPPING = load_example()
PLACE = Place("landing", MAPPING.name, "web_analytics")


@dataclass
class Objects:
    """The failed objects, each made when it is read."""

    number: int
    opened: int = 0

    def list(self, bucket: str, prefix: str, after: str = "") -> Iterator[Listed]:  # noqa: ARG002 (there is one bucket)
        """Yield the refused changes, where they are asked for."""
        if prefix == keys.failed_records_prefix(MAPPING.name):
            for number in range(self.number):
                yield Listed(keys.refused_change(MAPPING.name, f"{number:064}"), "0f1e", 1024, datetime.now(UTC))

    def open(self, bucket: str, key: str) -> io.BytesIO:  # noqa: ARG002 (there is one bucket)
        """Return one as a stream."""
        self.opened += 1
        return io.BytesIO(make_failure(int(key.rpartition("/")[2].removesuffix(".json"))))


class Rows:
    """The rows, of which none is newer."""

    def find_overtaken(self, table: str, keys: Sequence[tuple[Sequence[Field], int]]) -> set[int]:  # noqa: ARG002
        """Return the positions of the keys of which there is a newer row."""
        return set()


def make_failure(number: int) -> bytes:
    """Return an object with a click whose hits are no number."""
    key = {"page_id": {"S": f"/articles/{number}/how-to-count"}, "activity_dt": {"S": "2026-11-23T08:15:00.000Z"}}
    session = {"session_id": "s-1", "start_timestamp": "2026-11-23T08:15:00Z", "stop_timestamp": "2026-11-23T08:16:00Z"}
    payload = json.dumps({"Hits": "many", "device": {"make": "Acme"}, "session": session})
    change = Change(1_763_900_000 * 10**40 + number, 1_763_900_000_000, key, {**key, "payload": {"S": payload}})
    data = encode_change(change)
    return encode_failed_record(
        FailedRecord(data, REJECTED, "payload.Hits: is no integer", 1, 1_763_900_000_000, "arn")
    )


def read_alone(objects: Objects) -> int:
    """Read and decode each object, and return how many failures there are."""
    found = read_kept_records(PLACE, objects)  # type: ignore[arg-type]
    return sum(len([*records]) for _, records in found)


def count_by_item(objects: Objects) -> int:
    """Count the failures as `failures count` does, and return how many there are."""
    reader = FailureReader(PLACE, objects, Judge(choose_row_mapper(MAPPING)))  # type: ignore[arg-type]
    tally, label = Tally(REASON), make_label(REASON, PLACE)
    with ItemEntries(ItemNamer(MAPPING), Rows()) as entries:
        for failure in reader.read(Selection()):
            entries.add(failure, label(failure))
        for entry in entries:
            tally.add(entry)
    return tally.records


def measure() -> list[Result]:
    """Measure time and memory."""
    number, rounds = (QUICK_FAILURES, 1) if is_quick() else (FAILURES, 3)
    count_by_item(Objects(number // 10))
    before = peak_mb()
    counted = Objects(number)
    if count_by_item(counted) != number or counted.opened != number:
        raise AssertionError("not every failure was counted, each by one read")
    grown = peak_mb() - before
    works = {"alone": lambda: read_alone(Objects(number)), "counted": lambda: count_by_item(Objects(number))}
    seconds = medians(works, rounds)
    ratio = seconds["counted"] / seconds["alone"]
    path, each = f"count {number:,} kept failures by item", 1e6 / number
    measured = f"{ratio:.2f} × ({seconds['counted'] * each:.0f} and {seconds['alone'] * each:.0f} µs each)"
    return [
        Result(path, "reading and decoding them", f"≤ {MOST_TIME:.0f} × its time", measured, ratio <= MOST_TIME),
        Result(path, "memory of a tenth", f"≤ {MOST_MB:.0f} MB more", f"{grown:.1f} MB more", grown <= MOST_MB),
    ]


if __name__ == "__main__":
    print_results(measure)
