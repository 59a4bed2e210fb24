"""Inferring a mapping from an export: against reading it alone, and with more items, whether memory grows.

Clicks as they are, and 25 attributes of all types. CPU time per item; medians of rounds in which each runs once. What
reading alone takes is the export's gunzip and msgspec's decoding. Memory is that of a process of its own, at its peak.
"""

from __future__ import annotations

import io
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

from backfill.samples import read_stream
from benchmarks.items import write_export
from benchmarks.results import Result, is_quick, print_results
from benchmarks.timing import medians
from dynaurora.inference.table_profiles import profile_items, uncollected

if TYPE_CHECKING:
    from collections.abc import Callable

ITEMS, ROUNDS, MOST = 20_000, 9, 6.0
FEW_ITEMS, MANY_ITEMS, MOST_MIB = 50_000, 500_000, 16
KEYS: Final = {"web_analytics": ("page_id", "activity_dt"), "things": ("id",)}
IN_A_PROCESS: Final = """
import io, re, sys
from pathlib import Path
from benchmarks.infer_mapping import infer
from benchmarks.items import write_export
infer(write_export("web_analytics", 1000), "web_analytics", times=int(sys.argv[1]) // 1000)
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


def measure_memory(items: int) -> int:
    """Return the MiB that a process has at its peak that infers from so many items."""
    command = [sys.executable, "-c", IN_A_PROCESS, str(items)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603


def measure() -> list[Result]:
    """Measure both."""
    items, rounds = (1000, 3) if is_quick() else (ITEMS, ROUNDS)
    results = []
    for name in KEYS:
        body = write_export(name, items)
        works: dict[str, Callable[[], object]] = {"read": partial(read, body), "infer": partial(infer, body, name)}
        taken = medians(works, rounds)
        ratio = taken["infer"] / taken["read"]
        each = " and ".join(f"{taken[way] / items * 1e6:.1f} µs" for way in works)
        path = f"infer a mapping from an export, `{name}`"
        results.append(Result(path, "reading it", f"≤ {MOST:.0f} × its time", f"{ratio:.1f} × ({each})", ratio <= MOST))
    few, many = (1000, 10_000) if is_quick() else (FEW_ITEMS, MANY_ITEMS)
    small, large = measure_memory(few), measure_memory(many)
    memory = f"{large - small} MiB ({small} for {few:,}, {large} for {many:,} items)"
    path = "peak memory of inferring"
    results.append(Result(path, "a tenth of the items", f"≤ {MOST_MIB} MiB more", memory, large - small <= MOST_MIB))
    return results


if __name__ == "__main__":
    print_results(measure)
