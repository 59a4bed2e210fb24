"""Finding the benchmarks of this package, and running each in a process that has done nothing before."""

from __future__ import annotations

import multiprocessing
import pkgutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import benchmarks

if TYPE_CHECKING:
    from benchmarks.results import Result


def find_benchmarks() -> list[str]:
    """Return the names of the modules that measure something, in alphabetical order."""
    modules = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in modules if name != "__main__" and _measures(name))


def _measures(name: str) -> bool:
    spec = find_spec(f"benchmarks.{name}")
    return spec is not None and spec.origin is not None and "\ndef measure(" in Path(spec.origin).read_text("utf-8")


def run(name: str) -> list[Result]:
    """Return what a benchmark finds, in a process that has done nothing before."""
    print(f"{name} …", end=" ", file=sys.stderr, flush=True)
    started = time.perf_counter()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = pool.submit(measure_one, name).result()
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return results


def measure_one(name: str) -> list[Result]:
    """Return what a benchmark finds."""
    results: list[Result] = import_module(f"benchmarks.{name}").measure()
    return results
