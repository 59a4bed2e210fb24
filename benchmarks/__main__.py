"""Run the benchmarks, each in a process of its own, and print their table.

    python -m benchmarks [NAME ...] [--quick] [--json FILE]

A target that is missed is a result like any other: the exit status is 0. A benchmark that breaks makes it 1, and the
others run all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.results import QUICK, describe_machine, to_dicts, to_markdown
from benchmarks.running import find_benchmarks, run

if TYPE_CHECKING:
    from benchmarks.results import Result

JSON_FILE = Path("build/bench.json")


def main() -> int:
    """Measure, print the table, write it as JSON, and return the exit status."""
    names = find_benchmarks()
    options = parse(names)
    if options.quick:
        os.environ[QUICK] = "1"
    results: list[Result] = []
    broken: list[str] = []
    for name in options.names or names:
        try:
            results += run(name)
        except Exception:  # noqa: BLE001 (whatever a benchmark breaks with, the others are to run)
            traceback.print_exc()
            broken.append(name)
    print(to_markdown(results))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    found = {"machine": describe_machine(), "quick": options.quick, "results": to_dicts(results), "broken": broken}
    options.json.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if broken:
        print(f"Broken, and not in the table: {', '.join(broken)}. What they said is above.", file=sys.stderr)
    return 1 if broken else 0


def parse(names: list[str]) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run the benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all, or some of: {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all of them run")
    parser.add_argument("--json", type=Path, metavar="FILE", default=JSON_FILE, help=f"default: {JSON_FILE}")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(names))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(names)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
