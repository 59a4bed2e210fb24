"""Tell many random histories and hold each against its end: `make soak HISTORIES=10000 SEED=1`.

Each history is all in its seed: SEED, SEED + 1, and so on. A failure is printed with the line that tells it again,
alone where it fails alone, else with the histories beside it. The last line is `histories=N failures=M`.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from local.stack import Stack
from tests.integration.convergence.cohorts import Cohort, Failure, Place
from tests.integration.convergence.stacks import aws_settings, make_place

COHORT: Final = 500
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
        failures = Cohort(place, first, size).run()
        for failure in failures[: MAX_FAILURES - failed]:
            report(place, failure, first, size)
        told, failed = told + size, failed + len(failures)
        print(f"{told} histories, {failed} failures, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return told, failed


def report(place: Place, failure: Failure, first: int, size: int) -> None:
    """Print a failure and how to see it again; its story where it is the only history."""
    print(f"FAILED {failure}", flush=True)
    if size == 1:
        print("\n".join(failure.story), flush=True)
        return
    fails_alone = bool(Cohort(place, failure.seed, 1).run())
    seed, count = (failure.seed, 1) if fails_alone else (first, size)
    print(f"again: make soak SEED={seed} HISTORIES={count}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
