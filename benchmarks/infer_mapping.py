"""Inferring a mapping from an export: against reading it alone and a naive program, and whether memory grows.

Clicks as they are, and 25 attributes of all types. CPU time per item; medians of rounds in which each runs once. What
reading alone takes is the export's gunzip and msgspec's decoding. The naive program is json, boto3's TypeDeserializer,
and every text tried as a time and as JSON. Memory and seconds of 1,000,000 clicks are those of a process of its own.
"""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from collections import Counter, defaultdict
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from boto3.dynamodb.types import TypeDeserializer

from backfill.samples import read_stream
from benchmarks.items import write_export
from benchmarks.naive import unpacked
from benchmarks.results import Result, is_quick, print_results
from benchmarks.timing import medians
from dynaurora.inference.table_profiles import profile_items, uncollected

if TYPE_CHECKING:
    from collections.abc import Callable

ITEMS, ROUNDS, MOST, LEAST = 20_000, 9, 6.0, 2.0
"""Items of a round, rounds, the most of reading's time, and how many times faster than the naive program."""
FEW_ITEMS, MANY_ITEMS, MOST_MIB, MOST_SECONDS = 50_000, 1_000_000, 16, 60
KEYS: Final = {"web_analytics": ("page_id", "activity_dt"), "things": ("id",)}
IN_A_PROCESS: Final = """
import io, re, sys, time
from pathlib import Path
from benchmarks.infer_mapping import infer
from benchmarks.items import write_export
body, used, begun = write_export("web_analytics", 1000), time.process_time(), time.monotonic()
infer(body, "web_analytics", times=int(sys.argv[1]) // 1000)
print(time.monotonic() - begun, time.process_time() - used)
print(int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def read(body: bytes) -> None:
    """Read the items of a data file."""
    with uncollected():
        for _ in read_stream(io.BytesIO(body), "file", sys.maxsize, {}):
            pass


def infer(body: bytes, name: str, times: int = 1) -> None:
    """Profile the items of a data file, which is read so often."""
    batches = (batch for _ in range(times) for batch in read_stream(io.BytesIO(body), "file", sys.maxsize, {}))
    profile_items(batches, KEYS[name])


def infer_naively(body: bytes) -> dict[str, Any]:
    """Return what each attribute of a data file's items is like: types, longest text, digits, times and JSON."""
    deserialize: Callable[[Any], Any] = TypeDeserializer().deserialize
    found: dict[str, Counter[str]] = defaultdict(Counter)
    with gzip.open(io.BytesIO(body)) as lines:
        for line in lines:
            for name, attribute in json.loads(line)["Item"].items():
                note_naively(found[name], deserialize(unpacked(attribute)))
    return found


def note_naively(seen: Counter[str], value: Any) -> None:
    """Count what a value is like."""
    seen[type(value).__name__] += 1
    if isinstance(value, str):
        seen["longest"] = max(seen["longest"], len(value))
        with suppress(ValueError):
            datetime.fromisoformat(value)
            seen["times"] += 1
        with suppress(ValueError):
            seen["json"] += isinstance(json.loads(value), dict | list)
    elif hasattr(value, "as_tuple"):
        seen["digits"] = max(seen["digits"], len(value.as_tuple().digits))
        seen["scale"] = max(seen["scale"], -value.as_tuple().exponent)


def measure_process(items: int) -> tuple[float, float, int]:
    """Return what a process takes that infers from so many items: seconds of the clock, of a processor, MiB at most."""
    command = [sys.executable, "-c", IN_A_PROCESS, str(items)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()  # noqa: S603
    return float(told[0]), float(told[1]), int(told[2])


def measure() -> list[Result]:
    """Measure all."""
    items, rounds = (1000, 3) if is_quick() else (ITEMS, ROUNDS)
    results = []
    for name in KEYS:
        body = write_export(name, items)
        works: dict[str, Callable[[], object]] = {
            "read": partial(read, body),
            "infer": partial(infer, body, name),
            "naive": partial(infer_naively, body),
        }
        taken = medians(works, rounds)
        each = {way: f"{taken[way] / items * 1e6:.1f} µs" for way in works}
        path = f"infer a mapping from an export, `{name}`"
        of_reading, faster = taken["infer"] / taken["read"], taken["naive"] / taken["infer"]
        told = f"{of_reading:.1f} × ({each['read']} and {each['infer']})"
        results.append(Result(path, "reading it", f"≤ {MOST:.0f} × its time", told, of_reading <= MOST))
        told = f"{faster:.1f} × ({each['naive']} and {each['infer']})"
        results.append(Result(path, "naive", f"≥ {LEAST:.0f} ×", told, faster >= LEAST))
    few, many = (1000, 10_000) if is_quick() else (FEW_ITEMS, MANY_ITEMS)
    _, _, small = measure_process(few)
    clock, processor, large = measure_process(many)
    memory = f"{large - small} MiB ({small} for {few:,}, {large} for {many:,} items)"
    path = "peak memory of inferring"
    results.append(Result(path, f"{few:,} items", f"≤ {MOST_MIB} MiB more", memory, large - small <= MOST_MIB))
    told = f"{clock:.1f} s, {processor:.1f} s of a processor"
    path = f"infer a mapping from {many:,} items of an export"
    results.append(Result(path, "the clock", f"≤ {MOST_SECONDS} s", told, clock <= MOST_SECONDS))
    return results


if __name__ == "__main__":
    print_results(measure)
