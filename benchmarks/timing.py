"""Timing: what is compared is run in turns, so that whatever slows the machine down slows all of it down."""

from __future__ import annotations

import gc
import resource
import time
from contextlib import suppress
from pathlib import Path
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


def interleave(
    works: Mapping[str, Callable[[], Callable[[], object]]], rounds: int, **clocks: Callable[[], float]
) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of each work in each of so many rounds, by clock and by work.

    In a round all of them run once, in turn. A work is called to prepare it, untimed, and returns what is timed.
    """
    seconds: dict[str, dict[str, list[float]]] = {clock: {name: [] for name in works} for clock in clocks}
    for _ in range(rounds):
        for name, prepare in works.items():
            work = prepare()
            gc.collect()
            started = {clock: read() for clock, read in clocks.items()}
            work()
            for clock, read in clocks.items():
                seconds[clock][name].append(read() - started[clock])
    return seconds


def median_ratio(slow: list[float], fast: list[float]) -> float:
    """Return the median, over the rounds, of how many times as long the one took as the other did in that round."""
    return median(one / other for one, other in zip(slow, fast, strict=True))


def cpu_seconds(*processes: int) -> float:
    """Return the CPU time of this process and of others that are alive, given by id."""
    return time.process_time() + sum(map(_cpu_seconds_of, processes))


def _cpu_seconds_of(process: int) -> float:
    nanoseconds = 0
    for thread in Path(f"/proc/{process}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            nanoseconds += int((thread / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


def seconds_of(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Return how long some work takes, by a clock."""
    gc.collect()
    started = clock()
    work()
    return clock() - started


def peak_mb() -> float:
    """Return the most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
