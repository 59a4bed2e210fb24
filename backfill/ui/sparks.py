"""Plots of lag: a large one of one table, and small ones beside numbers in a list of tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from backfill.deployment.lags import READER, ROWS
from backfill.ui.looks import BACK
from dynaurora.pages.plots import WIDE, draw_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backfill.deployment.lags import LagHistory

MINUTES: Final = int(BACK.total_seconds() // 60)
WIDTH, HEIGHT = 96, 20
"""Of a small plot's own coordinates."""


def draw_lag(history: LagHistory, until: datetime, width: int = WIDE, labelled: int = 30) -> Markup:
    """Return the plot of a lag: how late rows and reader were, minute by minute, up to a time.

    `labelled` is how many minutes are between the times below it.
    """
    begin = _minute(until) - timedelta(minutes=MINUTES - 1)
    times = [begin + timedelta(minutes=number) for number in range(MINUTES)]
    labels = [time.strftime("%H:%M") if time.minute % labelled == 0 else "" for time in times]
    lines = {name: _place(points, begin) for name, points in ((ROWS, history.rows), (READER, history.reader))}
    return draw_lines("How late rows and reader are", "time (UTC), seconds", labels, lines, width=width, digits=1)


def draw_spark(history: LagHistory, until: datetime) -> Markup:
    """Return a small plot of how late rows were; its numbers stand beside it, so it is none for a screen reader."""
    begin = _minute(until) - timedelta(minutes=MINUTES - 1)
    line = _place(history.rows, begin)
    highest = max((value for value in line if value is not None), default=0.0) or 1.0
    path, is_on = "", False
    for number, value in enumerate(line):
        if value is not None:
            x, y = 1 + (WIDTH - 2) * number / (MINUTES - 1), HEIGHT - 2 - (HEIGHT - 4) * value / highest
            path += f"{'L' if is_on else 'M'}{x:.1f} {y:.1f}" + ("" if is_on else "h0.1")
        is_on = value is not None
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" aria-hidden="true" focusable="false">'
        '<path class="ground" d="M0 {}H{}"/><path class="line" d="{}"/></svg>'
    ).format(WIDTH, HEIGHT, HEIGHT - 1.5, WIDTH, path)


def _place(points: Iterable[tuple[datetime, float]], begin: datetime) -> list[float | None]:
    """Return the largest value of each minute; None where none was measured."""
    line: list[float | None] = [None] * MINUTES
    for at, value in points:
        number = int((_minute(at) - begin).total_seconds() // 60)
        if 0 <= number < MINUTES:
            line[number] = max(value, line[number] or 0.0)
    return line


def _minute(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(second=0, microsecond=0)
