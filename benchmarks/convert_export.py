"""How long converting a data file of an export takes, beside a naive program and beside what no program can go below.

The limit is gunzip by ISA-L and one pass of simdjson over the lines, which makes no rows at all. Everything is in
memory, so S3's own time is not measured. CPU time per item; medians of rounds in which each runs once.
"""

from __future__ import annotations

import base64
import hashlib
import io
from typing import TYPE_CHECKING, Any

import simdjson
from isal import igzip

from benchmarks.items import CLICKS, THINGS, THINGS_SCHEMA, map_schemaless, write_export
from benchmarks.naive import Naive
from benchmarks.results import Result, is_quick, print_results
from benchmarks.timing import medians
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.exports.convert_export import Converted, Converter
from dynaurora.exports.manifests import DataFile
from dynaurora.exports.rejects import Rejects
from dynaurora.exports.sorted_rows import SortedRows
from dynaurora.mappings.row_mapper import RowMapper

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.mappings.mapping import Mapping

EXPORT_SECOND = 1_700_000_000
ITEMS, ROUNDS = 20_000, 9
MICROSECONDS = 1e6


class Pieces(list[bytes]):
    """An upload that is kept in memory."""

    size = 0

    def write(self, data: bytes) -> None:
        """Add to it."""
        self.append(data)


class OneObject:
    """A store with one object in it."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def open(self, bucket: str, key: str) -> Any:  # noqa: ARG002 (there is one)
        """Return the object as a stream."""
        return io.BytesIO(self.body)


def make_work(mapping: Mapping, body: bytes, items: int) -> Callable[[], tuple[bytes, int]]:
    """Return what converts a data file as the function does, and returns its CSV and how many items were refused."""
    converter = Converter(RowMapper(mapping), OneObject(body), "landing", "exports", "r1", EXPORT_SECOND, "arn")  # type: ignore[arg-type]
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    file = DataFile(key="data.json.gz", items=items, md5=md5)

    def work() -> tuple[bytes, int]:
        csv, rejects, converted = Pieces(), Rejects(Pieces(), Pieces()), Converted()  # type: ignore[arg-type]
        rows = SortedRows(csv, mapping)  # type: ignore[arg-type]
        converter._convert_file(file, rows, rejects, converted)
        rows.flush()
        return b"".join(csv), sum(converted.rejected.values())

    return work


def make_limit(body: bytes) -> Callable[[], None]:
    """Return what unpacks a data file and has simdjson look at each line, once."""
    parser = simdjson.Parser()

    def work() -> None:
        text = igzip.decompress(body)  # type: ignore[no-untyped-call]
        for line in text.split(b"\n"):
            if line:
                document = parser.parse(line)
                del document  # or the parser cannot be used again

    return work


def measure_mapping(mapping: Mapping, items: int, rounds: int) -> dict[str, float]:
    """Return the microseconds of CPU time per item of each work, after seeing that both make as many rows."""
    body = write_export(mapping.name, items)
    work, naive = make_work(mapping, body, items), Naive(mapping)

    def naive_work() -> tuple[str, list[str]]:
        return naive.convert(body, snapshot_version(EXPORT_SECOND), EXPORT_SECOND * 1000)

    csv, rejected = work()
    text, refused = naive_work()
    if (csv.count(b"\n"), rejected) != (text.count("\r\n"), len(refused)):
        raise AssertionError("the two do not agree on what is to be refused")
    taken = medians({"naive": naive_work, "compiled": work, "limit": make_limit(body)}, rounds)
    return {name: seconds / items * MICROSECONDS for name, seconds in taken.items()}


def measure_left(items: int, rounds: int) -> list[Result]:
    """Compare keys and a column for the rest with a column for each attribute."""
    body = write_export(THINGS.name, items)
    mappings = {
        "typed": THINGS,
        "no attribute in the schema": map_schemaless({"type": "object"}),
        "all attributes in the schema": map_schemaless(THINGS_SCHEMA),
    }
    works = {name: make_work(mapping, body, items) for name, mapping in mappings.items()}
    for work in works.values():
        work()  # names are learnt from the first items
    taken = {name: seconds / items * MICROSECONDS for name, seconds in medians(works, rounds).items()}
    typed = taken.pop("typed")
    return [
        Result(
            f"convert, keys and the column for the rest (25 attributes), {name}",
            "a column for each",
            "≤ 1.5 × its time",
            f"{left / typed:.2f} × ({typed:.2f} µs and {left:.2f} µs an item)",
            left / typed <= 1.5,
        )
        for name, left in taken.items()
    ]


def describe(found: dict[str, float], name: str) -> str:
    """Return two times per item, as a row of the table shows them."""
    return f"{found[name]:.2f} µs and {found['compiled']:.2f} µs an item"


def measure() -> list[Result]:
    """Measure clicks and wide items."""
    items, rounds = (1000, 3) if is_quick() else (ITEMS, ROUNDS)
    clicks, things = measure_mapping(CLICKS, items, rounds), measure_mapping(THINGS, items // 4, rounds)
    to_naive, to_limit = clicks["naive"] / clicks["compiled"], clicks["compiled"] / clicks["limit"]
    wide = things["naive"] / things["compiled"]
    path = "convert an export file, `web_analytics`, 1 % rejected"
    return [
        Result(path, "naive", "≥ 25 ×", f"{to_naive:.1f} × ({describe(clicks, 'naive')})", to_naive >= 25),
        Result(
            path,
            "gunzip and one pass of simdjson",
            "≤ 3 × its time",
            f"{to_limit:.2f} × ({describe(clicks, 'limit')})",
            to_limit <= 3,
        ),
        Result(
            "convert, 25 attributes of all types",
            "naive",
            "≥ 20 ×",
            f"{wide:.1f} × ({describe(things, 'naive')})",
            wide >= 20,
        ),
        *measure_left(items // 4, rounds),
    ]


if __name__ == "__main__":
    print_results(measure)
