"""Tell many random histories and hold each against its end: `make soak HISTORIES=10000 SEED=1`.

Each history is all in its seed: SEED, SEED + 1, and so on. A failure is printed with the line that tells it again,
alone where it fails alone, else with the histories beside it. A history that is told alone is told in DEALS ways to
deal its news out to batches, one after another, so that it ends as it did before; where it fails, its story is printed.
The last line is `histories=N failures=M`.
"""

import argparse
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Final

from local.stack import Stack
from tests.integration.convergence.cohorts import Cohort, Failure, Place
from tests.integration.convergence.stacks import aws_settings, make_place

COHORT: Final = 500
DEALS: Final = 10
MAX_FAILURES: Final = 5
"""Of which each is told again, before no more histories are; one is enough to work on."""


def main() -> int:
    options = read_options()
    print(f"seeds {options.seed} to {options.seed + options.histories - 1}", flush=True)
    with tempfile.TemporaryDirectory(prefix="dynaurora-soak-") as directory, Stack(Path(directory)) as stack:
        os.environ.update(aws_settings(stack))
        told, failures = soak(make_place(stack), options.seed, options.histories)
    print(f"histories={told} failures={failures}", flush=True)
    return 1 if failures else 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--histories", type=positive, default=10_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    return parser.parse_args()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def soak(place: Place, seed: int, histories: int) -> tuple[int, int]:
    """Tell histories, until there are too many failures; return how many were told, and how many failed."""
    began, told, failed = time.monotonic(), 0, 0
    while told < histories and failed < MAX_FAILURES:
        first, size = seed + told, min(COHORT, histories - told)
        failures = tell(place, first, size)
        for failure in failures[: MAX_FAILURES - failed]:
            report(place, failure, first, size)
        told, failed = told + size, failed + len(failures)
        print(f"{told} histories, {failed} failures, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return told, failed


def tell(place: Place, first: int, size: int) -> list[Failure]:
    """Tell a cohort, or one history dealt in several ways; return the failures."""
    for deal in range(DEALS if size == 1 else 1):
        try:
            failures = Cohort(place, first, size, deal).run()
        except Exception as error:  # noqa: BLE001 (a cohort that cannot be told is a failure)
            failures = [
                Failure(first, "telling", f"{type(error).__name__}: {error}", traceback.format_exc().split("\n"))
            ]
        if failures:
            return failures
    return []


def report(place: Place, failure: Failure, first: int, size: int) -> None:
    """Print a failure and how to see it again; its story where it is the only history."""
    print(f"FAILED {failure}", flush=True)
    if size == 1:
        print("\n".join(failure.story), flush=True)
        return
    seed, count = (failure.seed, 1) if tell(place, failure.seed, 1) else (first, size)
    print(f"again: make soak SEED={seed} HISTORIES={count}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
