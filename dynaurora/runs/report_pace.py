"""The pace of a run as a plot: rows a second over its time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from dynaurora.pages.formatting import format_seconds
from dynaurora.pages.plots import WIDE, draw_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from markupsafe import Markup

LEAST_STEPS: Final = 3
"""Fewer are no line; the one number says it all."""
SMALL: Final = 400
"""Of a plot's own coordinates, for a narrow screen."""
LABELS: Final = {WIDE: 6, SMALL: 3}
"""Times below a plot, by its width, at most."""


def find_pace(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the pace of a report; None where there is none, or it is too short to be drawn."""
    pace = report.get("pace") or (report.get("totals") or {}).get("pace")
    return pace if pace and len(pace["rows"]) >= LEAST_STEPS else None


def draw_pace(pace: Mapping[str, Any], width: int = WIDE) -> Markup:
    """Return the plot of a pace, as wide as a wide screen takes it, or SMALL."""
    step, rows = int(pace["step_seconds"]), pace["rows"]
    since = datetime.fromisoformat(pace["since"]).astimezone(UTC)
    looks = "%H:%M:%S" if step * len(rows) < 3600 else "%H:%M"
    apart = -(-len(rows) // LABELS[width])
    labels = [
        (since + timedelta(seconds=step * place)).strftime(looks) if place % apart == 0 else ""
        for place in range(len(rows))
    ]
    below = f"time (UTC), in steps of {format_seconds(step)}"
    return draw_lines("Rows a second", below, labels, {"rows": [count / step for count in rows]}, width=width, digits=0)
