"""What benchmarks find: one row of the table for each target, and what it was measured on.

A benchmark is a module of this package with a function `measure`, which takes nothing and returns a list of `Result`.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

QUICK = "BENCH_QUICK"
"""The environment variable that asks for small sizes: to see that benchmarks run, not for figures."""
PACKAGES = ("boto3", "jsonschema", "PyMySQL")
"""Packages whose versions belong to every figure; a benchmark that depends on others says so itself."""


@dataclass(frozen=True)
class Result:
    """One target, and what was measured beside it."""

    path: str
    """What was measured."""
    beat: str
    """What it is measured against, in the same run."""
    target: str
    measured: str
    met: bool


def is_quick() -> bool:
    """Tell whether small sizes are asked for."""
    return bool(os.environ.get(QUICK))


def to_markdown(results: Iterable[Result]) -> str:
    """Return the results as a table."""
    lines = ["| path | beat | target | measured | result |", "|---|---|---|---|---|"]
    lines += (
        f"| {row.path} | {row.beat} | {row.target} | {row.measured} | {'met' if row.met else 'missed'} |"
        for row in results
    )
    return "\n".join(lines)


def to_dicts(results: Iterable[Result]) -> list[dict[str, str | bool]]:
    """Return the results for JSON."""
    return [{field.name: getattr(row, field.name) for field in fields(row)} for row in results]


def describe_machine() -> dict[str, str]:
    """Return what the figures depend on: processor, system, versions."""
    return {
        "processor": f"{os.cpu_count()} × {_processor()}",
        "system": f"{_distribution()}, Linux {platform.release()}, {platform.machine()}",
        "python": sys.version.split()[0],
        **{name: version(name) for name in PACKAGES},
    }


def print_results(measure: Callable[[], list[Result]]) -> None:
    """Measure and print: what a benchmark does when it is run by itself."""
    print(to_markdown(measure()))


def _processor() -> str:
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""
