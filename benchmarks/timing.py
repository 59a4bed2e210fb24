"""Timing: what is compared is run in turns, so that whatever slows the machine down slows all of it down."""

from __future__ import annotations

import gc
import time
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def medians(
    works: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """Return the median seconds of each work over so many rounds, in each of which all of them run once, in turn.

    The clock counts this process's CPU time, which other processes do not disturb; for what waits for a database
    `time.perf_counter` is the one to take.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            seconds[name].append(seconds_of(work, clock))
    return {name: median(taken) for name, taken in seconds.items()}


def seconds_of(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Return how long some work takes, by a clock."""
    gc.collect()
    started = clock()
    work()
    return clock() - started
