"""How long transforming 500 of Firehose's records takes, from base64 to base64, beside a naive program.

One record in a hundred is refused, one in twenty is a delete. CPU time; medians of rounds in which each runs once.
"""

from __future__ import annotations

import base64
from typing import Any

from benchmarks.items import CLICKS, draw_items
from benchmarks.naive import Naive
from benchmarks.results import Result, is_quick, print_results
from benchmarks.timing import medians
from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.dynamodb.versions import stream_version
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.stream.transform_changes import transform_records

RECORDS, DELETE_EVERY = 500, 20
SECOND, SEQUENCE = 1_700_000_000, 111_100_000_000_000_000_000_001


def make_records(count: int) -> list[dict[str, Any]]:
    """Return records as Firehose hands them to its transformation Lambda."""
    records = []
    for number, item in enumerate(draw_items(CLICKS.name, count)):
        keys = {name: item[name] for name in CLICKS.key_attributes}
        image = None if number % DELETE_EVERY == 1 else item
        change = Change(stream_version(SECOND, SEQUENCE + number), SECOND * 1000, keys, image)
        data = base64.b64encode(encode_change(change)).decode()
        records.append({"recordId": f"4960-{number:050}", "approximateArrivalTimestamp": SECOND * 1000, "data": data})
    return records


def measure() -> list[Result]:
    """Measure one invocation's work."""
    records, mapper, naive = make_records(RECORDS), RowMapper(CLICKS), Naive(CLICKS)
    compiled_answer, naive_answer = transform_records(records, mapper).records, naive.transform(records)
    if [answer["result"] for answer in compiled_answer] != [answer["result"] for answer in naive_answer]:
        raise AssertionError("the two do not agree on what is to be refused")
    works = {"naive": lambda: naive.transform(records), "compiled": lambda: transform_records(records, mapper)}
    taken = medians(works, 3 if is_quick() else 51)
    ratio = taken["naive"] / taken["compiled"]
    measured = f"{ratio:.1f} × ({taken['naive'] * 1e3:.2f} ms and {taken['compiled'] * 1e3:.2f} ms)"
    return [Result("`transform_changes`, 500 records in and out of base64", "naive", "≥ 20 ×", measured, ratio >= 20)]


if __name__ == "__main__":
    print_results(measure)
