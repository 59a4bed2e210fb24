"""What a sandbox costs: changes mapped in a process of their own, beside the same mapping without one.

Clicks are mapped by compiled code in both. CPU time per change, of all processes; medians of rounds in which each runs
once.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.items import CLICKS, draw_items
from benchmarks.results import Result, is_quick, print_results
from benchmarks.timing import cpu_seconds, medians
from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.mappings.routing import write_rows
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.mappings.sandbox import SandboxedRowMapper

CHANGES, MOST = 4000, 3


def measure() -> list[Result]:
    """Measure clicks, in a sandbox and without."""
    keys, items = CLICKS.key_attributes, draw_items(CLICKS.name, CHANGES)
    changes = [
        encode_change(Change(10**20 + n, 1, {key: item[key] for key in keys}, item)) for n, item in enumerate(items)
    ]
    plain, bounded = RowMapper(CLICKS), SandboxedRowMapper(CLICKS)
    bounded.sandbox.allow(3600)
    if write_rows(changes, plain, {}) != write_rows(changes, bounded, {}):
        raise AssertionError("the two do not make the same rows")
    works = {
        each: lambda mapper=mapper: write_rows(changes, mapper, {})
        for each, mapper in (("without", plain), ("sandboxed", bounded))
    }
    taken = medians(works, 3 if is_quick() else 11, lambda: cpu_seconds(*list_processes(bounded)))
    ratio = taken["sandboxed"] / taken["without"]
    each = " and ".join(f"{taken[way] / CHANGES * 1e6:.1f} µs" for way in ("without", "sandboxed"))
    measured = f"{ratio:.2f} × ({each})"
    return [Result("map changes in a sandbox", "without one", f"≤ {MOST} × its time", measured, ratio <= MOST)]


def list_processes(mapper: SandboxedRowMapper) -> list[int]:
    """Return the ids of the processes of a sandbox: the one that serves, and its worker."""
    process = mapper.sandbox._process
    if process is None:
        return []
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii").split()
    return [process.pid, *map(int, children)]


if __name__ == "__main__":
    print_results(measure)
