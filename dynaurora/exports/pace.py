"""The pace of a run: how many rows were in Aurora after each step of its time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_PACE_STEPS: Final = 60
"""Of a run: it is part of a state, and a line on a page."""
STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
"""Seconds that a step may have; longer runs have steps of whole hours."""


def make_pace(imported: Iterable[tuple[datetime, int]], since: datetime) -> dict[str, Any] | None:
    """Return `{"since", "step_seconds", "rows"}` of imports, by when each was done and how many rows it had.

    `rows` has one number for each step since then, at most MOST_PACE_STEPS. None where nothing was imported.
    """
    done = list(imported)
    if not done:
        return None
    since = min([since, *(time for time, _ in done)]).replace(microsecond=0)
    step = find_step(since, max(time for time, _ in done))
    rows = Counter[int]()
    for time, count in done:
        rows[int((time - since).total_seconds()) // step] += count
    return describe_pace(since, step, rows)


def find_step(first: datetime, last: datetime) -> int:
    """Return the seconds of a step, so that there are no more than may be between two times."""
    seconds = int((last - first.replace(microsecond=0)) / timedelta(seconds=1))
    hours = -(-(seconds + 1) // (MOST_PACE_STEPS * STEPS[-1]))
    return next((step for step in STEPS if seconds // step < MOST_PACE_STEPS), hours * STEPS[-1])


def describe_pace(since: datetime, step: int, rows: Counter[int]) -> dict[str, Any]:
    """Return a pace as reports have it; times of the database are in UTC, and say so nowhere."""
    utc = since.replace(tzinfo=UTC) if since.tzinfo is None else since.astimezone(UTC)
    counts = [rows[place] for place in range(max(rows, default=0) + 1)]
    return {"since": utc.strftime("%Y-%m-%dT%H:%M:%SZ"), "step_seconds": step, "rows": counts}
