"""What counting the attributes that no column takes adds to converting, beside the same code without it.

Clicks as they are have none. The others have five each: two inside of their payload, and three beside it. CPU time per
item; medians of rounds in which each runs once.
"""

from __future__ import annotations

import gzip
import json
import random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from benchmarks.convert_export import make_work
from benchmarks.items import CLICKS, SEED, Item, draw_click, write_export
from benchmarks.results import Result, is_quick, print_results
from benchmarks.timing import medians
from dynaurora.mappings.compiled import codegen
from dynaurora.mappings.compiled.unmapped_lines import Finds

if TYPE_CHECKING:
    from collections.abc import Callable

ITEMS, ROUNDS, MOST = 20_000, 21, 1.03


class Uncounted(Finds):
    """The code of functions that count nothing."""

    def add_attribute(self, *_: Any, **__: Any) -> None:
        """Count nothing."""

    def add_shape(self, *_: Any, **__: Any) -> None:
        """Count nothing."""


def draw_wide_click(numbers: random.Random) -> Item:
    """Return a click with five attributes that no column takes and no schema names."""
    item = draw_click(numbers)
    payload = json.loads(item["payload"]["S"])
    payload["referrer"] = f"https://example.com/{numbers.randint(1, 9999)}"
    payload["session"]["mobile"] = numbers.random() < 0.5
    more = {"phone": {"S": "0123456789"}, "score": {"N": str(numbers.randint(1, 999))}, "tags": {"SS": ["a", "b"]}}
    return item | {"payload": {"S": json.dumps(payload)}} | more


def write_wide_export(items: int) -> bytes:
    """Return a data file of such clicks."""
    numbers = random.Random(SEED)  # noqa: S311 (items, no secrets)
    lines = (json.dumps({"Item": draw_wide_click(numbers)}).encode() for _ in range(items))
    return gzip.compress(b"".join(line + b"\n" for line in lines), mtime=0)


def compare(body: bytes, items: int, rounds: int) -> dict[str, float]:
    """Return the seconds of converting a data file, counted and uncounted, after both have learnt its names."""
    works: dict[str, Callable[[], object]] = {}
    for name, finds in (("counted", Finds), ("uncounted", Uncounted)):
        works[name] = make_work(CLICKS, body, items)
        with patch.object(codegen, "Finds", finds):
            for _ in range(2):
                works[name]()
    return medians(works, rounds)


def measure() -> list[Result]:
    """Measure clicks as they are, and with more to them."""
    items, rounds = (1000, 3) if is_quick() else (ITEMS, ROUNDS)
    results = []
    for what, body in (("none", write_export(CLICKS.name, items)), ("five", write_wide_export(items))):
        taken = compare(body, items, rounds)
        ratio = taken["counted"] / taken["uncounted"]
        each = " and ".join(f"{taken[name] / items * 1e6:.2f} µs" for name in ("uncounted", "counted"))
        path = f"convert, counting what no column takes: {what} an item"
        results.append(Result(path, "uncounted", f"≤ {MOST} × its time", f"{ratio:.3f} × ({each})", ratio <= MOST))
    return results


if __name__ == "__main__":
    print_results(measure)
