"""How long transforming 500 changes takes, from base64 to base64, beside a naive program.

The naive program has each change as a record of its own; here they are in packs. One change in a hundred is refused,
one in twenty is a delete. CPU time; medians of rounds in which each runs once.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, cast

from benchmarks.items import CLICKS, draw_items
from benchmarks.naive import Naive
from benchmarks.results import Result, is_quick, print_results
from benchmarks.sink import RegistryStore
from benchmarks.timing import medians
from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.dynamodb.packs import encode_pack, fill_packs
from dynaurora.dynamodb.versions import stream_version
from dynaurora.mappings.registry import Registry
from dynaurora.mappings.row_mappers import RowMappers
from dynaurora.stream.transform_changes import Transformer

if TYPE_CHECKING:
    from collections.abc import Iterable

CHANGES, DELETE_EVERY = 500, 20
SECOND, SEQUENCE = 1_700_000_000, 111_100_000_000_000_000_000_001


def make_changes(count: int) -> list[bytes]:
    """Return changes as forward_changes encodes them."""
    changes = []
    for number, item in enumerate(draw_items(CLICKS.name, count)):
        keys = {name: item[name] for name in CLICKS.key_attributes}
        image = None if number % DELETE_EVERY == 1 else item
        changes.append(encode_change(Change(stream_version(SECOND, SEQUENCE + number), SECOND * 1000, keys, image)))
    return changes


def pack_changes(changes: list[bytes]) -> list[bytes]:
    """Return changes in packs, as forward_changes sends them."""
    left = iter(changes)
    return [encode_pack(CLICKS.digest, [next(left) for _ in range(n)]) for n in fill_packs([*map(len, changes)])]


def make_records(sent: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return what was sent as Firehose hands it to its transformation Lambda."""
    return [
        {
            "recordId": f"4960-{number:050}",
            "approximateArrivalTimestamp": SECOND * 1000,
            "data": base64.b64encode(data).decode(),
        }
        for number, data in enumerate(sent)
    ]


def make_transformer() -> Transformer:
    """Return what transforms clicks, and keeps what it refuses nowhere."""
    store = cast("Any", RegistryStore(CLICKS))
    mappers = RowMappers(Registry(store, "landing", CLICKS.name))
    return Transformer(CLICKS.name, mappers, store, "landing", "arn")


def measure() -> list[Result]:
    """Measure one invocation's work."""
    changes = make_changes(CHANGES)
    packs, singles = make_records(pack_changes(changes)), make_records(changes)
    transformer, naive = make_transformer(), Naive(CLICKS)
    refused = [answer["result"] for answer in naive.transform(singles)].count("ProcessingFailed")
    if len(transformer.transform(packs).rejections) != refused:
        raise AssertionError("the two do not agree on what is to be refused")
    works = {"naive": lambda: naive.transform(singles), "compiled": lambda: transformer.transform(packs)}
    taken = medians(works, 3 if is_quick() else 51)
    ratio = taken["naive"] / taken["compiled"]
    measured = f"{ratio:.1f} × ({taken['naive'] * 1e3:.2f} ms and {taken['compiled'] * 1e3:.2f} ms)"
    return [Result("`transform_changes`, 500 changes in and out of base64", "naive", "≥ 25 ×", measured, ratio >= 25)]


if __name__ == "__main__":
    print_results(measure)
