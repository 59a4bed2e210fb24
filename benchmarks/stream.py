"""What a change costs on its way through the stream, beside the release before, which sent each as a record of its own.

Bytes that Firehose bills, of changes that come 500 at a time, and CPU time of forwarding and transforming them. Nothing
is refused: what is costs a call of S3's. Medians of rounds in which each way runs once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, cast

from pybase64 import b64decode, b64encode_as_string

from benchmarks.items import CLICKS
from benchmarks.measure_figures import RECORDS, to_stream_record
from benchmarks.results import Result, is_quick, print_results
from benchmarks.sink import TakingStream
from benchmarks.timing import medians
from benchmarks.transform_changes import make_records, make_transformer
from dynaurora.dynamodb.packs import BILLED_BYTES
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.stream.forward_changes import Entry, Forwarder
from local.clicks import tell_seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dynaurora.stream.forward_changes import Numbered


class OneByOne(Forwarder):
    """Forwards as the release before did: a record for each change, without a stamp."""

    def _pack(self, changes: list[Numbered]) -> Iterator[Entry]:
        for change in changes:
            yield Entry((change.sequence_number,), change.data)


@dataclass(frozen=True)
class Way:
    """One way through the stream."""

    forwarder: type[Forwarder]
    transform: Callable[[list[dict[str, Any]]], object]

    def forward(self, records: list[dict[str, Any]]) -> list[bytes]:
        """Return what Firehose gets."""
        stream = TakingStream()
        self.forwarder(
            CLICKS.name, CLICKS.digest, stream, cast("Any", None), "landing", ignore_expiries=False, function_arn=""
        ).forward(records)
        return stream.taken


def transform_one_by_one(records: list[dict[str, Any]], mapper: RowMapper) -> list[dict[str, str]]:
    """Answer Firehose as the release before did: a row for each record."""
    changes = [b64decode(record["data"], validate=True) for record in records]
    rows = mapper.writer.write_changes(changes, lambda _index: None)
    answer, size = [], sum(len(record["recordId"]) + 64 for record in records)
    for record, row in zip(records, rows, strict=True):
        data = b64encode_as_string(row or b"")
        size += len(data)
        answer.append({"recordId": record["recordId"], "result": "Ok", "data": data})
    return answer


def measure() -> list[Result]:
    """Measure both ways."""
    clicks = [story[0].request["PutRequest"]["Item"] for story in tell_seeded(RECORDS, seed=0, run="bench")]
    records = list(map(to_stream_record, clicks, range(len(clicks))))
    mapper, transformer = RowMapper(CLICKS), make_transformer()
    ways = {
        "before": Way(OneByOne, lambda received: transform_one_by_one(received, mapper)),
        "packs": Way(Forwarder, transformer.transform),
    }
    sent = {name: way.forward(records) for name, way in ways.items()}
    billed = {name: count_billed(taken) / len(records) for name, taken in sent.items()}
    received = {name: make_records(taken) for name, taken in sent.items()}
    works: dict[str, Callable[[], object]] = {
        f"{name} forwarding": partial(way.forward, records) for name, way in ways.items()
    }
    for name, way in ways.items():
        works[f"{name} transforming"] = partial(way.transform, received[name])
    seconds = medians(works, 3 if is_quick() else 101)
    taken = {
        name: (seconds[f"{name} forwarding"] + seconds[f"{name} transforming"]) / len(records) * 1e6 for name in ways
    }
    return [
        compare("bytes that Firehose bills for a change", billed, "B", 0.2),
        compare("CPU time of forwarding and transforming a change", taken, "µs", 1.0),
    ]


def count_billed(taken: list[bytes]) -> int:
    """Return the bytes that Firehose bills for its records."""
    return sum(ceil(len(data) / BILLED_BYTES) * BILLED_BYTES for data in taken)


def compare(path: str, found: dict[str, float], unit: str, most: float) -> Result:
    """Return how much of the release before is left."""
    ratio = found["packs"] / found["before"]
    measured = f"{ratio:.2f} × ({found['before']:,.1f} and {found['packs']:,.1f} {unit})"
    return Result(path, "a record for each change", f"≤ {most:.1f} ×", measured, ratio <= most)


if __name__ == "__main__":
    print_results(measure)
